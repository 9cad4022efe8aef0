//! Streamable HTTP towards clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::task::JoinHandle;

use super::accept;
use super::front::Front;
use super::http;
use super::service::Service;

/// Serves MCP at `/mcp`, both eras, until it is shut down or dropped.
///
/// A modern request lives as long as its connection; what a legacy session asked goes on when a connection breaks.
#[derive(Debug)]
pub struct HttpListener {
    address: SocketAddr,
    front: Arc<Front>,
    accepting: JoinHandle<()>,
}

impl HttpListener {
    /// Listens on `address`; port 0 takes any that is free.
    ///
    /// # Errors
    /// Fails where the address cannot be listened on.
    pub async fn bind(address: impl ToSocketAddrs, service: Service) -> io::Result<Self> {
        Self::on(TcpListener::bind(address).await?, service)
    }

    /// Serves on a listener that is bound already, for those who bind first and start what is to be served then.
    ///
    /// # Errors
    /// Fails where the listener has no address.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub fn on(listener: TcpListener, service: Service) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let limits = service.limits.clone();
        let front = Front::new(service);
        let (closing, killed) = (front.closing.clone(), front.killed.clone());
        let handler = {
            let front = front.clone();
            move |request| http::handle(front.clone(), request)
        };
        let accepting = tokio::spawn(accept::serve(listener, limits, closing, killed, handler));
        front.tasks.spawn(front.clone().sweep());
        Ok(Self { address, front, accepting })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, ends streams that belong to no call, and lets calls in flight finish within
    /// `grace`; then ends whatever is left. Nothing of the listener is alive afterwards.
    ///
    /// # Cancel safety
    /// Dropping the future ends everything at once, without waiting for it.
    pub async fn shutdown(mut self, grace: Duration) {
        let front = self.front.clone();
        front.closing.cancel();
        front.hub.end_streams();
        front.tasks.close();
        let accepting = &mut self.accepting;
        let finished = tokio::time::timeout(grace, async {
            let _ = accepting.await;
            front.tasks.wait().await;
            end_sessions(&front);
            front.tasks.wait().await;
        });
        if finished.await.is_ok() {
            return;
        }
        front.killed.cancel();
        end_sessions(&front);
        if !self.accepting.is_finished() {
            let _ = (&mut self.accepting).await;
        }
        front.tasks.wait().await;
    }
}

fn end_sessions(front: &Front) {
    for session in front.hub.take_sessions(|_| true) {
        front.end(&session);
    }
}

impl Drop for HttpListener {
    fn drop(&mut self) {
        self.front.closing.cancel();
        self.front.killed.cancel();
    }
}
