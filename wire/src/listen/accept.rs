//! Accepts connections, within a bound, and ends them when asked.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Connections, Guarded};
use super::body::Body;
use super::deadline::Deadlined;
use crate::Limits;

/// The largest head of a request, with all its headers.
const HEAD: usize = 64 << 10;
/// How many headers a request may have.
const HEADERS: usize = 100;

/// Serves connections until `closing`, then lets those that are open end; ends them at once with `killed`.
pub(crate) async fn serve<H, F>(
    listener: TcpListener,
    limits: Limits,
    closing: CancellationToken,
    killed: CancellationToken,
    handler: H,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    const BACK_OFF: Duration = Duration::from_millis(10);
    let mut connections = Connections::default();
    let mut back_off = BACK_OFF;
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            Some(()) = connections.ended() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                back_off = BACK_OFF;
                if connections.len() >= limits.connections {
                    tokio::select! {
                        () = closing.cancelled() => break,
                        () = connections.make_room() => {}
                    }
                }
                let (closing, handler, limits) = (closing.clone(), handler.clone(), &limits);
                connections.spawn(|activity| {
                    connection(stream, limits.clone(), closing, handler, activity)
                });
            }
            Err(error) => {
                // Out of descriptors, most often: those that are open end first.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::select! {
                    () = closing.cancelled() => break,
                    () = tokio::time::sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(Duration::from_secs(1));
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = killed.cancelled() => {}
        () = async { while connections.ended().await.is_some() {} } => return,
    }
    connections.shutdown().await;
}

async fn connection<H, F>(
    stream: TcpStream,
    limits: Limits,
    closing: CancellationToken,
    handler: H,
    activity: Activity,
) where
    H: Fn(Request<Incoming>) -> F + Send,
    F: Future<Output = Response<Body>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        let activity = activity.clone();
        request.extensions_mut().insert(activity.clone());
        let answer = handler(request);
        async { Ok::<_, Infallible>(answer.await.map(|body| Guarded::new(body, activity))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read)
        .max_headers(HEADERS)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Deadlined::new(stream, limits.write)), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
