//! Who can answer, and in which order.

use std::collections::{HashMap, HashSet};

use toolweir_core::{Hints, RANKED_MAX, Select, ServerId};
use toolweir_router::{Config, Registration, Router, Standing};

use crate::support::*;

#[test]
fn capable_means_all_of_them() {
    let router = router(Config::default());
    let a = router.add("a", ["github", "slack"]);
    let b = router.add("b", ["github"]);
    let c = router.add("c", ["slack", "github", "notion", "github"]);
    for (wanted, ids) in [
        (&["github"][..], &[a, b, c][..]),
        (&["slack", "github"], &[a, c]),
        (&["slack", "github", "slack"], &[a, c]),
        (&["notion"], &[c]),
        (&["notion", "email"], &[]),
        (&["Github"], &[]),
        (&[], &[a, b, c]),
    ] {
        assert_eq!(router.capable_at(wanted, START), ids, "{wanted:?}");
        let ranked: HashSet<ServerId> = router.rank_at(wanted, START).iter().copied().collect();
        assert_eq!(ranked, ids.iter().copied().collect(), "{wanted:?}");
    }
}

#[test]
fn more_capabilities_than_fit_in_place_work_the_same() {
    let router = router(Config::default());
    let ids: Vec<_> = (0..300)
        .map(|n| router.add("s", [format!("c{n}"), format!("d{n}"), "all".into()]))
        .collect();
    for n in [0, 63, 64, 127, 128, 299] {
        let wanted = [format!("c{n}"), format!("d{n}"), "all".to_owned()];
        assert_eq!(router.capable_at(&wanted, START), [ids[n]]);
        let mixed = [format!("c{n}"), format!("d{}", (n + 1) % 300)];
        assert!(router.capable_at(&mixed, START).is_empty());
    }
}

#[test]
fn capabilities_can_be_changed_and_what_was_learned_stays() {
    let router = router(Config::default());
    let id = router.add("a", ["github"]);
    success(&router, id, ms(20), START);
    let attempt = router.start_at(id, START).unwrap();
    assert!(router.set_capabilities(id, ["slack"]));
    assert!(router.capable_at(&["github"], START).is_empty());
    assert_eq!(router.capable_at(&["slack"], START), [id]);
    let standing_now = standing(&router, id, START);
    assert_eq!((standing_now.latency_ms, standing_now.in_flight), (Some(20.0), 1));
    attempt.succeed(at(20));
    assert_eq!(standing(&router, id, at(20)).in_flight, 0);
    assert!(!router.set_capabilities(ServerId::new(99), ["slack"]));
}

#[test]
fn latency_times_calls_in_flight() {
    let (router, ids) = pool(Config::default(), 3);
    for (id, latency) in ids.iter().zip([10, 25, 100]) {
        success(&router, *id, ms(latency), START);
    }
    let order = || router.rank_at(&["x"], START).to_vec();
    assert_eq!(order(), [ids[0], ids[1], ids[2]]);
    let first = router.start_at(ids[0], START);
    assert_eq!(order(), [ids[0], ids[1], ids[2]], "20 against 25");
    let second = router.start_at(ids[0], START);
    assert_eq!(order(), [ids[1], ids[0], ids[2]], "30 against 25");
    drop((first, second));
    assert_eq!(order(), [ids[0], ids[1], ids[2]], "dropped calls are taken back");
}

#[test]
fn a_new_server_gets_one_call_until_it_answers() {
    let (router, ids) = pool(Config::default(), 2);
    success(&router, ids[0], ms(100), START);
    let attempt = router.pick_at(&["x"], START).unwrap();
    assert_eq!(attempt.server(), ids[1]);
    assert_eq!(router.rank_at(&["x"], START)[0], ids[0], "not two");
    attempt.succeed(at(1));
    assert_eq!(router.rank_at(&["x"], at(1))[0], ids[1]);
}

#[test]
fn weights_share_the_work() {
    let router = router(Config::default());
    let light = router.register(Registration::new("light").capabilities(["x"]));
    let heavy = router.register(Registration::new("heavy").capabilities(["x"]).weight(3.0));
    success(&router, light, ms(10), START);
    success(&router, heavy, ms(10), START);
    let attempts: Vec<_> = (0..40).map(|_| router.pick_at(&["x"], START).unwrap()).collect();
    let heavy_calls = attempts.iter().filter(|attempt| attempt.server() == heavy).count();
    assert!((29..=31).contains(&heavy_calls), "{heavy_calls} of 40");
    drop(attempts);
    assert!(router.set_weight(light, 30.0));
    assert_eq!(router.rank_at(&["x"], START)[0], light);
    for (given, kept) in [(0.0, 0.001), (-1.0, 0.001), (f32::INFINITY, 1000.0), (f32::NAN, 1.0)] {
        router.set_weight(light, given);
        assert_eq!(standing(&router, light, START).weight, kept, "{given}");
    }
}

#[test]
fn a_lower_priority_number_comes_first_while_it_is_healthy() {
    for backups in [1, 20] {
        let router = router(Config::default());
        let main = router.register(Registration::new("main").capabilities(["x"]));
        let others: Vec<_> = (0..backups)
            .map(|_| router.register(Registration::new("b").capabilities(["x"]).priority(1)))
            .collect();
        success(&router, main, ms(900), START);
        others.iter().for_each(|id| success(&router, *id, ms(1), START));
        assert_eq!(router.rank_at(&["x"], START)[0], main);
        fail(&router, main, 4, START);
        assert_ne!(router.rank_at(&["x"], START)[0], main);
        assert!(router.set_priority(others[0], 0));
        router.mark_healthy(main);
        success(&router, main, ms(900), START);
        assert_eq!(router.rank_at(&["x"], START)[..2], [others[0], main]);
    }
}

#[test]
fn at_most_four_each_once_and_registered() {
    for servers in [1, 3, 4, 8, 9, 100] {
        let (router, ids) = pool(Config::default(), servers);
        let twice: Vec<_> = ids.iter().chain(&ids).copied().chain([ServerId::new(9999)]).collect();
        for _ in 0..50 {
            for ranked in [router.rank_at(&["x"], START), router.rank_among_at(&twice, START)] {
                assert_eq!(ranked.len(), servers.min(RANKED_MAX));
                let different: HashSet<_> = ranked.iter().collect();
                assert_eq!(different.len(), ranked.len(), "{ranked:?}");
                assert!(ranked.iter().all(|id| ids.contains(id)));
            }
        }
    }
}

#[test]
fn nobody_is_an_empty_answer() {
    let (router, _) = pool(Config::default(), 0);
    assert!(router.rank_at(&["x"], START).is_empty());
    assert!(router.rank_among_at(&[ServerId::new(0)], START).is_empty());
    assert!(router.rank_among_at(&[], START).is_empty());
    assert!(router.pick_at(&["x"], START).is_none());
    assert!(router.start_at(ServerId::new(0), START).is_none());
    assert!(router.is_empty());
}

#[test]
fn equals_share_evenly() {
    for servers in [2, 5, 8, 9, 40] {
        let (router, ids) = pool(Config::default(), servers);
        ids.iter().for_each(|id| success(&router, *id, ms(10), START));
        let mut firsts: HashMap<ServerId, usize> = HashMap::new();
        for _ in 0..servers * 500 {
            *firsts.entry(router.rank_at(&["x"], START)[0]).or_default() += 1;
        }
        for id in ids {
            let times = firsts.get(&id).copied().unwrap_or_default();
            assert!((400..600).contains(&times), "{id:?} of {servers}: {times} of about 500");
        }
    }
}

#[test]
fn of_many_the_better_of_two_leads() {
    let (router, ids) = pool(Config::default(), 100);
    for (n, id) in ids.iter().enumerate() {
        success(&router, *id, ms(10 + n as u64), START);
    }
    let first = |_| router.rank_at(&["x"], START)[0].get();
    let picked = |_| router.pick_at(&["x"], START).unwrap().server().get();
    let sums: [u32; 2] = [(0..10_000).map(first).sum(), (0..10_000).map(picked).sum()];
    // The lesser of two random numbers below 100 is 33 on average; one alone would give 50.
    for average in sums.map(|sum| f64::from(sum) / 1e4) {
        assert!((31.0..35.0).contains(&average), "{average}");
    }
}

/// Of nine places each is one of the two with the same chance, whichever is drawn first; and with eight, or where most
/// places are empty, nothing is left to chance.
#[test]
fn of_up_to_eight_the_best_of_all_leads_and_of_nine_that_of_any_two() {
    for servers in [1, 2, 7, 8, 9] {
        for best in 0..servers {
            let (router, ids) = pool(Config::default(), servers);
            let best = ids[best];
            ids.iter()
                .for_each(|id| success(&router, *id, ms(if *id == best { 1 } else { 100 }), START));
            let leads = |first: &dyn Fn() -> ServerId| (0..900).filter(|_| first() == best).count();
            let times = [
                leads(&|| router.rank_at(&["x"], START)[0]),
                leads(&|| router.pick_at(&["x"], START).unwrap().server()),
            ];
            for times in times {
                let expected = if servers > 8 { 150..250 } else { 900..901 };
                assert!(expected.contains(&times), "{best:?} of {servers}: {times} of 900");
            }
        }
    }
}

#[test]
fn the_worst_of_nine_never_leads_since_no_server_is_drawn_twice() {
    for worst in 0..9 {
        let (router, ids) = pool(Config::default(), 9);
        let worst = ids[worst];
        ids.iter()
            .for_each(|id| success(&router, *id, ms(if *id == worst { 100 } else { 1 }), START));
        for _ in 0..300 {
            assert_ne!(router.rank_at(&["x"], START)[0], worst);
            assert_ne!(router.pick_at(&["x"], START).unwrap().server(), worst);
        }
    }
}

#[test]
fn of_few_among_many_the_best_of_all_leads() {
    let (router, ids) = pool(Config::default(), 40);
    let few: Vec<ServerId> = ids.iter().copied().step_by(3).collect();
    for (n, id) in ids.iter().enumerate() {
        router.set_capabilities(*id, if n % 3 == 0 { vec!["x", "y"] } else { vec!["x"] });
        success(&router, *id, ms(100 - n as u64), START);
    }
    router.add("another", ["y"]);
    for _ in 0..100 {
        let ranked = router.rank_at(&["x", "y"], START);
        assert!(ranked.iter().eq(few.iter().rev().take(4)), "{ranked:?}");
        assert_eq!(router.pick_at(&["x", "y"], START).unwrap().server(), few[few.len() - 1]);
    }
}

/// Behind the two that are drawn come others, and these are drawn too.
#[test]
fn who_stands_third_of_many_is_any_of_them() {
    let (router, ids) = pool(Config::default(), 20);
    ids.iter().for_each(|id| success(&router, *id, ms(10), START));
    let mut seen: HashMap<ServerId, usize> = HashMap::new();
    for _ in 0..2_000 {
        router.rank_at(&["x"], START).iter().for_each(|id| *seen.entry(*id).or_default() += 1);
    }
    for id in ids {
        let times = seen.get(&id).copied().unwrap_or_default();
        assert!((320..480).contains(&times), "{id:?}: {times} of about 400");
    }
}

#[test]
fn one_healthy_server_among_many_is_found() {
    for servers in [9, 50, 300] {
        let (router, ids) = pool(Config::default(), servers);
        ids.iter().for_each(|id| fail(&router, *id, 4, START));
        for id in ids.iter().step_by(7) {
            router.mark_healthy(*id);
            let ranked = router.rank_at(&["x"], START);
            assert_eq!((ranked[0], ranked.len()), (*id, 4));
            assert_eq!(router.pick_at(&["x"], START).unwrap().server(), *id);
            router.mark_unhealthy_at(*id, START);
        }
    }
}

#[test]
fn one_seed_gives_one_sequence() {
    let firsts = |seed| {
        let router = Router::new(Config::default().seed(seed)).unwrap();
        fill(&router, 20);
        (0..50).map(|_| router.rank_at(&["x"], START)).collect::<Vec<_>>()
    };
    assert_eq!(firsts(1), firsts(1));
    assert_ne!(firsts(1), firsts(2));
}

#[test]
fn an_id_is_never_used_again() {
    let router = router(Config::default());
    let mut seen = HashSet::new();
    for round in 0..100 {
        let ids = router.extend((0..3).map(|n| Registration::new(format!("{round} {n}"))));
        assert!(ids.iter().all(|id| seen.insert(*id)), "{ids:?}");
        ids.iter().for_each(|id| assert!(router.remove(*id)));
    }
    assert_eq!(router.len(), 0);
}

#[test]
fn two_servers_of_one_name_are_two_servers() {
    let router = router(Config::default());
    let (a, b) = (router.add("same", ["x"]), router.add("same", ["x"]));
    assert_ne!(a, b);
    assert_eq!(router.capable_at(&["x"], START), [a, b]);
    assert_eq!(router.name(a).as_deref(), Some("same"));
    assert_eq!(router.name(ServerId::new(7)), None);
}

#[test]
fn explain_says_why() {
    let router = router(Config::default());
    let fast = router.add("fast", ["github"]);
    let broken = router.add("broken", ["github"]);
    let fresh = router.add("fresh", ["github"]);
    let other = router.add("other", ["slack"]);
    router.register(Registration::new("backup").capabilities(["github"]).priority(2).weight(0.5));
    success(&router, fast, ms(10), START);
    fail(&router, broken, 4, START);
    let busy = router.start_at(fast, START);
    let explanation = router.explain_at(&["github"], START);
    assert_eq!(
        explanation.to_string(),
        " 1. fresh (#2): no answer yet: first in line\n \
          2. fast (#0): 10.0 ms × (1 in flight + 1)\n \
          3. backup (#4): no answer yet: first in line, weight 0.5, priority 2\n \
          4. broken (#1): 5000.0 ms × (0 in flight + 1), unhealthy (4 errors), next trial in 5000 ms\n \
          -  other (#3): cannot answer: lacks github"
    );
    assert_eq!(explanation.servers[0].server(), fresh);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["servers"][1]["cost_ms"], 20.0);
    assert_eq!(json["servers"][3]["health"], "unhealthy");
    assert_eq!(json["servers"][4]["missing"][0], "github");
    drop(busy);

    // Looking takes no trial away.
    let later = at(5000);
    assert!(router.explain_at(&["github"], later).to_string().contains("due for a trial"));
    assert_eq!(router.rank_at(&["github"], later)[0], broken);

    let among = router.explain_among_at(&[other, fast], later);
    let places: Vec<_> = among.servers.iter().map(|standing| standing.place).collect();
    assert_eq!(places, [Some(1), Some(2), None, None, None]);
    assert_eq!(among.servers[2].reason, "cannot answer: not among the candidates");
}

#[test]
fn a_call_is_explained_as_it_would_be_ranked() {
    let router = router(Config::default());
    let ids = fill(&router, 3);
    success(&router, ids[0], ms(10), START);
    success(&router, ids[1], ms(20), START);
    fail(&router, ids[2], 4, START);
    let (read, write) = (call().hints(Hints::read()), call());
    let select: &dyn Select = &router;
    // The pause is over at 5,000; from 10,000 on, a second one is.
    for (millis, asked, leads, said) in [
        (4_999, &read, false, "next trial in 1 ms"),
        (5_000, &read, true, "due for a trial"),
        (9_999, &write, false, "due for a trial, but this call cannot be repeated"),
        (10_000, &write, true, "due for a trial"),
    ] {
        let explained = router.explain_call_at(asked, &ids, at(millis));
        assert_eq!(explained.repeatable, Some(std::ptr::eq(asked, &read)));
        let order: Vec<_> = explained.servers.iter().map(Standing::server).collect();
        let expected = if leads { [ids[2], ids[0], ids[1]] } else { [ids[0], ids[1], ids[2]] };
        assert_eq!(order, expected, "at {millis}");
        let last = explained.servers.iter().find(|standing| standing.server() == ids[2]).unwrap();
        assert!(last.reason.ends_with(said), "at {millis}: {}", last.reason);
        assert_eq!(router.explain_call_at(asked, &ids, at(millis)), explained, "nothing is taken");
        if !leads {
            assert_eq!(select.rank(asked, &ids, at(millis)).to_vec(), order, "at {millis}");
        }
    }
    let ranked = select.rank(&read, &ids, at(5_000)).to_vec();
    assert_eq!(ranked, [ids[2], ids[0], ids[1]], "as was said");
}

#[test]
fn of_two_that_are_due_one_is_explained_as_the_trial_and_without_a_call_none() {
    let router = router(Config::default());
    let ids = fill(&router, 3);
    success(&router, ids[0], ms(10), START);
    fail(&router, ids[1], 4, START);
    fail(&router, ids[2], 4, START);
    let read = call().hints(Hints::read());
    let explained = router.explain_call_at(&read, &ids, at(5_000));
    let order: Vec<_> = explained.servers.iter().map(Standing::server).collect();
    assert_eq!(order, [ids[1], ids[0], ids[2]]);
    assert_eq!(router.capable_at(&["x"], at(5_000)), ids);
}

/// An unknown server with calls in flight counts as a slow one, and the fastest is never below a microsecond.
#[test]
fn what_a_call_costs_where_little_is_known() {
    let (router, ids) = pool(Config::default(), 2);
    let busy: Vec<_> = (0..3).map(|_| router.start_at(ids[0], START)).collect();
    let cost = standing(&router, ids[0], START).cost_ms;
    assert!((cost - 15_000.0).abs() < 0.1, "3 × the penalty, not {cost}");
    drop(busy);
    success(&router, ids[1], ms(10), START);
    assert_eq!(standing(&router, ids[1], at(86_400_000)).cost_ms, 0.001);
    let _busy: Vec<_> = (0..7).map(|_| router.start_at(ids[1], START)).collect();
    assert_eq!(standing(&router, ids[1], at(86_400_000)).cost_ms, 0.008);
}

/// The extremes of weight, latency and load keep their order: nothing wraps around.
#[test]
fn the_largest_and_the_smallest_cost_keep_their_order() {
    let router = router(Config::default());
    let [light, heavy] = [0.0, 1e9]
        .map(|weight| router.register(Registration::new("w").capabilities(["x"]).weight(weight)));
    let fresh = router.add("fresh", ["x"]);
    let (now, long) = (at(200_000_000), ms(100_000_000));
    success(&router, light, long, now);
    success(&router, heavy, ms(0), now);
    let busy: Vec<_> = (0..1000).map(|_| router.start_at(light, now)).collect();
    assert_eq!(router.capable_at(&["x"], now), [fresh, heavy, light]);
    let costs = [fresh, heavy, light].map(|id| standing(&router, id, now).cost_ms);
    assert_eq!(costs[0], 0.0);
    assert!(costs[1] < 0.001, "{costs:?}");
    assert!((costs[2] / (86_400e3 * 1001.0 * 1000.0) - 1.0).abs() < 1e-3, "{costs:?}");
    drop(busy);
}

/// A picker keeps the table that it last saw, and must not keep it any longer than that.
#[test]
fn a_picker_picks_as_the_router_does_and_sees_every_change() {
    let config = || Config::default().seed(3);
    let (one, other) = (Router::new(config()).unwrap(), Router::new(config()).unwrap());
    let ids = [&one, &other].map(|router| fill(router, 12));
    assert_eq!(ids[0], ids[1]);
    let mut picker = other.picker(["x"]);
    for step in 0..200 {
        let now = at(step * 10);
        if step == 100 {
            assert!(one.remove(ids[0][3]) && other.remove(ids[0][3]));
            one.add("new", ["x"]);
            other.add("new", ["x"]);
        }
        let (here, there) = (one.pick_at(&["x"], now).unwrap(), picker.pick_at(now).unwrap());
        assert_eq!(here.server(), there.server(), "step {step}");
        here.succeed(now + ms(step % 7));
        there.succeed(now + ms(step % 7));
    }
    for id in &ids[0] {
        other.remove(*id);
    }
    let new = picker.pick_at(at(9000)).unwrap().server();
    assert!(!ids[0].contains(&new));
    assert!(other.remove(new));
    assert!(picker.pick_at(at(9000)).is_none());
}
