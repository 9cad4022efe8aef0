//! Sticky keys.

use std::collections::HashMap;

use toolweir_core::ServerId;
use toolweir_router::{Config, Registration, Router};

use crate::support::*;

const KEYS: usize = 4000;

fn homes(router: &Router) -> Vec<ServerId> {
    (0..KEYS).map(|n| router.rank_sticky_at(&["x"], &format!("key {n}"), START)[0]).collect()
}

#[test]
fn a_key_stays_where_it_is_whatever_the_load() {
    let (router, ids) = pool(Config::default(), 20);
    let before = homes(&router);
    success(&router, ids[3], ms(900), START);
    let busy: Vec<_> = (0..50).map(|_| router.start_at(ids[4], START)).collect();
    assert_eq!(homes(&router), before);
    drop(busy);
}

#[test]
fn a_removed_server_moves_its_own_keys_alone() {
    let (router, ids) = pool(Config::default(), 10);
    let before = homes(&router);
    router.remove(ids[2]);
    for (old, new) in before.iter().zip(homes(&router)) {
        assert_eq!(*old == ids[2], *old != new);
    }
    // Back under its name, it has its keys again.
    let back = router.add("s2", ["x"]);
    for (old, new) in before.iter().zip(homes(&router)) {
        assert_eq!(if *old == ids[2] { back } else { *old }, new);
    }
}

#[test]
fn keys_spread_by_weight() {
    let router = router(Config::default());
    let weights = [1.0, 2.0, 5.0];
    for weight in weights {
        router.register(Registration::new(format!("w{weight}")).capabilities(["x"]).weight(weight));
    }
    let mut counts: HashMap<ServerId, f32> = HashMap::new();
    homes(&router).into_iter().for_each(|id| *counts.entry(id).or_default() += 1.0);
    for (n, weight) in weights.into_iter().enumerate() {
        let share = counts[&ServerId::new(n as u32)] / KEYS as f32;
        assert!((share - weight / 8.0).abs() < 0.03, "weight {weight}: {share}");
    }
}

#[test]
fn an_unhealthy_home_passes_its_keys_to_the_next_and_is_tried_with_them() {
    let (router, ids) = pool(Config::default(), 12);
    let rank = |key: &str, millis| router.rank_sticky_at(&["x"], key, at(millis));
    let before = rank("a", 0);
    assert_eq!(before.len(), 4);
    let home = before[0];
    let foreign = (0..).map(|n| n.to_string()).find(|key| rank(key, 0)[0] != home).unwrap();
    fail(&router, home, 4, START);
    assert_eq!(rank("a", 0)[..3], before[1..], "the next in line, in the same order");
    assert_ne!(rank(&foreign, 5000)[0], home, "no trial with another's key");
    let trial = rank("a", 5000);
    assert_eq!((trial[0], trial[1]), (home, before[1]));
    assert_eq!(rank("a", 5000)[0], before[1], "one trial a pause");
    assert!(ids.contains(&home));
}

#[test]
fn the_only_server_keeps_all_keys_even_unhealthy() {
    let (router, ids) = pool(Config::default(), 1);
    fail(&router, ids[0], 4, START);
    assert_eq!(router.rank_sticky_at(&["x"], "k", START).to_vec(), ids);
    assert_eq!(router.rank_sticky_at(&["x"], "k", at(5000)).to_vec(), ids);
}

/// Gateways of several versions must agree where a key lives: these were worked out with another program.
#[test]
fn the_home_of_a_key_is_the_same_in_every_version() {
    let (router, _) = pool(Config::default(), 10);
    let homes: Vec<u32> = homes(&router).iter().take(20).map(|id| id.get()).collect();
    assert_eq!(homes, [3, 4, 0, 3, 2, 3, 2, 1, 5, 6, 9, 3, 4, 1, 2, 2, 5, 5, 1, 8]);
}

#[test]
fn of_two_servers_of_one_name_the_older_keeps_the_keys() {
    let router = router(Config::default());
    let [older, newer] = ["same"; 2].map(|name| router.add(name, ["x"]));
    for key in 0..20 {
        let ranked = router.rank_sticky_at(&["x"], &format!("key {key}"), START);
        assert_eq!(ranked.to_vec(), [older, newer]);
    }
    // Out, the older is tried with its own keys, and the newer has none of its own.
    fail(&router, newer, 4, START);
    assert_eq!(router.rank_sticky_at(&["x"], "key", at(5000)).to_vec(), [older, newer]);
    fail(&router, older, 4, START);
    router.mark_healthy(newer);
    assert_eq!(router.rank_sticky_at(&["x"], "key", at(5000)).to_vec(), [older, newer]);
    assert_eq!(router.rank_sticky_at(&["x"], "key", at(5000)).to_vec(), [newer, older]);
}
