//! A place in the line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Clock, Instant};

use crate::Refusal;
use crate::line::Look;
use crate::shared::Shared;

/// A turn that is paid for and comes at a known time.
///
/// For those who wait themselves: sleep until [`due`](Self::due), then [`take`](Self::take). Dropped before
/// its time, the turn is given back, and those behind move up; once its time has come, it is spent.
#[must_use = "dropping a turn gives it back"]
pub struct Turn {
    clock: Arc<dyn Clock>,
    /// The bucket, and the number in its line; `None` once it was taken or where it could be at once.
    place: Option<(Arc<Shared>, u64)>,
    reserved_at: Instant,
}

impl Turn {
    /// A turn that has come.
    pub(crate) fn now(clock: Arc<dyn Clock>, now: Instant) -> Self {
        Self { clock, place: None, reserved_at: now }
    }

    /// A turn in the line of `shared`.
    pub(crate) fn in_line(
        shared: Arc<Shared>,
        id: u64,
        clock: Arc<dyn Clock>,
        now: Instant,
    ) -> Self {
        Self { clock, place: Some((shared, id)), reserved_at: now }
    }

    /// When the turn comes. It moves up when somebody ahead leaves, and is put off by a pause.
    #[must_use]
    pub fn due(&self) -> Instant {
        let due = self.place.as_ref().and_then(|(shared, id)| shared.due(*id));
        due.unwrap_or(self.reserved_at)
    }

    /// Takes the turn, where it has come at `now`.
    ///
    /// # Errors
    /// Returns the turn with the time that is left where it has not come, so that it can be waited for again.
    pub fn take(mut self, now: Instant) -> Result<(), (Self, Duration)> {
        match self.look(now, None) {
            Ok(None) => Ok(()),
            Ok(Some(due)) => Err((self, due - now)),
            Err(_too_late) => {
                let left = self.due() - now;
                Err((self, left))
            }
        }
    }

    /// Gives the turn back at `now`, as dropping it does with the limiter's own clock.
    pub fn give_back(mut self, now: Instant) {
        self.leave(now);
    }

    /// `None` where the turn has come and is taken, else when it comes.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        waker: Option<&std::task::Waker>,
    ) -> Result<Option<Instant>, Refusal> {
        let Some((shared, id)) = &self.place else { return Ok(None) };
        match shared.look(*id, now, waker) {
            Look::Go => {
                self.place = None;
                Ok(None)
            }
            Look::Wait(due) => Ok(Some(due)),
            Look::TooLate(due) => Err(Refusal::TooLate { retry_after: due - now }),
        }
    }

    fn leave(&mut self, now: Instant) {
        if let Some((shared, id)) = self.place.take() {
            shared.leave(id, now);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.leave(self.clock.now());
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("due", &self.due()).finish_non_exhaustive()
    }
}

#[cfg(feature = "tokio")]
impl Turn {
    /// Waits until the turn has come, and takes it.
    ///
    /// # Errors
    /// [`Refusal::TooLate`] where a pause puts the turn off until after its deadline.
    ///
    /// # Cancel safety
    /// Dropping the future gives the turn back, and the next in line moves up.
    pub async fn wait(mut self) -> Result<(), Refusal> {
        use std::future::{Future, poll_fn};
        use std::task::Poll;

        let now = self.clock.now();
        let Some(due) = self.look(now, None)? else { return Ok(()) };
        let mut sleep = std::pin::pin!(tokio::time::sleep(due - now));
        let mut armed = due;
        poll_fn(|context| {
            loop {
                let now = self.clock.now();
                let due = match self.look(now, Some(context.waker())) {
                    Ok(None) => return Poll::Ready(Ok(())),
                    Ok(Some(due)) => due,
                    Err(refusal) => return Poll::Ready(Err(refusal)),
                };
                if due != armed {
                    armed = due;
                    sleep.as_mut().reset(tokio::time::Instant::now() + (due - now));
                }
                match sleep.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    // Tokio's clock and the limiter's differ: sleep for what is left.
                    Poll::Ready(()) => {
                        sleep.as_mut().reset(tokio::time::Instant::now() + (due - now));
                    }
                }
            }
        })
        .await
    }
}
