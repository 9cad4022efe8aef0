//! Learning by listening, and ranking for the orchestrator.

use toolweir_core::{Answer, Hints, Kind, Outcome, Select, ServerId};
use toolweir_router::Config;

use crate::support::*;

#[test]
fn each_outcome_teaches_what_it_should() {
    let throttled = |retry_after| Outcome::Throttled { retry_after };
    // A server known for 100 ms and two errors answers so after 1 ms; then: errors, latency.
    for (outcome, errors, latency) in [
        (Outcome::OK, 0, 100.0), // within the tick of the first answer, only slower ones count
        (Outcome::Answered(Answer::ToolError), 0, 100.0),
        (Outcome::Answered(Answer::Protocol(-32602)), 0, 100.0),
        (Outcome::Answered(Answer::Protocol(-32603)), 3, 5000.0),
        (Outcome::Answered(Answer::Status(404)), 0, 100.0),
        (Outcome::Answered(Answer::Status(503)), 3, 5000.0),
        (Outcome::Ambiguous(Kind::Timeout), 3, 5000.0),
        (Outcome::NotSent(Kind::Unreachable), 3, 5000.0),
        (Outcome::NotSent(Kind::CircuitOpen { retry_after: ms(9) }), 2, 100.0),
        (throttled(Some(ms(700))), 2, 700.0),
        (throttled(None), 2, 5000.0),
        (Outcome::Abandoned, 2, 100.0),
    ] {
        let (router, ids) = pool(Config::default().failure_penalty(ms(5000)), 1);
        fail(&router, ids[0], 2, START);
        // The failures' say is gone after forty half-lives; the errors stay.
        let now = at(200_000);
        let known = router.start_at(ids[0], now - ms(100)).unwrap();
        known.settle(&throttled(Some(ms(100))), now);
        send(&router, ids[0], &call(), now);
        assert_eq!(standing(&router, ids[0], now).in_flight, 1);
        end(&router, ids[0], &call(), outcome, ms(1), now);
        let standing = standing(&router, ids[0], now);
        assert_eq!(
            (standing.errors, standing.latency_ms.map(f64::round), standing.in_flight),
            (errors, Some(latency), 0),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_failure_counts_as_the_deadline_where_that_is_longer() {
    for (deadline, cost) in [(None, 5000.0), (Some(60_000), 60_000.0), (Some(50), 5000.0)] {
        let (router, ids) = pool(Config::default(), 1);
        let mut call = call();
        if let Some(millis) = deadline {
            call = call.deadline(at(millis));
        }
        send(&router, ids[0], &call, START);
        end(&router, ids[0], &call, Outcome::Ambiguous(Kind::Disconnected), ms(2), at(2));
        assert_eq!(standing(&router, ids[0], at(2)).latency_ms.map(f64::round), Some(cost));

        let (router, ids) = pool(Config::default(), 1);
        let mut attempt = router.start_at(ids[0], START).unwrap();
        if let Some(millis) = deadline {
            attempt = attempt.deadline(at(millis));
        }
        attempt.fail(at(2));
        assert_eq!(standing(&router, ids[0], at(2)).latency_ms.map(f64::round), Some(cost));
    }
}

#[test]
fn a_call_that_was_left_teaches_only_that_it_was_slow() {
    let (router, ids) = pool(Config::default(), 1);
    end(&router, ids[0], &call(), Outcome::Abandoned, ms(1), at(1));
    assert_eq!(standing(&router, ids[0], at(1)).latency_ms, None, "nothing is known yet");
    success(&router, ids[0], ms(10), at(1));
    end(&router, ids[0], &call(), Outcome::Abandoned, ms(3000), at(1));
    assert_eq!(standing(&router, ids[0], at(1)).latency_ms.map(f64::round), Some(3000.0));
}

#[test]
fn error_answers_make_no_server_look_fast() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[0], ms(20), START);
    success(&router, ids[1], ms(10), START);
    // Both are in use; for a minute the slower one answers errors at once.
    for second in 1..60 {
        end(
            &router,
            ids[0],
            &call(),
            Outcome::Answered(Answer::Status(404)),
            ms(0),
            at(second * 1000),
        );
        success(&router, ids[1], ms(10), at(second * 1000));
        assert_eq!(router.rank_at(&["x"], at(second * 1000))[0], ids[1], "second {second}");
    }
}

#[test]
fn probes_are_believed() {
    let (router, ids) = pool(Config::default(), 2);
    probe(&router, ids[0], false, START);
    assert_eq!(router.rank_at(&["x"], START)[0], ids[1]);
    assert_eq!(router.is_healthy(ids[0]), Some(false));
    probe(&router, ids[0], true, START);
    assert_eq!(router.is_healthy(ids[0]), Some(true));
}

#[test]
fn strangers_and_surplus_ends_are_passed_over() {
    let (router, ids) = pool(Config::default(), 1);
    let stranger = ServerId::new(77);
    send(&router, stranger, &call(), START);
    end(&router, stranger, &call(), Outcome::OK, ms(1), at(1));
    probe(&router, stranger, false, START);
    end(&router, ids[0], &call(), Outcome::OK, ms(1), at(1));
    end(&router, ids[0], &call(), Outcome::OK, ms(1), at(1));
    assert_eq!(standing(&router, ids[0], at(1)).in_flight, 0);
    assert_eq!(router.unhealthy(), 0);
}

#[test]
fn select_ranks_among_the_given() {
    let (router, ids) = pool(Config::default(), 5);
    for (id, latency) in ids.iter().zip([50, 40, 30, 20, 10]) {
        success(&router, *id, ms(latency), START);
    }
    router.remove(ids[3]);
    let select: &dyn Select = &router;
    assert_eq!(select.rank(&call(), &ids[..4], START).to_vec(), [ids[2], ids[1], ids[0]]);
    assert!(select.rank(&call(), &[], START).is_empty());
}

#[test]
fn an_attempt_settles_by_its_outcome() {
    let (router, ids) = pool(Config::default(), 1);
    for _ in 0..4 {
        let attempt = router.start_at(ids[0], START).unwrap();
        attempt.settle(&Outcome::Ambiguous(Kind::Timeout), at(5));
    }
    assert_eq!(router.is_healthy(ids[0]), Some(false));
    router.start_at(ids[0], START).unwrap().settle(&Outcome::OK, at(5));
    assert_eq!(router.is_healthy(ids[0]), Some(true));
    assert_eq!(standing(&router, ids[0], at(5)).in_flight, 0);
}

/// A trial may fail, and a call with effects cannot then be given to another server.
#[test]
fn a_call_with_effects_is_the_last_that_a_server_is_tried_with() {
    let (router, ids) = pool(Config::default(), 2);
    let select: &dyn Select = &router;
    let read = call().hints(Hints::read());
    fail(&router, ids[0], 4, START);
    success(&router, ids[1], ms(10), START);
    assert_eq!(select.rank(&call(), &ids, at(9999))[0], ids[1]);
    assert_eq!(select.rank(&read, &ids, at(9999))[0], ids[0], "a read takes the trial at once");
    // The next pause is 10 s and over at 19,999; nobody reads for as long again.
    assert_eq!(select.rank(&call(), &ids, at(29_998))[0], ids[1]);
    assert_eq!(select.rank(&call(), &ids, at(29_999))[0], ids[0]);
}
