//! A server of the user's own may panic, or never answer; then its call fails, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use toolweir_core::{Error, Instant, Kind};

/// Runs `future`; a panic in it becomes an error.
pub(crate) async fn caught<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        // After a panic the future is never polled again, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text =
                    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Poll::Ready(Err(Error::new(Kind::Internal)
                    .message(format!("the server's code panicked: {text}"))))
            }
        }
    })
    .await
}

/// Runs `future` until `deadline`; a panic in it becomes an error, too.
pub(crate) async fn bounded<T>(
    deadline: Instant,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout_at(deadline.into_std().into(), caught(future))
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Timeout)))
}
