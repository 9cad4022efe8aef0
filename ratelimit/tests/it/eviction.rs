//! The bound on keys: memory stays flat, and going out and coming back earns nothing.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use toolweir_core::Instant;
use toolweir_ratelimit::{Limiter, Refusal};

use crate::{assert_within_quota, at, config, ms};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn within_the_bound_no_key_disturbs_another() -> Outcome {
    let limiter = Limiter::<u32>::new(&config(1.0, 2).max_keys(5_000))?;
    for key in 0..5_000 {
        limiter.check_at(&key, at(0))?;
        limiter.check_at(&key, at(0))?;
    }
    assert_eq!(limiter.len(), 5_000);
    for key in 0..5_000 {
        let refusal = limiter.check_at(&key, at(0));
        assert_eq!(refusal, Err(Refusal::Limited { retry_after: ms(1_000) }));
    }
    Ok(())
}

#[test]
fn a_key_that_was_pushed_out_has_no_more_than_before() -> Outcome {
    let limiter = Limiter::<u32>::new(&config(1.0, 5).max_keys(1))?;
    for _ in 0..5 {
        limiter.check_at(&1, at(0))?;
    }
    limiter.check_at(&2, at(1_000))?; // pushes 1 out, which had one call back
    limiter.check_at(&1, at(1_000))?;
    let refusal = limiter.check_at(&1, at(1_000));
    assert_eq!(refusal, Err(Refusal::Limited { retry_after: ms(1_000) }));
    Ok(())
}

/// Where it stands is chance: a search that left out one place would find nobody, and charge everybody instead.
#[test]
fn the_only_key_gives_way_wherever_it_stands() -> Outcome {
    for _ in 0..100 {
        let limiter = Limiter::<u32>::new(&config(1.0, 5).max_keys(1))?;
        limiter.check_at(&1, at(0))?;
        limiter.check_n_at(&2, 4, at(0))?;
        assert_eq!(limiter.check_n_at(&3, 4, at(0)), Ok(()), "as much as the first had left");
    }
    Ok(())
}

#[test]
fn idle_keys_make_room_for_free() -> Outcome {
    let limiter = Limiter::<u32>::new(&config(1.0, 5).max_keys(100))?;
    for key in 0..100 {
        limiter.check_at(&key, at(0))?;
    }
    for key in 100..200 {
        for _ in 0..5 {
            limiter.check_at(&key, at(1_000))?; // everyone is full again
        }
    }
    assert_eq!(limiter.len(), 100);
    Ok(())
}

#[test]
fn a_flood_of_keys_spares_the_heavy_and_costs_newcomers_a_call_each_round() -> Outcome {
    let limiter = Limiter::<u32>::new(&config(1.0, 10).max_keys(1_000))?;
    let left = |key| (0..10).filter(|_| limiter.check_at(&key, at(0)).is_ok()).count();
    assert_eq!(left(u32::MAX), 10);
    for key in 0..1_250 {
        limiter.check_at(&key, at(0))?;
    }
    assert_eq!(left(u32::MAX), 0, "the heavy key was forgotten");
    assert_eq!(left(10_000), 9, "a newcomer begins where the emptiest of the flood stands");
    for key in 20_000..120_000 {
        let _ = limiter.check_at(&key, at(0));
    }
    assert_eq!(limiter.len(), 1_000);
    // What is too much is refused, and forgotten with time.
    assert_eq!(left(1_000_000), 0);
    assert!(limiter.check_at(&1_000_000, at(10_000)).is_ok());
    Ok(())
}

#[test]
fn a_key_with_someone_waiting_stays() -> Outcome {
    let limiter = Limiter::<u32>::new(&config(1.0, 1).max_keys(1))?;
    limiter.check_at(&1, at(0))?;
    let turn = limiter.reserve_at(&1, 1, at(0), Instant::FAR_FUTURE)?;
    assert_eq!(turn.due(), at(1_000));
    // No room: newcomers share what is left over.
    limiter.check_at(&2, at(0))?;
    assert!(limiter.check_at(&3, at(0)).is_err());
    assert_eq!(limiter.len(), 1);
    // Nor is there a line to stand in.
    let refusal = limiter.reserve_at(&3, 1, at(0), Instant::FAR_FUTURE).expect_err("no room");
    assert_eq!(refusal, Refusal::QueueFull { retry_after: ms(1_000) });
    turn.take(at(1_000)).map_err(|_| "its time has come")?;
    limiter.check_at(&2, at(5_000))?;
    assert_eq!(limiter.check_at(&1, at(5_000)), Ok(()));
    Ok(())
}

/// It looks at sixteen keys wherever the last search ended, which is quick, and takes the one of them that is full
/// soonest, which spares the heavy. The rank of the least of sixteen out of a thousand is 59 on average; of all it
/// would be 1, of a single one 500.
#[test]
fn who_gives_way_is_the_soonest_full_of_sixteen() -> Outcome {
    const KEYS: u32 = 1_000;
    const ROUNDS: u64 = 60;
    let mut ranks = 0;
    for _ in 0..ROUNDS {
        let limiter = Limiter::<u32>::new(&config(1.0, KEYS).max_keys(KEYS as usize))?;
        for key in 1..=KEYS {
            limiter.check_n_at(&key, key, at(0))?; // full after so many seconds
        }
        limiter.check_at(&0, at(0))?;
        assert_eq!(limiter.len(), KEYS as usize);
        // Who is not known stands where the key stood that went.
        let refusal = limiter.check_n_at(&u32::MAX, KEYS, at(0)).expect_err("not full");
        ranks += refusal.retry_after().expect("limited").as_secs();
    }
    let rank = ranks / ROUNDS;
    assert!((20..=120).contains(&rank), "the {rank}th went");
    Ok(())
}

proptest! {
    #[test]
    fn no_key_ever_gets_more_than_its_quota(
        max_keys in 1_usize..6,
        script in prop::collection::vec((0_u8..12, 0_u64..700, 1_u32..4), 1..200),
    ) {
        let limiter = Limiter::<u8>::new(&config(2.0, 3).max_keys(max_keys))?;
        let mut gone: HashMap<u8, Vec<(Instant, u32)>> = HashMap::new();
        let mut now = 0;
        for (key, pause, cost) in script {
            now += pause;
            if limiter.check_n_at(&key, cost, at(now)).is_ok() {
                gone.entry(key).or_default().push((at(now), cost));
            }
            prop_assert!(limiter.len() <= max_keys);
        }
        for calls in gone.values() {
            assert_within_quota(calls, Duration::from_millis(500), NonZeroU32::new(3).expect("3"));
        }
    }
}
