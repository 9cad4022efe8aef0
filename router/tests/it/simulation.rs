//! Traffic over simulated time, replayable by its seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use toolweir_core::{Clock, Instant, ManualClock};
use toolweir_router::{Attempt, Config, Registration, Router};

use crate::support::*;

/// How one server behaves.
#[derive(Clone, Copy)]
struct Behaviour {
    latency: Duration,
    /// Of a hundred calls, so many fail, evenly mixed.
    failing_percent: u64,
}

/// Sends one call a millisecond for `seconds`; the calls that each server got, by second.
fn run(router: &Router, clock: &ManualClock, servers: &[Behaviour], seconds: u64) -> Vec<Vec<u64>> {
    let mut running: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    let mut attempts: std::collections::HashMap<u64, (Attempt, bool)> = Default::default();
    let mut counts = vec![vec![0; servers.len()]; seconds as usize];
    let mut noise = 1_u64;
    for step in 0..seconds * 1000 {
        clock.advance(ms(1));
        let now = clock.now();
        while running.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Reverse((due, number)) = running.pop().unwrap();
            let (attempt, failed) = attempts.remove(&number).unwrap();
            if failed { attempt.fail(due) } else { attempt.succeed(due) }
        }
        let attempt = router.pick_at(&["x"], now).unwrap();
        let server = attempt.server().get() as usize;
        counts[(step / 1000) as usize][server] += 1;
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let Behaviour { latency, failing_percent } = servers[server];
        let failed = (noise >> 33) % 100 < failing_percent;
        let jitter = latency / 4 * ((noise >> 40) % 4) as u32;
        running.push(Reverse((now + latency + jitter, step)));
        attempts.insert(step, (attempt, failed));
    }
    counts
}

fn well(millis: u64) -> Behaviour {
    Behaviour { latency: ms(millis), failing_percent: 0 }
}

fn at_once(failing_percent: u64) -> Behaviour {
    Behaviour { latency: Duration::from_micros(50), failing_percent }
}

/// P8: a balancer that is blind to failures sends a server that fails at once most of the traffic, because it
/// answers so fast.
#[test]
fn an_instantly_failing_server_gets_less_than_five_percent_within_a_second() {
    for servers in [2, 4, 8, 9, 40] {
        for seed in 0..3 {
            let router = Router::new(Config::default().seed(seed)).unwrap();
            let mut behaviours = vec![well(20); servers];
            behaviours[servers / 2] = at_once(100);
            fill(&router, servers);
            for (second, counts) in
                run(&router, &ManualClock::new(), &behaviours, 10).iter().enumerate()
            {
                let share = counts[servers / 2];
                assert!(
                    share < 50,
                    "{servers} servers, seed {seed}, second {second}: {share} of 1000"
                );
            }
        }
    }
}

/// The same without ejection: half of its calls succeed, so that four errors in a row are rare.
#[test]
fn a_server_that_fails_half_the_time_is_avoided_by_its_cost() {
    for servers in [2, 4, 8] {
        let router = router(Config::default().tolerated_errors(1000));
        let mut behaviours = vec![well(20); servers];
        behaviours[0] = at_once(50);
        fill(&router, servers);
        for (second, counts) in
            run(&router, &ManualClock::new(), &behaviours, 10).iter().enumerate()
        {
            assert!(counts[0] < 50, "{servers} servers, second {second}: {} of 1000", counts[0]);
        }
    }
}

/// A server that answers probes and fails every call comes back with each probe, and gets a few calls each time.
#[test]
fn a_server_that_only_answers_probes_stays_below_five_percent() {
    let router = router(Config::default());
    let behaviours = [well(20), well(20), at_once(100)];
    let ids: Vec<_> = (0..3).map(|n| router.add(format!("s{n}"), ["x"])).collect();
    let clock = ManualClock::new();
    for _ in 0..10 {
        router.mark_healthy(ids[2]);
        let counts = run(&router, &clock, &behaviours, 1);
        assert!(counts[0][2] < 50, "{} of 1000", counts[0][2]);
    }
}

#[test]
fn equal_servers_share_the_load_and_a_slow_one_gets_little() {
    let router = router(Config::default());
    let behaviours = [well(20), well(20), well(20), well(400)];
    fill(&router, 4);
    for (second, counts) in
        run(&router, &ManualClock::new(), &behaviours, 10).iter().enumerate().skip(1)
    {
        assert!(counts[3] < 60, "second {second}: {counts:?}");
        for server in 0..3 {
            assert!((250..420).contains(&counts[server]), "second {second}: {counts:?}");
        }
    }
}

/// Once it works again, a server is back in use: by a trial, with no probe.
#[test]
fn a_repaired_server_is_back_within_two_pauses() {
    let router = router(Config::default().pause(ms(1000)).pause_max(ms(2000)).slow_start(ms(1000)));
    fill(&router, 3);
    let clock = ManualClock::new();
    run(&router, &clock, &[well(20), well(20), at_once(100)], 5);
    let counts = run(&router, &clock, &[well(20), well(20), well(20)], 5);
    assert!(counts[4][2] > 250, "{counts:?}");
    assert_eq!(router.unhealthy(), 0);
}

/// What each second sends to a server that a probe calls well again, of four that share the load.
fn after_recovery(slow_start: u64) -> Vec<u64> {
    let router = router(Config::default().slow_start(ms(slow_start)));
    let ids = fill(&router, 4);
    let clock = ManualClock::new();
    run(&router, &clock, &[well(20); 4], 2);
    router.mark_unhealthy_at(ids[3], clock.now());
    let without = run(&router, &clock, &[well(20); 4], 1);
    assert_eq!(without[0][3], 0, "out means out");
    router.mark_healthy(ids[3]);
    run(&router, &clock, &[well(20); 4], 12).iter().map(|counts| counts[3]).collect()
}

#[test]
fn a_recovered_server_s_share_ramps_up() {
    let at_once = after_recovery(0);
    assert!(at_once.iter().all(|calls| (180..330).contains(calls)), "{at_once:?}");
    let slowly = after_recovery(10_000);
    assert!(slowly[0] > 0, "it is tried: {slowly:?}");
    assert!(slowly[0] < 60 && slowly[1] < 80, "{slowly:?}");
    assert!(slowly[4] < slowly[7] && slowly[7] < slowly[10], "{slowly:?}");
    assert!((80..190).contains(&slowly[5]), "about half: {slowly:?}");
    assert!(slowly[10] > 180 && slowly[11] > 180, "{slowly:?}");
}

/// A share is one among others: who is alone gets all there is.
#[test]
fn a_lone_recovered_server_gets_everything_at_once() {
    let router = router(Config::default());
    let ids = fill(&router, 3);
    let clock = ManualClock::new();
    run(&router, &clock, &[well(20); 3], 1);
    ids.iter().for_each(|id| assert!(router.mark_unhealthy_at(*id, clock.now())));
    router.mark_healthy(ids[1]);
    let counts = run(&router, &clock, &[well(20); 3], 3);
    assert!(counts.iter().all(|counts| counts[1] == 1000), "{counts:?}");
}

/// Two servers of the own zone bear five calls each; the rest goes to the other zone.
#[test]
fn an_overloaded_zone_sends_what_is_too_much_to_another() {
    let router = router(Config::default().zone("here").zone_spill(ms(150)));
    for (n, zone) in ["here", "here", "there", "there"].into_iter().enumerate() {
        router.register(Registration::new(format!("s{n}")).capabilities(["x"]).zone(zone));
    }
    let clock = ManualClock::new();
    let counts = run(&router, &clock, &[well(20); 4], 6);
    for counts in &counts[1..] {
        let near = counts[0] + counts[1];
        assert!((300..700).contains(&near), "{counts:?}");
    }
    // With room for all, none leaves, once it is known how fast they are.
    let router = router_with_room();
    let counts = run(&router, &ManualClock::new(), &[well(20); 4], 3);
    assert!(counts[1..].iter().all(|counts| counts[2] + counts[3] == 0), "{counts:?}");
}

fn router_with_room() -> Router {
    let router = router(Config::default().zone("here").zone_spill(ms(5_000)));
    for (n, zone) in ["here", "here", "there", "there"].into_iter().enumerate() {
        router.register(Registration::new(format!("s{n}")).capabilities(["x"]).zone(zone));
    }
    router
}
