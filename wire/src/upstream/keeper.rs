//! Keeps one connection: made once for all who need it, made again after a loss, with pauses between failures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use toolweir_core::{Error, Kind};

use super::{unreachable, until};

/// A connection that lived at least this long was sound: its loss begins no series of failures.
const SOUND_AFTER: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many failures in a row what has a process is left alone for longer.
const CRASH_LOOP: u32 = 6;
const FIRST_QUARANTINE: Duration = Duration::from_secs(60);
const LONGEST_QUARANTINE: Duration = Duration::from_secs(600);

/// What can be kept.
pub(super) trait Ends: Send + Sync + 'static {
    /// Why it ended, where it has.
    fn ended(&self) -> Option<Error> {
        None
    }
}

type Outcome<C> = Option<Result<Arc<C>, Error>>;

/// One connection of type `C`.
#[derive(Debug)]
pub(super) struct Keeper<C> {
    /// Whether each attempt costs a process, so that a crash loop is left alone.
    is_process: bool,
    state: Mutex<State<C>>,
}

#[derive(Debug)]
enum State<C> {
    // Idle => Connecting: somebody needs the connection and the pause is over
    Idle { failures: u32, not_before: Instant, last: Option<Error> },
    // Connecting => Up, or => Idle with a pause
    Connecting { failures: u32, outcome: watch::Receiver<Outcome<C>>, task: AbortOnDrop },
    // Up => Idle: lost
    Up { connection: Arc<C>, failures: u32, since: Instant },
    // any => Closed: for good
    Closed,
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<C: Ends> Keeper<C> {
    pub(super) fn new() -> Arc<Self> {
        Self::of(false)
    }

    /// Keeps what runs in a process: after a series of failures that is no accident, it is tried seldom.
    pub(super) fn of_process() -> Arc<Self> {
        Self::of(true)
    }

    fn of(is_process: bool) -> Arc<Self> {
        let idle = State::Idle { failures: 0, not_before: Instant::now(), last: None };
        Arc::new(Self { is_process, state: Mutex::new(idle) })
    }

    /// How long it is left alone yet, where it is in a crash loop.
    pub(super) fn quarantined(&self) -> Option<Duration> {
        match &*self.state() {
            State::Idle { failures, not_before, .. }
                if self.is_process && *failures >= CRASH_LOOP =>
            {
                Some(not_before.saturating_duration_since(Instant::now()))
            }
            _ => None,
        }
    }

    /// Lets go of the connection, if there is one, as if none had been made yet.
    pub(super) fn rest(&self) -> Option<Arc<C>> {
        let mut state = self.state();
        let State::Up { connection, .. } = &*state else { return None };
        let connection = connection.clone();
        *state = State::Idle { failures: 0, not_before: Instant::now(), last: None };
        Some(connection)
    }

    fn idle(&self, failures: u32, last: Option<Error>) -> State<C> {
        let pause = if self.is_process && failures >= CRASH_LOOP {
            let times = 1 << (failures - CRASH_LOOP).min(8);
            FIRST_QUARANTINE.saturating_mul(times).min(LONGEST_QUARANTINE)
        } else {
            FIRST_PAUSE.saturating_mul(1 << (failures.clamp(1, 8) - 1)).min(LONGEST_PAUSE)
        };
        State::Idle { failures, not_before: Instant::now() + jittered(pause), last }
    }

    /// The last failure, as those see it who come during the pause after it.
    fn refusal(&self, failures: u32, not_before: Instant, last: &Error) -> Error {
        let error = unreachable(last.clone());
        if !self.is_process || failures < CRASH_LOOP {
            return error;
        }
        let seconds = not_before.saturating_duration_since(Instant::now()).as_secs();
        let details = error.details().map_or_else(String::new, |details| format!(": {details}"));
        Error::new(Kind::Unreachable)
            .message(format!(
                "failed {failures} times in a row, tried again in {seconds} s{details}"
            ))
            .caused_by(error)
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, where there is one now.
    pub(super) fn current(&self) -> Option<Arc<C>> {
        match &*self.state() {
            State::Up { connection, .. } => Some(connection.clone()),
            _ => None,
        }
    }

    /// The connection; makes it with `connect` where there is none.
    ///
    /// The attempt belongs to the keeper, not to the caller: who stops waiting does not end it for the others.
    /// During the pause after a failure this fails at once, with that failure.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        deadline: Option<toolweir_core::Instant>,
        connect: impl FnOnce() -> F,
    ) -> Result<Arc<C>, Error>
    where
        F: Future<Output = Result<Arc<C>, Error>> + Send + 'static,
    {
        let mut outcome = {
            let mut state = self.state();
            match &*state {
                State::Up { connection, .. } => return Ok(connection.clone()),
                State::Closed => return Err(Error::new(Kind::Closed)),
                State::Connecting { outcome, .. } => outcome.clone(),
                State::Idle { failures, not_before, last } => {
                    if let (Some(last), true) = (last, Instant::now() < *not_before) {
                        return Err(self.refusal(*failures, *not_before, last));
                    }
                    let failures = *failures;
                    let (sender, outcome) = watch::channel(None);
                    let keeper = Arc::downgrade(self);
                    let attempt = connect();
                    let task = tokio::spawn(async move {
                        // Made by the task itself: it takes the lock when it is dropped.
                        let finishing = Finishing { keeper, sender, result: None };
                        finishing.settle(attempt).await;
                    });
                    *state = State::Connecting {
                        failures,
                        outcome: outcome.clone(),
                        task: AbortOnDrop(task),
                    };
                    outcome
                }
            }
        };
        let wait = async {
            match outcome.wait_for(Option::is_some).await {
                Ok(result) => (*result).clone().unwrap_or_else(|| Err(Error::new(Kind::Closed))),
                Err(_) => Err(Error::new(Kind::Closed)), // closed meanwhile
            }
        };
        until(deadline, wait).await.map_err(Error::unsent)
    }

    fn finish(&self, result: &Result<Arc<C>, Error>) {
        let mut state = self.state();
        let State::Connecting { failures, .. } = *state else { return };
        *state = match result {
            // It may have ended before anyone could notice: `lose` knows only what is up.
            Ok(connection) => match connection.ended() {
                Some(error) => self.idle(failures + 1, Some(error)),
                None => {
                    State::Up { connection: connection.clone(), failures, since: Instant::now() }
                }
            },
            Err(error) => self.idle(failures + 1, Some(error.clone())),
        };
    }

    /// Forgets `connection`, which has ended; says whether it was still the current one.
    pub(super) fn lose(&self, connection: &C, error: &Error) -> bool {
        let mut state = self.state();
        match &*state {
            State::Up { connection: current, failures, since }
                if std::ptr::eq(&**current, connection) =>
            {
                let sound = since.elapsed() >= SOUND_AFTER;
                let failures = if sound { 0 } else { failures + 1 };
                // The first loss may be mended at once; a series waits between attempts.
                *state = if failures <= 1 {
                    State::Idle { failures, not_before: Instant::now(), last: Some(error.clone()) }
                } else {
                    self.idle(failures, Some(error.clone()))
                };
                true
            }
            _ => false,
        }
    }

    /// Ends the connection for good and hands it out for an orderly end. An attempt to connect is broken off; what it
    /// held is dropped when this returns.
    pub(super) async fn close(&self) -> Option<Arc<C>> {
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        match state {
            State::Up { connection, .. } => Some(connection),
            State::Connecting { mut task, .. } => {
                task.0.abort();
                let _ = (&mut task.0).await; // its result is of no use any more
                None
            }
            _ => None,
        }
    }
}

/// Settles an attempt, whether it ended by itself, by a panic or because the keeper was closed.
struct Finishing<C: Ends> {
    keeper: Weak<Keeper<C>>,
    sender: watch::Sender<Outcome<C>>,
    result: Option<Result<Arc<C>, Error>>,
}

impl<C: Ends> Finishing<C> {
    async fn settle(mut self, attempt: impl Future<Output = Result<Arc<C>, Error>>) {
        self.result = Some(attempt.await);
    }
}

impl<C: Ends> Drop for Finishing<C> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            let kind = if std::thread::panicking() { Kind::Internal } else { Kind::Closed };
            Err(Error::new(kind).message("connecting was broken off"))
        });
        if let Some(keeper) = self.keeper.upgrade() {
            keeper.finish(&result);
        }
        self.sender.send_replace(Some(result));
    }
}

/// Between 50 % and 100 % of `pause`, so that many servers that were lost together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let random = getrandom::fill(&mut byte).map_or(0, |()| byte[0]);
    pause / 2 + pause.mul_f64(f64::from(random) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    impl Ends for u8 {
        fn ended(&self) -> Option<Error> {
            (*self == 99).then(|| Error::new(Kind::Disconnected))
        }
    }

    /// Its end came between the handshake and the state that `lose` looks at: it stayed current for ever.
    #[tokio::test(start_paused = true)]
    async fn what_ended_before_it_was_up_is_made_again() {
        let keeper = Keeper::<u8>::new();
        let ended = keeper.get(None, || async { Ok(Arc::new(99)) }).await.unwrap();
        assert!(!keeper.lose(&ended, &Error::new(Kind::Disconnected)));
        assert!(keeper.current().is_none());
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(*keeper.get(None, || async { Ok(Arc::new(1)) }).await.unwrap(), 1);
    }

    /// Nobody ended the attempt, so all who came later waited for it.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_panics_is_made_again() {
        let keeper = Keeper::<u8>::new();
        let panics = || async { panic!("in somebody's subscriber") };
        assert!(keeper.get(None, panics).await.unwrap_err().is_unsent());
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(*keeper.get(None, || async { Ok(Arc::new(1)) }).await.unwrap(), 1);
    }

    /// FAULTS 3: a crash loop is left alone, says so, and is tried again; one success ends it.
    #[tokio::test(start_paused = true)]
    async fn a_crash_loop_is_quarantined_and_tried_again() {
        let (keeper, attempts) = (Keeper::<u8>::of_process(), Arc::new(AtomicU32::new(0)));
        let tries = async || {
            for _ in 0..3_600 {
                tokio::time::advance(Duration::from_secs(1)).await;
                let _ = keeper.get(None, || fails(&attempts)).await;
            }
            attempts.swap(0, Ordering::SeqCst)
        };
        let first_hour = tries().await;
        assert!((12..=24).contains(&first_hour), "{first_hour}");
        let later = tries().await;
        assert!((6..=12).contains(&later), "every five to ten minutes: {later}");
        let left = keeper.quarantined().unwrap();
        assert!(left <= LONGEST_QUARANTINE);
        let error = keeper.get(None, || fails(&attempts)).await.unwrap_err();
        assert!(error.is_unsent() && error.to_string().contains("times in a row"), "{error}");
        tokio::time::advance(LONGEST_QUARANTINE).await;
        let up = keeper.get(None, || async { Ok(Arc::new(1)) }).await.unwrap();
        assert!(keeper.quarantined().is_none());
        tokio::time::advance(SOUND_AFTER).await;
        assert!(keeper.lose(&up, &Error::new(Kind::Disconnected)));
        assert_eq!(*keeper.get(None, || async { Ok(Arc::new(2)) }).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_is_made_again_at_once() {
        let keeper = Keeper::<u8>::of_process();
        assert!(keeper.rest().is_none());
        let first = keeper.get(None, || async { Ok(Arc::new(1)) }).await.unwrap();
        assert!(Arc::ptr_eq(&keeper.rest().unwrap(), &first));
        assert!(!keeper.lose(&first, &Error::new(Kind::Closed)), "its end is no loss");
        assert_eq!(*keeper.get(None, || async { Ok(Arc::new(2)) }).await.unwrap(), 2);
    }

    fn fails(
        attempts: &Arc<AtomicU32>,
    ) -> impl Future<Output = Result<Arc<u8>, Error>> + Send + 'static {
        attempts.fetch_add(1, Ordering::SeqCst);
        async { Err(Error::new(Kind::Unreachable)) }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_between_failures_and_fails_at_once_meanwhile() {
        let (keeper, attempts) = (Keeper::<u8>::new(), Arc::new(AtomicU32::new(0)));
        for _ in 0..10 {
            assert!(keeper.get(None, || fails(&attempts)).await.is_err());
        }
        assert_eq!(attempts.load(Ordering::SeqCst), 1);
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(keeper.get(None, || fails(&attempts)).await.is_err());
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_does_not_end_the_attempt() {
        let keeper = Keeper::<u8>::new();
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(Arc::new(7))
        };
        let soon = toolweir_core::Clock::now(&toolweir_core::TokioClock) + Duration::from_secs(1);
        let error = keeper.get(Some(soon), slow).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, true));
        let never = || async { Err(Error::new(Kind::Internal)) };
        assert_eq!(*keeper.get(None, never).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_loss_is_mended_at_once_and_a_crash_loop_is_not() {
        let keeper = Keeper::<u8>::new();
        let error = Error::new(Kind::Disconnected);
        let connect = || async { Ok(Arc::new(1)) };
        let first = keeper.get(None, connect).await.unwrap();
        assert!(keeper.lose(&first, &error));
        assert!(!keeper.lose(&first, &error));
        let second = keeper.get(None, connect).await.unwrap();
        assert!(keeper.lose(&second, &error));
        // The loss itself may have been of something sent; the refusal is not.
        let error = keeper.get(None, connect).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
        assert!(keeper.close().await.is_none());
        assert_eq!(keeper.get(None, connect).await.unwrap_err().kind(), Kind::Closed);
    }
}
