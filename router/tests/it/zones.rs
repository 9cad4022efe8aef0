//! Servers of the own zone come first.

use proptest::prelude::*;
use toolweir_core::ServerId;
use toolweir_router::{Config, Distance, Registration, Router};

use crate::support::*;

fn config() -> Config {
    Config::default().zone("here")
}

/// Servers in these zones; an empty one is none.
fn servers(router: &Router, zones: &[&str]) -> Vec<ServerId> {
    let server = |(n, zone): (usize, &&str)| {
        let server = Registration::new(format!("s{n}")).capabilities(["x"]);
        if zone.is_empty() { server } else { server.zone(*zone) }
    };
    router.extend(zones.iter().enumerate().map(server))
}

fn first(router: &Router, millis: u64) -> ServerId {
    let ranked = router.rank_at(&["x"], at(millis))[0];
    assert_eq!(router.pick_at(&["x"], at(millis)).unwrap().server(), ranked);
    ranked
}

#[test]
fn the_own_zone_comes_first_and_no_zone_is_as_near() {
    for zone in ["here", ""] {
        let router = router(config());
        let ids = servers(&router, &["there", zone]);
        assert_eq!(first(&router, 0), ids[1], "a far server that nobody knows can wait");
        success(&router, ids[0], ms(1), START);
        success(&router, ids[1], ms(900), START);
        assert_eq!(first(&router, 0), ids[1], "however fast the far one is");
        assert_eq!(router.capable_at(&["x"], START), [ids[1], ids[0]]);
    }
}

#[test]
fn zones_count_for_nothing_where_the_router_has_none() {
    let router = router(Config::default());
    let ids = servers(&router, &["there", "here"]);
    success(&router, ids[0], ms(1), START);
    success(&router, ids[1], ms(900), START);
    assert_eq!(first(&router, 0), ids[0]);
    assert_eq!(standing(&router, ids[0], START).distance, None);
}

#[test]
fn an_unhealthy_zone_is_left() {
    let router = router(config());
    let ids = servers(&router, &["there", "here", "there"]);
    ids.iter().for_each(|id| success(&router, *id, ms(10), START));
    fail(&router, ids[1], 4, START);
    assert_ne!(router.rank_at(&["x"], START)[0], ids[1]);
    assert_eq!(*router.rank_at(&["x"], START).last().unwrap(), ids[1], "and never forgotten");
}

#[test]
fn an_overloaded_server_is_no_nearer_than_the_others() {
    let router = router(config());
    let ids = servers(&router, &["here", "there"]);
    success(&router, ids[0], ms(300), START);
    success(&router, ids[1], ms(200), START);
    // One more call at each: 300, 600, 900, 1200 ms, and a second is what is borne.
    let mut calls = Vec::new();
    for expected in [ids[0], ids[0], ids[0], ids[1]] {
        assert_eq!(first(&router, 0), expected, "{} in flight", calls.len());
        calls.push(router.pick_at(&["x"], START).unwrap());
    }
    assert_eq!(standing(&router, ids[0], START).distance, Some(Distance::Overloaded));
    calls.truncate(2);
    assert_eq!(first(&router, 0), ids[0], "there is room again");
}

#[test]
fn weights_and_priorities_go_on_counting() {
    let router = router(config());
    let near = Registration::new("near").capabilities(["x"]).zone("here").priority(1);
    let far = Registration::new("far").capabilities(["x"]).zone("there");
    let [near, far] = [near, far].map(|server| router.register(server));
    assert_eq!(first(&router, 0), far, "a priority is a word of somebody's");
    router.set_priority(near, 0);
    router.set_weight(near, 0.001);
    success(&router, near, ms(900), START);
    success(&router, far, ms(1), START);
    assert_eq!(first(&router, 0), near, "a small weight is no load");
    assert!(router.set_zone(near, Some("there")));
    assert_eq!(first(&router, 0), far);
    assert!(router.set_zone(near, None));
    assert_eq!(first(&router, 0), near);
}

#[test]
fn among_many_the_near_are_found_and_sticky_keys_stay_near() {
    let router = router(config());
    let zones: Vec<&str> = (0..40).map(|n| if n % 10 == 3 { "here" } else { "there" }).collect();
    let ids = servers(&router, &zones);
    ids.iter().for_each(|id| success(&router, *id, ms(10), START));
    let near = [ids[3], ids[13], ids[23], ids[33]];
    for n in 0..100 {
        let ranked = router.rank_at(&["x"], START);
        assert!(ranked.iter().all(|id| near.contains(id)), "{ranked:?}");
        assert!(near.contains(&router.pick_at(&["x"], START).unwrap().server()));
        assert!(near.contains(&router.rank_sticky_at(&["x"], &format!("key {n}"), START)[0]));
    }
}

#[test]
fn it_is_explained() {
    let router = router(config());
    let ids = servers(&router, &["there", "here", "here", ""]);
    for (id, latency) in ids.iter().zip([10, 20, 2_000, 30]) {
        success(&router, *id, ms(latency), START);
    }
    assert_eq!(
        router.explain_at(&["x"], START).to_string(),
        " 1. s1 (#1): 20.0 ms × (0 in flight + 1), in our zone\n \
          2. s3 (#3): 30.0 ms × (0 in flight + 1)\n \
          3. s0 (#0): 10.0 ms × (0 in flight + 1), in another zone (there)\n \
          4. s2 (#2): 2000.0 ms × (0 in flight + 1), in our zone, but it has too much to do for that to count"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The whole order is that of four words: unhealthy, far or overloaded, cost.
    #[test]
    fn the_order_is_predicted(
        script in prop::collection::vec((any::<bool>(), any::<bool>(), 1..2_500_u64, 0..3_usize), 1..30),
    ) {
        let router = router(config());
        let zones: Vec<&str> = script.iter().map(|(near, ..)| if *near { "here" } else { "there" }).collect();
        let ids = servers(&router, &zones);
        let zoned = zones.contains(&"there");
        let mut calls = Vec::new();
        let mut places = Vec::new();
        for (id, (near, out, latency, busy)) in ids.iter().zip(&script) {
            success(&router, *id, ms(*latency), START);
            if *out {
                router.mark_unhealthy_at(*id, START);
            }
            calls.extend((0..*busy).map(|_| router.start_at(*id, START)));
            let cost = latency * (*busy as u64 + 1);
            places.push((*out, zoned && (!near || cost > 1_000), cost));
        }
        let order = router.capable_at(&["x"], START);
        for pair in order.windows(2) {
            let [one, other] = [pair[0], pair[1]].map(|id| places[id.get() as usize]);
            prop_assert!((one.0, one.1) <= (other.0, other.1), "{:?} before {:?}", one, other);
            let alike = (one.0, one.1) == (other.0, other.1);
            prop_assert!(!alike || one.2 <= other.2, "{:?} before {:?}", one, other);
        }
        // Of more than eight that are alike in this, two are drawn, and the better of them leads.
        if ids.len() <= 8 || zoned && zones.contains(&"here") {
            let best = router.rank_at(&["x"], START)[0];
            let (best, least) = (places[best.get() as usize], places[order[0].get() as usize]);
            prop_assert_eq!(best, least, "chance is between equals only");
        }
    }
}
