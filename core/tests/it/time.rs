//! Instants saturate, and clocks only go forward.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use toolweir_core::{Clock, Instant, ManualClock, MonotonicClock};

/// Durations of every size, the largest too.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        any::<u32>().prop_map(|nanos| Duration::from_nanos(nanos.into())),
        any::<u64>().prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const DAY: u64 = 24 * 3600 * 1_000_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arithmetic_saturates(start in any::<u64>(), other in any::<u64>(), by in duration()) {
        let instant = Instant::from_nanos(start);
        prop_assert_eq!((instant + by).as_nanos(), start.saturating_add(nanos(by)));
        prop_assert_eq!((instant - by).as_nanos(), start.saturating_sub(nanos(by)));
        let earlier = Instant::from_nanos(other);
        prop_assert_eq!(instant - earlier, Duration::from_nanos(start.saturating_sub(other)));
        prop_assert_eq!(instant.since(earlier), instant - earlier);
    }

    #[test]
    fn the_standard_instant_and_back_is_the_same(at in 0..30 * 365 * DAY) {
        let instant = Instant::from_nanos(at);
        prop_assert_eq!(Instant::from_std(instant.into_std()), instant);
    }

    #[test]
    fn every_instant_has_a_standard_one(at in any::<u64>(), by in duration()) {
        let standard = Instant::from_nanos(at).into_std();
        if let Some(moved) = standard.checked_add(by) {
            prop_assert!(Instant::from_std(moved) >= Instant::from_std(standard));
        }
        if let Some(moved) = standard.checked_sub(by) {
            prop_assert!(Instant::from_std(moved) <= Instant::from_std(standard));
        }
    }

    #[test]
    fn a_manual_clock_never_goes_back(steps in prop::collection::vec(duration(), 0..8)) {
        let clock = ManualClock::new();
        for step in steps {
            let before = clock.now();
            clock.advance(step);
            prop_assert_eq!(clock.now(), before + step);
        }
    }
}

/// The head start of the origin was added to an instant centuries away without saturating, which overflowed.
#[test]
fn an_instant_centuries_away_is_the_last_one() {
    let far = Instant::default().into_std() + Duration::from_secs(1_000 * 365 * 24 * 3600);
    assert_eq!(Instant::from_std(far).as_nanos(), u64::MAX);
}

/// Advancing by more than is left of time wrapped around, so that the clock went back.
#[test]
fn a_manual_clock_stands_still_at_the_end_of_time() {
    let clock = ManualClock::new();
    clock.advance(Duration::MAX);
    clock.advance(Duration::from_secs(1));
    assert_eq!(clock.now().as_nanos(), u64::MAX);
}

#[test]
fn the_monotonic_clock_reads_what_the_standard_one_does() {
    let first = MonotonicClock.now();
    let second = MonotonicClock.now();
    assert!(second >= first);
    assert!(second - first < Duration::from_secs(60));
    assert!(first > Instant::default(), "going back from now has room");
}

#[expect(clippy::disallowed_methods, reason = "the standard clock is what it is compared with")]
fn standard() -> Instant {
    Instant::from_std(std::time::Instant::now())
}

/// Long enough for the rate to be measured, and then for some hundred looks at the standard clock.
#[test]
fn the_monotonic_clock_agrees_with_the_standard_one() {
    let mut behind = Vec::new();
    let begun = standard();
    while standard() - begun < Duration::from_millis(60) {
        let before = standard();
        let told = MonotonicClock.now();
        let after = standard();
        assert!(told <= after, "ahead by {:?}", told - after);
        behind.push(before - told);
    }
    behind.sort();
    let worst = behind[behind.len() - 1];
    // A thread that is interrupted four times in a row, each time within fifty nanoseconds, would be the exception.
    assert!(worst < Duration::from_micros(5), "behind by {worst:?}");
}

#[test]
fn the_monotonic_clock_never_goes_back_from_one_thread_to_the_next() {
    let last = AtomicU64::new(0);
    let begun = standard();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while standard() - begun < Duration::from_millis(60) {
                    for _ in 0..100 {
                        let earlier = last.load(Ordering::Acquire);
                        let now = MonotonicClock.now().as_nanos();
                        assert!(now >= earlier, "back by {} ns", earlier - now);
                        last.fetch_max(now, Ordering::AcqRel);
                    }
                }
            });
        }
    });
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn tokios_clock_follows_paused_time() {
    use toolweir_core::TokioClock;

    let start = TokioClock.now();
    tokio::time::advance(Duration::from_millis(1_500)).await;
    assert_eq!(TokioClock.now() - start, Duration::from_millis(1_500));
    let deadline =
        tokio::time::Instant::from_std((TokioClock.now() + Duration::from_secs(9)).into_std());
    tokio::time::sleep_until(deadline).await;
    assert!(TokioClock.now() - start >= Duration::from_millis(10_500));
}
