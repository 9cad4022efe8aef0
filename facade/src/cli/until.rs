//! Input that ends when it is told to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// `inner` until `stop`, then its end.
pub(crate) struct Until<R> {
    inner: R,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    is_over: bool,
}

impl<R> Until<R> {
    pub(crate) fn new(inner: R, stop: CancellationToken) -> Self {
        Self { inner, stopped: Box::pin(stop.cancelled_owned()), is_over: false }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Until<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_over = self.is_over || self.stopped.as_mut().poll(context).is_ready();
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}
