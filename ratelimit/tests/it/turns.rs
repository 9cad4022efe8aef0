//! Reservations: the line before a bucket, driven by hand.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use toolweir_core::{Clock, Instant, ManualClock};
use toolweir_ratelimit::{Bucket, Limiter, Refusal, Turn};

use crate::{assert_within_quota, at, config, ms};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const FAR: Instant = Instant::FAR_FUTURE;

fn bucket() -> Result<Bucket, Box<dyn std::error::Error>> {
    Ok(Bucket::new(&config(1.0, 1).max_wait(ms(60_000)).max_waiting(4))?)
}

#[test]
fn turns_come_in_the_order_of_arrival_one_an_interval() -> Outcome {
    let bucket = bucket()?;
    let turns: Vec<Turn> =
        (0..4).map(|_| bucket.reserve_at(1, at(0), FAR)).collect::<Result<_, _>>()?;
    let due: Vec<Instant> = turns.iter().map(Turn::due).collect();
    assert_eq!(due, [at(0), at(1_000), at(2_000), at(3_000)]);
    assert_eq!(bucket.waiting(), 3);
    for (turn, due) in turns.into_iter().zip(due) {
        assert!(turn.take(due).is_ok());
    }
    assert_eq!(bucket.waiting(), 0);
    Ok(())
}

#[test]
fn a_turn_given_back_moves_up_all_behind_it() -> Outcome {
    let bucket = bucket()?;
    let _now = bucket.reserve_at(1, at(0), FAR)?;
    let first = bucket.reserve_at(1, at(0), FAR)?;
    let second = bucket.reserve_at(1, at(0), FAR)?;
    let third = bucket.reserve_at(1, at(0), FAR)?;
    first.give_back(at(500));
    assert_eq!([second.due(), third.due()], [at(1_000), at(2_000)]);
    assert_eq!(bucket.reserve_at(1, at(500), FAR)?.due(), at(3_000));
    third.give_back(at(600));
    assert_eq!(second.due(), at(1_000));
    Ok(())
}

#[test]
fn a_turn_given_back_after_its_time_is_spent() -> Outcome {
    let bucket = bucket()?;
    bucket.check_at(at(0))?;
    let late = bucket.reserve_at(1, at(0), FAR)?;
    let next = bucket.reserve_at(1, at(0), FAR)?;
    late.give_back(at(1_000));
    assert_eq!(next.due(), at(2_000));
    assert!(bucket.check_at(at(2_000)).is_err());
    Ok(())
}

#[test]
fn nobody_moves_up_into_the_past() -> Outcome {
    let bucket = Bucket::new(&config(1.0, 4).max_wait(ms(60_000)))?;
    bucket.check_n_at(4, at(0))?;
    let dear = bucket.reserve_at(4, at(0), FAR)?;
    let cheap = bucket.reserve_at(1, at(0), FAR)?;
    assert_eq!([dear.due(), cheap.due()], [at(4_000), at(5_000)]);
    dear.give_back(at(3_000)); // alone, the cheap one would have gone at 1,000
    assert_eq!(cheap.due(), at(3_000));
    assert!(cheap.take(at(3_000)).is_ok());
    Ok(())
}

#[test]
fn a_turn_not_yet_come_is_handed_back() -> Outcome {
    let bucket = bucket()?;
    bucket.check_at(at(0))?;
    let turn = bucket.reserve_at(1, at(0), FAR)?;
    let (turn, left) = turn.take(at(999)).expect_err("too early");
    assert_eq!(left, ms(1));
    assert!(turn.take(at(1_000)).is_ok());
    Ok(())
}

#[test]
fn what_comes_too_late_is_refused_at_once_and_costs_nothing() -> Outcome {
    let bucket = bucket()?;
    bucket.check_at(at(0))?;
    let refusal = bucket.reserve_at(1, at(0), at(999)).expect_err("after the deadline");
    assert_eq!(refusal, Refusal::TooLate { retry_after: ms(1_000) });
    // What need not wait has no deadline to miss.
    assert!(bucket.reserve_at(1, at(1_000), at(0)).is_ok_and(|turn| turn.due() == at(1_000)));
    let bucket = self::bucket()?;
    bucket.check_at(at(0))?;
    let turn = bucket.reserve_at(1, at(0), at(1_000))?;
    assert_eq!(turn.due(), at(1_000));
    let patient = Bucket::new(&config(1.0, 1).max_wait(ms(999)))?;
    patient.check_at(at(0))?;
    let refusal = patient.reserve_at(1, at(0), FAR).expect_err("after the longest wait");
    assert_eq!(refusal, Refusal::TooLate { retry_after: ms(1_000) });
    Ok(())
}

#[test]
fn the_line_is_bounded() -> Outcome {
    let bucket = bucket()?;
    bucket.check_at(at(0))?;
    let turns: Vec<Turn> =
        (0..4).map(|_| bucket.reserve_at(1, at(0), FAR)).collect::<Result<_, _>>()?;
    let refusal = bucket.reserve_at(1, at(0), FAR).expect_err("full");
    assert_eq!(refusal, Refusal::QueueFull { retry_after: ms(5_000) });
    assert_eq!(
        bucket.reserve_at(2, at(0), FAR).expect_err("2 > 1"),
        Refusal::TooCostly { burst: 1 }
    );
    drop(turns);
    Ok(())
}

#[test]
fn a_dropped_turn_is_given_back_by_the_limiters_clock() -> Outcome {
    let clock = std::sync::Arc::new(ManualClock::new());
    let limiter = Limiter::<u8>::with_clock(&config(1.0, 1).max_wait(ms(9_000)), clock.clone())?;
    limiter.check(&1)?;
    let turn = limiter.reserve_at(&1, 1, clock.now(), FAR)?;
    clock.advance(ms(999));
    drop(turn);
    clock.advance(ms(1));
    assert_eq!(limiter.check(&1), Ok(()));
    Ok(())
}

proptest! {
    /// Checks, reservations, leavings and pauses at random; each turn is taken the moment it comes.
    #[test]
    fn whatever_leaves_or_pauses_the_quota_and_the_order_hold(
        burst in 1_u32..5,
        script in prop::collection::vec((0_u8..8, 0_u64..900, 1_u32..5, 0_usize..8), 1..120),
    ) {
        let bucket = Bucket::new(&config(2.0, burst).max_wait(ms(20_000)).max_waiting(8))?;
        let mut line: Vec<(Turn, u32)> = Vec::new();
        let mut gone: Vec<(Instant, u32)> = Vec::new();
        let mut paused_until = at(0);
        let mut now = at(0);
        for (what, pause, cost, place) in script {
            let until = now + ms(pause);
            // Let time pass, and stop wherever a turn comes.
            while line.first().is_some_and(|(turn, _)| turn.due() <= until) {
                let (turn, cost) = line.remove(0);
                now = turn.due().max(now);
                prop_assert!(turn.take(now).is_ok());
                prop_assert!(now >= paused_until);
                gone.push((now, cost));
            }
            now = until;
            match what {
                0..=2 => if bucket.check_n_at(cost, now).is_ok() {
                    prop_assert!(line.is_empty(), "a check overtook the line");
                    prop_assert!(now >= paused_until);
                    gone.push((now, cost));
                },
                3..=5 => if let Ok(turn) = bucket.reserve_at(cost, now, FAR) {
                    if turn.due() <= now {
                        prop_assert!(line.is_empty(), "a newcomer overtook the line");
                        prop_assert!(turn.take(now).is_ok());
                        gone.push((now, cost));
                    } else {
                        line.push((turn, cost));
                    }
                },
                6 => if place < line.len() {
                    line.remove(place).0.give_back(now);
                },
                _ => {
                    bucket.penalize_at(ms(pause), now);
                    paused_until = paused_until.max(now + ms(pause));
                }
            }
            let due: Vec<Instant> = line.iter().map(|(turn, _)| turn.due()).collect();
            prop_assert!(due.is_sorted(), "{:?}", due);
            prop_assert!(due.iter().all(|due| *due >= now.min(paused_until)));
            prop_assert_eq!(bucket.waiting(), line.len());
        }
        assert_within_quota(&gone, Duration::from_millis(500), NonZeroU32::new(burst).expect("1"));
        // At rest nothing is held: after the time of a full bucket everything is there again.
        for (turn, _) in line {
            turn.give_back(now);
        }
        let rest = now + ms(3_000) + (paused_until - now);
        prop_assert_eq!(bucket.check_n_at(burst, rest + ms(20_000)), Ok(()));
    }
}
