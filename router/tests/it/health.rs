//! Errors, ejection, trials and recovery.

use toolweir_core::{Instant, ServerId};
use toolweir_router::{Config, Health, Router};

use crate::support::*;

fn healthy(router: &Router, id: ServerId) -> bool {
    router.is_healthy(id).unwrap()
}

#[test]
fn the_fourth_consecutive_error_makes_it_unhealthy() {
    let (router, ids) = pool(Config::default(), 2);
    fail(&router, ids[0], 3, START);
    assert!(healthy(&router, ids[0]));
    fail(&router, ids[0], 1, START);
    assert!(!healthy(&router, ids[0]));
    assert_eq!(router.unhealthy(), 1);
}

#[test]
fn a_success_resets_the_errors() {
    let (router, ids) = pool(Config::default(), 2);
    fail(&router, ids[0], 3, START);
    success(&router, ids[0], ms(10), at(10));
    fail(&router, ids[0], 3, at(10));
    assert!(healthy(&router, ids[0]));
}

#[test]
fn a_late_success_makes_it_healthy_again() {
    let (router, ids) = pool(Config::default(), 2);
    fail(&router, ids[0], 4, START);
    success(&router, ids[0], ms(10), at(10));
    assert!(healthy(&router, ids[0]));
    assert_eq!(router.unhealthy(), 0);
    let standing = standing(&router, ids[0], at(10));
    assert_eq!(
        (standing.errors, standing.latency_ms),
        (0, Some(10.0)),
        "the failures are forgotten"
    );
}

#[test]
fn the_unhealthy_stand_last_and_are_never_left_out() {
    let (router, ids) = pool(Config::default(), 3);
    for (id, latency) in ids.iter().zip([1, 500, 900]) {
        success(&router, *id, ms(latency), START);
    }
    fail(&router, ids[0], 4, START);
    assert_eq!(router.rank_at(&["x"], START).to_vec(), [ids[1], ids[2], ids[0]]);
    fail(&router, ids[1], 4, START);
    fail(&router, ids[2], 4, START);
    assert_eq!(router.rank_at(&["x"], START).len(), 3, "never an empty answer");
    assert_eq!(router.unhealthy(), 3);
}

#[test]
fn one_ranking_a_pause_offers_it_as_a_trial() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[1], ms(10), START);
    fail(&router, ids[0], 4, START);
    // Trials fail: the pauses are 5, 10, 20, 40, 60, 60 seconds.
    let mut now = 0;
    for pause in [5, 10, 20, 40, 60, 60] {
        now += pause * 1000;
        assert_eq!(router.rank_at(&["x"], at(now - 1))[0], ids[1], "{pause} s are not over");
        assert_eq!(router.rank_at(&["x"], at(now))[0], ids[0], "after {pause} s");
        assert_eq!(router.rank_at(&["x"], at(now))[0], ids[1], "once");
        fail(&router, ids[0], 1, at(now));
    }
    success(&router, ids[0], ms(1), at(now));
    success(&router, ids[1], ms(100), at(now));
    assert_eq!(router.rank_at(&["x"], at(now))[0], ids[0]);
    // And the pause is short again.
    fail(&router, ids[0], 4, at(now));
    assert_eq!(router.rank_at(&["x"], at(now + 5000))[0], ids[0]);
}

#[test]
fn one_ranking_gives_one_trial() {
    let (router, ids) = pool(Config::default(), 4);
    for id in &ids[..3] {
        fail(&router, *id, 4, START);
    }
    for tried in 1..=3 {
        let ranked = router.rank_at(&["x"], at(5000));
        assert_ne!(ranked[0], ids[3], "trial {tried}");
        assert_eq!(ranked[1], ids[3], "the healthy one stands behind the trial");
    }
    assert_eq!(router.rank_at(&["x"], at(5000))[0], ids[3]);
}

#[test]
fn late_failures_neither_lengthen_nor_shorten_the_pause() {
    let (router, ids) = pool(Config::default(), 2);
    fail(&router, ids[0], 100, START);
    fail(&router, ids[0], 100, at(4000));
    assert_eq!(standing(&router, ids[0], at(4000)).trial_in_ms, Some(1000));
}

#[test]
fn a_probe_decides_at_once() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[0], ms(10), START);
    assert!(router.mark_unhealthy_at(ids[0], START));
    assert!(!healthy(&router, ids[0]));
    assert!(router.mark_healthy(ids[0]));
    assert!(healthy(&router, ids[0]));
    assert_eq!(standing(&router, ids[0], START).latency_ms, None, "it starts over");
    assert_eq!(router.unhealthy(), 0);
}

#[test]
fn a_failing_probe_puts_the_trial_off() {
    let (router, ids) = pool(Config::default(), 2);
    for second in 0..10 {
        router.mark_unhealthy_at(ids[0], at(second * 1000));
    }
    assert_eq!(router.unhealthy(), 1);
    assert_eq!(standing(&router, ids[0], at(9000)).trial_in_ms, Some(5000));
    router.mark_unhealthy_at(ids[0], at(3000));
    assert_eq!(standing(&router, ids[0], at(9000)).trial_in_ms, Some(5000), "old news");
}

#[test]
fn a_healthy_probe_of_a_healthy_server_changes_nothing() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[0], ms(10), START);
    fail(&router, ids[0], 3, START);
    let before = standing(&router, ids[0], START);
    router.mark_healthy(ids[0]);
    assert_eq!(standing(&router, ids[0], START), before);
    fail(&router, ids[0], 1, START);
    assert!(!healthy(&router, ids[0]), "answering probes does not excuse failing calls");
}

/// P8, its other half: whatever happens, errors eject no more than the allowed share.
#[test]
fn never_more_than_the_allowed_share_is_ejected() {
    let (router, ids) = pool(Config::default().max_ejected_percent(30), 10);
    for id in &ids {
        fail(&router, *id, 10, START);
    }
    assert_eq!(router.unhealthy(), 3);
    // Room again: the next error of one that failed all along takes it.
    router.mark_healthy(ids[0]);
    fail(&router, ids[9], 1, START);
    assert_eq!(router.unhealthy(), 3);
    assert!(!healthy(&router, ids[9]));
    // A probe is believed whatever the share.
    router.mark_unhealthy_at(ids[8], START);
    assert_eq!(router.unhealthy(), 4);
}

#[test]
fn a_removed_server_counts_no_more() {
    let (router, ids) = pool(Config::default(), 3);
    let late = router.start_at(ids[1], START).unwrap();
    fail(&router, ids[0], 4, START);
    assert!(router.remove(ids[0]));
    assert!(!router.remove(ids[0]));
    assert_eq!((router.unhealthy(), router.len()), (0, 2));
    router.remove(ids[1]);
    late.fail(at(1));
    assert!(!router.mark_unhealthy_at(ids[1], at(1)));
    assert!(!router.mark_healthy(ids[1]));
    assert_eq!(router.unhealthy(), 0);
    assert_eq!(router.is_healthy(ids[0]), None);
}

#[test]
fn late_news_of_a_removed_server_ejects_nobody() {
    let (router, ids) = pool(Config::default().max_ejected_percent(50), 2);
    let late: Vec<_> = (0..9).map(|_| router.start_at(ids[0], START).unwrap()).collect();
    router.remove(ids[0]);
    router.add("new", ["x"]);
    late.into_iter().for_each(|attempt| attempt.fail(at(1)));
    assert_eq!(router.unhealthy(), 0);
    fail(&router, ids[1], 4, at(1));
    assert_eq!(router.unhealthy(), 1, "its place in the share is free");
}

/// Of many, not all are looked at: who is given its trial leads, so that it is tried indeed.
#[test]
fn among_many_a_trial_is_given_to_none_but_who_leads() {
    let (router, ids) = pool(Config::default(), 20);
    ids.iter().for_each(|id| success(&router, *id, ms(10), START));
    let mut trials = 0;
    for round in 0..50 {
        let (out, now) = (ids[round % 20], 60_000 * round as u64);
        fail(&router, out, 4, at(now));
        for _ in 0..20 {
            let ranked = router.rank_at(&["x"], at(now + 5_000));
            let given = standing(&router, out, at(now + 5_000)).trial_in_ms != Some(0);
            assert_eq!(ranked[0] == out, given, "{ranked:?}");
            if given {
                trials += 1;
                break;
            }
        }
        success(&router, out, ms(10), at(now + 5_000));
    }
    assert!(trials > 30, "{trials}");
}

/// A word holds the time and two marks, and no time is taken for a mark.
#[test]
fn at_the_end_of_time_in_and_out_are_told_apart() {
    let (router, ids) = pool(Config::default(), 2);
    for nanos in [u64::MAX / 2 - 5_000_000_000, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
        let end = Instant::from_nanos(nanos);
        assert!(router.mark_unhealthy_at(ids[0], end));
        assert!(!healthy(&router, ids[0]), "out at {nanos}");
        assert_eq!(router.unhealthy(), 1);
        router.start_at(ids[0], end).unwrap().succeed(end);
        assert!(healthy(&router, ids[0]), "in at {nanos}");
        assert_eq!(router.unhealthy(), 0);
    }
}

#[test]
fn health_reads_as_words() {
    assert_eq!(serde_json::to_string(&Health::Healthy).unwrap(), r#""healthy""#);
    assert_eq!(serde_json::to_string(&Health::Unhealthy).unwrap(), r#""unhealthy""#);
}
