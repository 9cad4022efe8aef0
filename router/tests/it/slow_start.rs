//! A server that comes back, or comes to others, gets its share of the work by and by.

use toolweir_core::{Answer, Outcome, ServerId};
use toolweir_router::{Config, Router};

use crate::support::*;

fn percent(router: &Router, id: ServerId, millis: u64) -> Option<u8> {
    standing(router, id, at(millis)).slow_start_percent
}

#[test]
fn the_share_grows_with_the_time_from_a_tenth_to_the_whole() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[0], ms(10), START);
    fail(&router, ids[0], 4, START);
    assert_eq!(percent(&router, ids[0], 0), None, "out, it has no share");
    success(&router, ids[0], ms(10), at(100));
    for (millis, share) in [
        (100, Some(10)),
        (1_100, Some(10)),
        (2_100, Some(20)),
        (5_100, Some(50)),
        (10_000, Some(99)),
        (10_100, None),
        (99_000, None),
    ] {
        assert_eq!(percent(&router, ids[0], millis), share, "after {millis} ms");
    }
}

#[test]
fn a_tenth_of_the_weight_is_ten_times_the_cost() {
    let (router, ids) = pool(Config::default(), 2);
    fail(&router, ids[0], 4, START);
    success(&router, ids[0], ms(10), START);
    success(&router, ids[1], ms(90), START);
    let cost = standing(&router, ids[0], START).cost_ms;
    assert!((cost - 100.0).abs() < 0.01, "{cost}");
    assert_eq!(router.rank_at(&["x"], START)[0], ids[1], "100 against 90");
    success(&router, ids[1], ms(90), at(1_200));
    assert_eq!(router.rank_at(&["x"], at(1_200))[0], ids[0], "83 and decaying against 90");
}

#[test]
fn it_begins_with_the_first_answer_after_a_probe_s_word() {
    let (router, ids) = pool(Config::default(), 2);
    router.mark_unhealthy_at(ids[0], START);
    router.mark_healthy(ids[0]);
    let first = router.rank_at(&["x"], at(50_000));
    assert_eq!(percent(&router, ids[0], 50_000), Some(10), "however long nobody called");
    assert!(first.contains(&ids[0]), "and it gets its first call like any other");
    // An error answer is an answer.
    let attempt = router.start_at(ids[0], at(60_000)).unwrap();
    attempt.settle(&Outcome::Answered(Answer::ToolError), at(60_000));
    assert_eq!(percent(&router, ids[0], 65_000), Some(50));
}

#[test]
fn servers_that_begin_together_have_their_shares_at_once_and_one_that_joins_them_has_not() {
    let (router, ids) = pool(Config::default(), 3);
    ids.iter().for_each(|id| success(&router, *id, ms(10), START));
    assert!(ids.iter().all(|id| percent(&router, *id, 0).is_none()));
    let late = router.add("late", ["x"]);
    assert_eq!(router.pick_at(&["x"], at(5)).unwrap().server(), late, "one call, to know it");
    success(&router, late, ms(10), at(1_000));
    assert_eq!(percent(&router, late, 4_000), Some(30));
}

#[test]
fn errors_end_it_and_the_next_recovery_begins_another() {
    let (router, ids) = pool(Config::default(), 2);
    fail(&router, ids[0], 4, START);
    success(&router, ids[0], ms(10), START);
    fail(&router, ids[0], 4, at(8_000));
    assert_eq!(router.is_healthy(ids[0]), Some(false));
    assert_eq!(router.unhealthy(), 1);
    success(&router, ids[0], ms(10), at(20_000));
    assert_eq!(percent(&router, ids[0], 24_000), Some(40));
    router.mark_unhealthy_at(ids[0], at(24_000));
    assert_eq!(router.unhealthy(), 1);
    router.mark_healthy(ids[0]);
    assert_eq!((router.unhealthy(), percent(&router, ids[0], 24_000)), (0, Some(10)));
}

#[test]
fn without_one_a_server_is_back_at_once() {
    let (router, ids) = pool(Config::default().slow_start(ms(0)), 2);
    fail(&router, ids[0], 4, START);
    success(&router, ids[0], ms(10), START);
    assert_eq!(percent(&router, ids[0], 0), None);
    router.mark_unhealthy_at(ids[0], START);
    router.mark_healthy(ids[0]);
    assert_eq!(percent(&router, ids[0], 0), None);
}
