//! Which connections can be closed to make room.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use toolweir_core::{Clock, TokioClock};

use super::body::Body;

/// Whether a connection is at work: from when a request has been read until its answer has been written.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<State>);

#[derive(Debug)]
struct State {
    /// `WORKING`, `CLOSED`, or since when the connection has been quiet.
    since: AtomicU64,
    quiet: Arc<Notify>,
}

// quiet => WORKING: a request has been read
// WORKING => quiet: its answer has been written
// quiet => CLOSED: another connection took its place; nothing leads back
const WORKING: u64 = 0;
const CLOSED: u64 = 1;

impl Activity {
    fn new(quiet: Arc<Notify>) -> Self {
        Self(Arc::new(State { since: AtomicU64::new(now()), quiet }))
    }

    /// Begins the work on a request; false where the connection is being closed, and nothing may be done any more.
    pub(crate) fn begin(&self) -> bool {
        let begin = |since| (since != CLOSED).then_some(WORKING);
        self.0.since.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin).is_ok()
    }

    fn end(&self) {
        let since = &self.0.since;
        if since.compare_exchange(WORKING, now(), Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.0.quiet.notify_one();
        }
    }

    fn quiet_since(&self) -> Option<u64> {
        Some(self.0.since.load(Ordering::Acquire)).filter(|since| *since > CLOSED)
    }

    fn close(&self, since: u64) -> bool {
        let state = &self.0.since;
        state.compare_exchange(since, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

fn now() -> u64 {
    TokioClock.now().as_nanos().max(CLOSED + 1)
}

/// A body whose end is the end of the work on its request.
#[derive(Debug)]
pub(crate) struct Guarded {
    body: Body,
    activity: Activity,
}

impl Guarded {
    pub(crate) fn new(body: Body, activity: Activity) -> Self {
        Self { body, activity }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.activity.end();
    }
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    table: HashMap<Id, (AbortHandle, Activity)>,
    quiet: Arc<Notify>,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn spawn<F>(&mut self, serve: impl FnOnce(Activity) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let activity = Activity::new(self.quiet.clone());
        let handle = self.tasks.spawn(serve(activity.clone()));
        self.table.insert(handle.id(), (handle, activity));
    }

    /// Waits for a connection to end; `None` where there is none.
    ///
    /// Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Option<()> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                log_panic(&error);
                error.id()
            }
        };
        self.table.remove(&id);
        Some(())
    }

    /// Waits until one has ended: the one that has been quiet longest is closed for that, where one is quiet.
    pub(crate) async fn make_room(&mut self) {
        loop {
            let quiet = self
                .table
                .values()
                .filter_map(|(handle, activity)| Some((activity.quiet_since()?, handle, activity)));
            if let Some((since, handle, activity)) = quiet.min_by_key(|(since, ..)| *since) {
                if !activity.close(since) {
                    continue; // it has just begun to work
                }
                handle.abort();
                self.ended().await;
                return;
            }
            let quiet = self.quiet.clone();
            tokio::select! {
                _ = self.ended() => return,
                () = quiet.notified() => {}
            }
        }
    }

    /// Ends them all.
    pub(crate) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
        self.table.clear();
    }
}

fn log_panic(error: &JoinError) {
    if error.is_panic() {
        tracing::error!(%error, "a connection's task failed");
    }
}
