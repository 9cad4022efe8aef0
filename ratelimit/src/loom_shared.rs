//! The shared bucket a second time, on loom's atomic and lock, and every schedule of a few threads through it.

#[path = "shared.rs"]
mod shared;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use toolweir_core::Instant;

use self::shared::Shared;
use crate::Refusal;
use crate::line::Look;
use crate::rate::Rate;

const FAR: Instant = Instant::FAR_FUTURE;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// One call a second, with a burst.
fn bucket(burst: u32) -> Arc<Shared> {
    Arc::new(Shared::new(Rate::new(1.0, NonZeroU32::new(burst).expect("not zero")), 0))
}

/// Takes a turn that has not come.
fn reserve(bucket: &Shared, now: Instant) -> u64 {
    bucket.reserve(now, 1, FAR, 10).expect("room in the line").expect("not now")
}

/// Every schedule with at most two preemptions.
fn every_schedule(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(run);
}

#[test]
fn the_last_call_goes_to_one() {
    every_schedule(|| {
        let bucket = bucket(2);
        bucket.take(at(9), 1).expect("full");
        let others: Vec<_> = (0..2)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || u32::from(bucket.take(at(9), 1).is_ok()))
            })
            .collect();
        let mine = u32::from(bucket.take(at(9), 1).is_ok());
        let passed: u32 = others.into_iter().map(|other| other.join().expect("joined")).sum();
        assert_eq!(mine + passed, 1);
        assert_eq!(bucket.take(at(9), 1), Err(at(10)));
    });
}

#[test]
fn an_undone_take_gives_back_no_more_than_it_took() {
    every_schedule(|| {
        let bucket = bucket(2);
        let taken = bucket.take(at(9), 1).expect("full");
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || u32::from(bucket.take(at(9), 1).is_ok()))
        };
        bucket.undo(taken);
        let mut passed = other.join().expect("joined");
        passed += (0..3).filter(|_| bucket.take(at(9), 1).is_ok()).count() as u32;
        // The other came before the undoing, which then keeps what it took, or behind it.
        assert!((1..=2).contains(&passed), "{passed}");
    });
}

#[test]
fn turns_and_checks_never_share_a_moment() {
    every_schedule(|| {
        let bucket = bucket(1);
        bucket.take(at(9), 1).expect("full");
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || reserve(&bucket, at(9)))
        };
        let checked = bucket.take(at(10), 1).is_ok();
        let mine = reserve(&bucket, at(10));
        let theirs = other.join().expect("joined");
        let mut due = [bucket.due(mine).expect("waits"), bucket.due(theirs).expect("waits")];
        due.sort_unstable();
        let first = if checked { 11 } else { 10 };
        assert_eq!(due, [at(first), at(first + 1)]);
        assert_eq!(bucket.waiting(), 2);
    });
}

#[test]
fn who_leaves_while_another_joins_opens_no_second_place() {
    every_schedule(|| {
        let bucket = bucket(1);
        bucket.take(at(9), 1).expect("full");
        let (leaving, staying) = (reserve(&bucket, at(9)), reserve(&bucket, at(9)));
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || reserve(&bucket, at(9)))
        };
        bucket.leave(leaving, at(9));
        let joined = other.join().expect("joined");
        let due = [staying, joined].map(|id| bucket.due(id).expect("waits"));
        assert_eq!(due, [at(10), at(11)]);
        assert_eq!(bucket.take(at(9), 1), Err(at(12)));
    });
}

#[test]
fn a_bounded_line_takes_one_of_two() {
    every_schedule(|| {
        let bucket = bucket(1);
        bucket.take(at(9), 1).expect("full");
        let join = |bucket: &Shared| match bucket.reserve(at(9), 1, FAR, 1) {
            Ok(place) => u32::from(place.is_some()),
            Err(refusal) => {
                let retry_after = Duration::from_secs(2);
                assert_eq!(refusal, Refusal::QueueFull { retry_after });
                0
            }
        };
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || join(&bucket))
        };
        let joined = join(&bucket) + other.join().expect("joined");
        assert_eq!((joined, bucket.waiting()), (1, 1));
    });
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A caller that goes to sleep while the one ahead leaves knows its new time, or is woken to learn it.
#[test]
fn nobody_sleeps_past_a_turn_that_moved_up() {
    every_schedule(|| {
        let bucket = bucket(1);
        bucket.take(at(9), 1).expect("full");
        let (leaving, sleeper) = (reserve(&bucket, at(9)), reserve(&bucket, at(9)));
        let woken = std::sync::Arc::new(Woken(AtomicUsize::new(0)));
        let other = {
            let (bucket, waker) = (Arc::clone(&bucket), Waker::from(std::sync::Arc::clone(&woken)));
            thread::spawn(move || bucket.look(sleeper, at(9), Some(&waker)))
        };
        bucket.leave(leaving, at(9));
        let seen = other.join().expect("joined");
        assert_eq!(bucket.due(sleeper), Some(at(10)));
        let woken = woken.0.load(Ordering::Relaxed);
        assert!(seen == Look::Wait(at(10)) || woken == 1, "{seen:?}, woken {woken} times");
    });
}

#[test]
fn nothing_goes_in_a_pause_but_what_went_before_it() {
    every_schedule(|| {
        let bucket = bucket(2);
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.take(at(9), 1).is_ok())
        };
        bucket.pause(Duration::from_secs(5), at(9));
        let _before_or_after = other.join().expect("joined");
        assert_eq!(bucket.take(at(9), 1), Err(at(14)));
        assert!(bucket.take(at(14), 1).is_ok());
        assert_eq!(bucket.take(at(14), 1), Err(at(15)));
    });
}
