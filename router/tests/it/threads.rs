//! Many threads at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use toolweir_router::Config;

use crate::support::*;

#[test]
fn nothing_is_in_flight_at_rest() {
    let (router, ids) = pool(Config::default().max_ejected_percent(50), 12);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let router = &router;
            scope.spawn(move || {
                for step in 0..5_000_u64 {
                    let now = at(step);
                    let attempt = router.pick_at(&["x"], now).unwrap();
                    match (thread + step) % 4 {
                        0 => attempt.succeed(now + ms(3)),
                        1 | 2 => attempt.fail(now + ms(3)),
                        _ => drop(attempt),
                    }
                    assert!(router.unhealthy() <= 6, "the share holds at every moment");
                }
            });
        }
    });
    for id in &ids {
        assert_eq!(standing(&router, *id, at(5000)).in_flight, 0);
    }
    let unhealthy = ids.iter().filter(|id| router.is_healthy(**id) == Some(false)).count();
    assert_eq!(router.unhealthy(), unhealthy, "the count is the truth");
}

#[test]
fn servers_come_and_go_while_others_rank() {
    let (router, stay) = pool(Config::default(), 10);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (router, done, stay) = (&router, &done, &stay);
        for _ in 0..2 {
            scope.spawn(move || {
                let mut rankings = 0;
                while rankings < 2_000 || !done.load(Ordering::Relaxed) {
                    let attempt = router.pick_at(&["x"], START).unwrap();
                    attempt.fail(at(1));
                    assert_eq!(router.rank_at(&["x"], START).len(), 4);
                    assert_eq!(router.rank_among_at(stay, START).len(), 4);
                    rankings += 1;
                }
            });
        }
        scope.spawn(move || {
            for round in 0..1_000 {
                let id = router.add(format!("guest {round}"), ["x"]);
                fail(router, id, 4, START);
                router.set_capabilities(id, ["x", "y"]);
                assert!(router.remove(id));
            }
            done.store(true, Ordering::Relaxed);
        });
    });
    assert_eq!(router.len(), 10);
    let unhealthy = stay.iter().filter(|id| router.is_healthy(**id) == Some(false)).count();
    assert_eq!(router.unhealthy(), unhealthy, "guests left no trace in the count");
}

#[test]
fn a_thousand_callers_make_one_trial() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[1], ms(1), START);
    fail(&router, ids[0], 4, START);
    let trials = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    let first = router.rank_at(&["x"], at(5000))[0];
                    trials.fetch_add(usize::from(first == ids[0]), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(trials.into_inner(), 1);
}
