//! The gate: so many at once, in fair lines, with a limit that adapts.

use std::sync::Arc;

use toolweir_core::{
    Answer, Call, Clock, Guard, Instant, Kind, ManualClock, Method, Outcome, Permit,
};
use toolweir_ratelimit::{Gate, GateConfig, Refusal};

use crate::{at, ms};

type Test = Result<(), Box<dyn std::error::Error>>;

fn adaptive() -> GateConfig {
    GateConfig::default().max_in_flight(100).min_in_flight(2).adaptive(true).slow(ms(1_000))
}

#[test]
fn so_many_and_no_more() -> Test {
    let gate = Gate::<()>::new(&GateConfig::default().max_in_flight(2))?;
    let first = gate.try_enter()?;
    let second = gate.try_enter_at(at(7))?;
    assert_eq!(second.entered(), at(7));
    assert_eq!(gate.try_enter().expect_err("full"), Refusal::Busy { retry_after: None });
    assert_eq!(gate.in_flight(), 2);
    drop(first);
    second.settle(&Outcome::OK, at(9));
    assert_eq!(gate.in_flight(), 0);
    assert_eq!(Kind::from(Refusal::Busy { retry_after: None }), Kind::Overloaded);
    Ok(())
}

#[test]
fn a_refusal_says_when_a_place_may_be_free() -> Test {
    let clock = Arc::new(ManualClock::new());
    let gate = Gate::<()>::with_clock(&GateConfig::default().max_in_flight(4), clock.clone())?;
    let mut places: Vec<_> = (0..4).map(|_| gate.try_enter()).collect::<Result<_, _>>()?;
    let retry_after = || gate.try_enter().err().and_then(|refusal| refusal.retry_after());
    assert_eq!(retry_after(), None, "nothing is known yet");
    clock.advance(ms(80));
    places.pop().expect("four").settle(&Outcome::OK, clock.now());
    places.push(gate.try_enter()?);
    assert_eq!(retry_after(), Some(ms(20)), "four, each for 80 ms: one in 20");
    clock.advance(ms(80));
    drop(places.remove(0));
    places.push(gate.try_enter()?);
    assert_eq!(
        retry_after(),
        Some(ms(22) + ms(1) / 2),
        "a place that was dropped counts, too: 90 ms"
    );
    Ok(())
}

#[test]
fn a_panic_frees_the_place() -> Test {
    let gate = Gate::<()>::new(&GateConfig::default().max_in_flight(1))?;
    let place = gate.try_enter()?;
    let panicked = std::thread::spawn(move || {
        let _place = place;
        panic!("as if a call had");
    });
    assert!(panicked.join().is_err());
    assert_eq!(gate.in_flight(), 0);
    assert!(gate.try_enter().is_ok());
    Ok(())
}

#[test]
fn as_a_guard_it_frees_the_place_of_an_abandoned_call() -> Test {
    let gate = Gate::<()>::new(&GateConfig::default().max_in_flight(1))?;
    let call = Call::new(Method::PING, None);
    let permit = Permit::acquire(&gate, &call, at(0))?;
    assert_eq!(gate.admit(&call, at(0)), Err(Kind::Overloaded));
    drop(permit);
    Permit::acquire(&gate, &call, at(0))?.settle(&Outcome::OK, at(1));
    assert_eq!(gate.in_flight(), 0);
    Ok(())
}

/// The limit after `outcome` of one call that ran from `entered` to `now`, with all places in use.
fn after(gate: &Gate, outcome: Outcome, entered: Instant, now: Instant) -> usize {
    let mut places: Vec<_> = std::iter::from_fn(|| gate.try_enter_at(entered).ok()).collect();
    let one = places.pop().expect("room for one");
    one.settle(&outcome, now);
    gate.limit()
}

#[test]
fn every_sign_of_overload_shrinks_the_limit_and_nothing_else_does() -> Test {
    let throttled = Outcome::Throttled { retry_after: None };
    let cases = [
        (throttled, 1, 90),
        (Outcome::Ambiguous(Kind::Timeout), 1, 90),
        (Outcome::Answered(Answer::Status(503)), 1, 90),
        (Outcome::OK, 1_001, 90),
        (Outcome::OK, 1_000, 100),
        (Outcome::Answered(Answer::ToolError), 1, 100),
        (Outcome::Answered(Answer::Protocol(-32602)), 1, 100),
        (Outcome::NotSent(Kind::Unreachable), 1, 100),
        (Outcome::Abandoned, 5_000, 100),
    ];
    for (outcome, took, limit) in cases {
        let gate = Gate::<()>::new(&adaptive())?;
        assert_eq!(after(&gate, outcome, at(0), at(took)), limit, "{outcome:?}");
        let fixed = Gate::<()>::new(&adaptive().adaptive(false))?;
        assert_eq!(after(&fixed, outcome, at(0), at(took)), 100, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn one_jam_shrinks_the_limit_once() -> Test {
    let gate = Gate::<()>::new(&adaptive())?;
    let throttled = Outcome::Throttled { retry_after: None };
    assert_eq!(after(&gate, throttled, at(0), at(10)), 90);
    assert_eq!(after(&gate, throttled, at(9), at(11)), 90, "entered before the limit shrank");
    assert_eq!(after(&gate, throttled, at(10), at(12)), 81);
    Ok(())
}

#[test]
fn the_limit_stays_between_its_bounds_and_comes_back() -> Test {
    let gate = Gate::<()>::new(&adaptive())?;
    let throttled = Outcome::Throttled { retry_after: None };
    for round in 0..100 {
        after(&gate, throttled, at(round * 10), at(round * 10 + 5));
    }
    assert_eq!(gate.limit(), 2);
    // An idle server proves nothing.
    for _ in 0..1_000 {
        gate.try_enter_at(at(2_000))?.settle(&Outcome::OK, at(2_001));
    }
    assert_eq!(gate.limit(), 2);
    // About one more a round of `limit` calls: 2 + 3 + … + 99 calls to the top.
    let mut calls = 0;
    while gate.limit() < 100 {
        after(&gate, Outcome::OK, at(3_000), at(3_001));
        calls += 1;
        assert!(calls < 6_000, "stuck at {}", gate.limit());
    }
    assert!(calls > 4_000, "{calls}");
    after(&gate, Outcome::OK, at(3_000), at(3_001));
    assert_eq!(gate.limit(), 100);
    Ok(())
}

#[test]
fn an_error_names_the_field() {
    let config = GateConfig::default;
    let cases = [
        (config().max_in_flight(0), "maxInFlight must be at least 1"),
        (config().min_in_flight(0), "minInFlight must be at least 1"),
        (config().min_in_flight(65), "minInFlight must be at most maxInFlight"),
        (config().slow(ms(0)), "slowMs must be at least 1"),
        (config().max_wait(ms(400 * 86_400_000)), "maxWaitMs must be at most a year"),
    ];
    for (config, message) in cases {
        assert_eq!(Gate::<()>::new(&config).expect_err(message).to_string(), message);
    }
    assert!(serde_json::from_str::<GateConfig>(r#"{"max": 1}"#).is_err());
}

#[cfg(feature = "tokio")]
mod waiting {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use tokio::task::LocalSet;
    use toolweir_core::{Clock, TokioClock};
    use toolweir_ratelimit::{Gate, GateConfig, Refusal};

    use super::Test;
    use crate::ms;

    fn gate(config: &GateConfig) -> Result<Gate<u8>, Box<dyn std::error::Error>> {
        Ok(Gate::with_clock(&config.clone().max_wait(ms(60_000)), Arc::new(TokioClock))?)
    }

    fn one_at_once() -> GateConfig {
        GateConfig::default().max_in_flight(1)
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_much_waits_behind_its_own() -> Test {
        let gate = gate(&one_at_once())?;
        let served = Rc::new(RefCell::new(Vec::new()));
        let tasks = LocalSet::new();
        for key in [1, 1, 1, 1, 1, 2, 3, 3] {
            let (gate, served) = (gate.clone(), Rc::clone(&served));
            tasks.spawn_local(async move {
                let _place = gate.enter(&key).await.expect("within a minute");
                served.borrow_mut().push(key);
                tokio::time::sleep(ms(10)).await;
            });
        }
        tasks.await;
        assert_eq!(*served.borrow(), [1, 1, 2, 3, 1, 3, 1, 1]);
        assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
        Ok(())
    }

    /// Ten principals of which one has ten times the demand; Jain's index of what they get while all want more.
    #[tokio::test(start_paused = true)]
    async fn shares_are_even_while_all_want_more() -> Test {
        let gate = gate(&one_at_once().max_in_flight(4))?;
        let served = Rc::new(RefCell::new([0_u32; 10]));
        let tasks = LocalSet::new();
        for key in 0..10_u8 {
            for _ in 0..if key == 0 { 100 } else { 10 } {
                let (gate, served) = (gate.clone(), Rc::clone(&served));
                tasks.spawn_local(async move {
                    let _place = gate.enter(&key).await.expect("within a minute");
                    served.borrow_mut()[usize::from(key)] += 1;
                    tokio::time::sleep(ms(10)).await;
                });
            }
        }
        tasks.run_until(tokio::time::sleep(ms(205))).await; // 84 of 190 calls
        let shares = served.borrow().map(f64::from);
        let (sum, squares) = shares
            .iter()
            .fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
        let jain = sum * sum / (10.0 * squares);
        assert!(jain >= 0.95, "{jain}: {shares:?}");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_line_holds_nobody_up() -> Test {
        let gate = gate(&one_at_once())?;
        let place = gate.try_enter()?;
        let begun = TokioClock.now();
        let since = || (TokioClock.now() - begun).as_millis();
        let tasks = LocalSet::new();
        let spawn = |key: u8| {
            let gate = gate.clone();
            tasks.spawn_local(async move { gate.enter(&key).await.map(drop) })
        };
        let (gone, stays) = (spawn(1), spawn(1));
        tasks
            .run_until(async {
                tokio::time::sleep(ms(5)).await;
                gone.abort();
                tokio::time::sleep(ms(5)).await;
                assert_eq!(gate.waiting(), 1);
                drop(place);
                stays.await
            })
            .await??;
        assert_eq!(since(), 10);
        assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
        Ok(())
    }

    /// The place was given, but the caller left before it could notice.
    #[tokio::test(start_paused = true)]
    async fn a_given_place_that_is_not_taken_goes_to_the_next() -> Test {
        let gate = gate(&one_at_once())?;
        let place = gate.try_enter()?;
        let mut first = Box::pin(gate.enter(&1));
        let mut second = Box::pin(gate.enter(&2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(place);
        assert_eq!((gate.in_flight(), gate.waiting()), (1, 1));
        drop(first);
        assert_eq!((gate.in_flight(), gate.waiting()), (1, 0));
        drop(second.await?);
        assert_eq!(gate.in_flight(), 0);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_makes_room_for_a_shorter_one() -> Test {
        let gate = gate(&one_at_once().max_waiting(3))?;
        let place = gate.try_enter()?;
        let results = Rc::new(RefCell::new(Vec::new()));
        let tasks = LocalSet::new();
        for (name, key) in [("a1", 1), ("a2", 1), ("a3", 1), ("a4", 1), ("b1", 2), ("b2", 2)] {
            let (gate, results) = (gate.clone(), Rc::clone(&results));
            tasks.spawn_local(async move {
                let answer = gate.enter(&key).await.map(drop);
                results.borrow_mut().push((name, answer));
            });
        }
        tasks.run_until(tokio::time::sleep(ms(1))).await;
        drop(place);
        tasks.await;
        let busy = Err(Refusal::Busy { retry_after: None });
        let mut results = results.borrow().clone();
        results.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(
            results,
            [
                ("a1", Ok(())),
                ("a2", Ok(())),
                ("a3", busy),
                ("a4", busy),
                ("b1", Ok(())),
                ("b2", busy)
            ]
        );
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() -> Test {
        let gate = gate(&one_at_once())?;
        let _place = gate.try_enter()?;
        let begun = TokioClock.now();
        assert_eq!(
            gate.enter_by(&1, begun + ms(50)).await.expect_err("full"),
            Refusal::Busy { retry_after: None }
        );
        assert_eq!(TokioClock.now() - begun, ms(50));
        assert_eq!(
            gate.enter_by(&1, begun).await.expect_err("full"),
            Refusal::Busy { retry_after: None }
        );
        assert_eq!(gate.enter(&1).await.expect_err("full"), Refusal::Busy { retry_after: None });
        assert_eq!(TokioClock.now() - begun, ms(60_050));
        assert_eq!(gate.waiting(), 0);
        Ok(())
    }

    #[test]
    fn waiting_is_send() -> Test {
        fn assert_send(_: &impl Send) {}
        assert_send(&gate(&one_at_once())?.enter(&1));
        Ok(())
    }
}
