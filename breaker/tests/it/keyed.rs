//! A breaker a key, within a bound.

use std::sync::{Arc, Mutex};

use toolweir_breaker::{Breakers, Config, ManualClock, Outcome, State, Verdict};
use toolweir_core::Answer;

use crate::run;

/// With room for ten, two keys that fall into one of its parts push each other out: one time in 64.
const ROOMY: usize = 64 * 64;

#[test]
fn keys_are_apart() {
    let breakers = Breakers::<&str>::new(Config::default().failures(1), 100).unwrap();
    run(&*breakers.get(&"bad"), "f");
    assert_eq!(breakers.get(&"bad").state(), State::Open);
    assert_eq!(breakers.get(&"good").state(), State::Closed);
    assert_eq!((breakers.len(), breakers.capacity()), (2, 128));
    assert!(breakers.peek(&"other").is_none());
    assert_eq!(breakers.remove(&"bad").unwrap().state(), State::Open);
    assert_eq!(breakers.get(&"bad").state(), State::Closed);
}

#[test]
fn a_flood_of_keys_stays_within_the_bound_and_loses_no_open_breaker() {
    let breakers = Breakers::new(Config::default().failures(1), 1_000).unwrap();
    let open: Vec<u64> = (1..=64).map(|key| key << 32).collect();
    for key in &open {
        run(&*breakers.get(key), "f");
    }
    for key in 0..100_000 {
        run(&*breakers.get(&key), "s");
    }
    assert!(breakers.len() <= breakers.capacity());
    let still = open
        .iter()
        .filter(|key| breakers.peek(key).is_some_and(|breaker| breaker.state() == State::Open));
    assert_eq!(still.count(), open.len());
}

#[test]
fn where_all_are_open_the_bound_holds_still() {
    let breakers = Breakers::new(Config::default().failures(1), 64).unwrap();
    for key in 0..10_000 {
        run(&*breakers.get(&key), "f");
    }
    assert!(breakers.len() <= 64);
    assert!(!breakers.is_empty());
}

#[test]
fn the_listener_hears_the_key() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let clock = Arc::new(ManualClock::new());
    let breakers = Breakers::with_clock(Config::default().failures(1), ROOMY, clock)
        .unwrap()
        .on_transition(move |key: &String, change| {
            told.lock().unwrap().push((key.clone(), change.to));
        });
    run(&*breakers.get(&"a".to_owned()), "f");
    run(&*breakers.get(&"b".to_owned()), "f");
    let expected = [("a".to_owned(), State::Open), ("b".to_owned(), State::Open)];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn a_key_is_found_by_what_it_borrows_as() {
    let breakers = Breakers::<String>::new(Config::default().failures(1), ROOMY).unwrap();
    run(&*breakers.get("a"), "f");
    assert_eq!(breakers.peek("a").unwrap().state(), State::Open);
    assert!(breakers.peek("b").is_none());
    assert!(breakers.remove("b").is_none());
    assert_eq!(breakers.remove("a").unwrap().state(), State::Open);
    assert!(breakers.is_empty());
}

#[test]
fn all_keys_are_classified_alike_and_seen_at_once() {
    let strict = |outcome: &Outcome| {
        if outcome.is_ok() { Verdict::Success } else { Verdict::Failure }
    };
    let breakers = Breakers::<String>::new(Config::default().failures(1), ROOMY).unwrap();
    let breakers = breakers.classify(strict);
    for (key, outcome) in [("a", Outcome::OK), ("b", Outcome::Answered(Answer::ToolError))] {
        breakers.get(key).try_acquire().unwrap().settle(&outcome);
    }
    let mut seen = breakers.snapshots();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    let states: Vec<_> = seen.iter().map(|(key, seen)| (key.as_str(), seen.state)).collect();
    assert_eq!(states, [("a", State::Closed), ("b", State::Open)]);
    assert_eq!(breakers.peek("b").unwrap().snapshot().generation, seen[1].1.generation);
}
