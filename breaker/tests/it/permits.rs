//! Permits that end in every way a call can end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use toolweir_breaker::{Breaker, CallError, Config, OwnedPermit, Permit, State, Verdict};
use toolweir_core::TokioClock;

use crate::{manual, ms, run};

fn on_tokio(config: Config) -> Arc<Breaker<TokioClock>> {
    Arc::new(Breaker::with_clock(config, TokioClock).expect("valid"))
}

async fn fail() -> Result<(), &'static str> {
    Err("no")
}

#[test]
fn permits_cross_threads() {
    fn is_send_and_static<T: Send + 'static>() {}
    fn is_send<T: Send>() {}
    is_send_and_static::<OwnedPermit>();
    is_send::<Permit<&Breaker>>();
}

#[tokio::test(start_paused = true)]
async fn p3_a_cancelled_probe_frees_its_slot() {
    let breaker = on_tokio(Config::default().failures(1));
    assert_eq!(breaker.call(fail()).await, Err(CallError::Failed("no")));
    tokio::time::advance(ms(60_000)).await;

    let forever = breaker.call(std::future::pending::<Result<(), ()>>());
    assert!(tokio::time::timeout(ms(10), forever).await.is_err());

    assert_eq!((breaker.state(), breaker.snapshot().probes), (State::HalfOpen, 0));
    assert_eq!(breaker.call(async { Ok::<_, ()>(7) }).await, Ok(7));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_no_failure() {
    let breaker = on_tokio(Config::default().failures(1));
    let forever = breaker.call(std::future::pending::<Result<(), ()>>());
    assert!(tokio::time::timeout(ms(10), forever).await.is_err());
    assert_eq!((breaker.state(), breaker.snapshot().failures), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_never_runs() {
    let breaker = on_tokio(Config::default().failures(1));
    let _ = breaker.call(fail()).await;
    let mut ran = false;
    let run = async {
        ran = true;
        Ok::<(), ()>(())
    };
    let result = breaker.call(run).await;
    assert!(!ran);
    match result {
        Err(CallError::Refused(refused)) => assert_eq!(refused.retry_after, ms(60_000)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_what_its_caller_says_it_is() {
    let breaker = on_tokio(Config::default().failures(1));
    for verdict in [Verdict::Success, Verdict::Neutral] {
        let result = breaker.call_with(fail(), |_| verdict).await;
        assert_eq!(result, Err(CallError::Failed("no")));
        assert_eq!(breaker.state(), State::Closed);
    }
    let result = breaker.call_with(async { Ok::<_, ()>(500) }, |_| Verdict::Failure).await;
    assert_eq!((result, breaker.state()), (Ok(500), State::Open));
}

#[tokio::test(start_paused = true)]
async fn a_permit_settles_on_another_task() {
    let breaker = on_tokio(Config::default().failures(1));
    let permit = breaker.try_acquire_owned().unwrap();
    tokio::spawn(async move { permit.failure() }).await.unwrap();
    assert_eq!(breaker.state(), State::Open);

    tokio::time::advance(ms(60_000)).await;
    let permit = breaker.try_acquire_owned().unwrap();
    let task = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        permit.success();
    });
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(breaker.snapshot().probes, 0);
}

#[tokio::test(start_paused = true)]
async fn p3_a_panic_in_a_task_is_a_failure() {
    let breaker = on_tokio(Config::default().failures(1));
    for state in [State::Closed, State::HalfOpen] {
        let shared = Arc::clone(&breaker);
        let task = tokio::spawn(async move {
            let boom = async { if true { panic!("boom") } else { Ok::<(), ()>(()) } };
            let _ = shared.call(boom).await;
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(breaker.state(), State::Open, "panicked while {state}");
        tokio::time::advance(ms(60_000)).await;
    }
    assert_eq!(breaker.snapshot().opened, 2);
}

#[test]
fn p3_a_panic_that_drops_a_permit_is_a_failure() {
    let (_, breaker) = manual(Config::default().failures(1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = breaker.try_acquire().unwrap();
        panic!("boom");
    }));
    assert!(panicked.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn p2_a_verdict_from_before_a_trip_decides_nothing() {
    let (clock, breaker) = manual(Config::default().failures(1));
    let (first, second, third) = (
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    );
    first.failure();
    clock.advance(ms(60_000));
    let probe = breaker.try_acquire().unwrap();
    second.success();
    assert_eq!(breaker.state(), State::HalfOpen, "an old success closes nothing");
    third.failure();
    assert_eq!(breaker.state(), State::HalfOpen, "an old failure opens nothing");
    assert!(breaker.try_acquire().is_err(), "nor do they free the probe's slot");
    probe.success();
    assert_eq!((breaker.state(), breaker.snapshot().late), (State::Closed, 2));
}

#[test]
fn p2_a_probe_of_one_half_open_decides_nothing_in_the_next() {
    let (clock, breaker) = manual(Config::default().failures(1).probes(3));
    run(&*breaker, "f");
    clock.advance(ms(60_000));
    let stale: Vec<_> = (0..3).map(|_| breaker.try_acquire_owned().unwrap()).collect();
    let [failing, succeeding, dropped] = stale.try_into().unwrap();
    failing.failure();
    clock.advance(ms(60_000));
    run(&*breaker, "ss");
    succeeding.success();
    drop(dropped);
    let seen = breaker.snapshot();
    assert_eq!((seen.state, seen.probes_succeeded, seen.probes), (State::HalfOpen, 2, 0));
    run(&*breaker, "s");
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_leaked_probe_is_lost_after_its_time() {
    let (clock, breaker) = manual(Config::default().failures(1).probe_timeout(ms(5_000)));
    run(&*breaker, "f");
    clock.advance(ms(60_000));
    std::mem::forget(breaker.try_acquire().unwrap());
    clock.advance(ms(4_999));
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, ms(1));
    clock.advance(ms(1));
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!((refused.state, refused.retry_after), (State::Open, ms(60_000)));
    clock.advance(ms(60_000));
    run(&*breaker, "s");
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_clock_that_goes_back_prolongs_nothing() {
    let (_, breaker) = manual(Config::default().failures(1));
    let hour = toolweir_breaker::Instant::from_nanos(3_600_000_000_000);
    breaker.try_acquire_at(hour).unwrap().failure_at(hour);
    let before = hour - ms(1_800_000);
    assert_eq!(breaker.snapshot_at(before).retry_after, ms(60_000));
    assert_eq!(breaker.try_acquire_at(before).unwrap_err().retry_after, ms(60_000));
    assert_eq!(breaker.try_acquire_at(before + ms(59_999)).unwrap_err().retry_after, ms(1));
    assert!(breaker.try_acquire_at(before + ms(60_000)).is_ok());
}
