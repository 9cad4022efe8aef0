//! Checks, turns and pauses in any order, against a model that predicts every answer and every turn.

use std::time::Duration;

use proptest::prelude::*;
use toolweir_core::Instant;
use toolweir_ratelimit::{Bucket, Limiter, Refusal, Turn};

use crate::{config, ms};

const MAX_WAITING: usize = 5;
const MAX_WAIT: u64 = 6_000;

/// A bucket and its line, in milliseconds; those in the line as (cost, due).
struct Model {
    interval: u64,
    burst: u64,
    full: u64,
    line: Vec<(u64, u64)>,
}

impl Model {
    /// When a call of `cost` could go: when no more is missing than the burst leaves room for.
    fn earliest(&self, cost: u64, now: u64) -> u64 {
        now.max((self.full + cost * self.interval).saturating_sub(self.burst * self.interval))
    }

    fn check(&mut self, cost: u64, now: u64) -> Result<(), Refusal> {
        let earliest = self.earliest(cost, now);
        if earliest > now {
            return Err(Refusal::Limited { retry_after: ms(earliest - now) });
        }
        self.full = self.full.max(now) + cost * self.interval;
        Ok(())
    }

    fn reserve(&mut self, cost: u64, now: u64, patience: u64) -> Result<u64, Refusal> {
        let due = self.earliest(cost, now);
        let retry_after = ms(due - now);
        if due > now && due > now + patience.min(MAX_WAIT) {
            return Err(Refusal::TooLate { retry_after });
        }
        if due > now && self.line.len() == MAX_WAITING {
            return Err(Refusal::QueueFull { retry_after });
        }
        self.full = self.full.max(due) + cost * self.interval;
        if due > now {
            self.line.push((cost, due));
        }
        Ok(due)
    }

    fn leave(&mut self, place: usize, now: u64) {
        let (cost, due) = self.line.remove(place);
        if due > now {
            let paid = cost * self.interval;
            let back = self.line.get(place).map_or(paid, |(_, next)| paid.min(next - now));
            self.line[place..].iter_mut().for_each(|(_, due)| *due -= back);
            self.full -= back;
        }
    }

    fn pause(&mut self, pause: u64, now: u64) {
        let full = now + pause + (self.burst - 1) * self.interval;
        let Some(first) = self.line.iter().position(|(_, due)| *due > now) else {
            self.full = self.full.max(full);
            return;
        };
        let (cost, due) = self.line[first];
        let found = due + self.burst * self.interval - cost * self.interval;
        let put_off = full.saturating_sub(found);
        self.line[first..].iter_mut().for_each(|(_, due)| *due += put_off);
        self.full += put_off;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Check(u64),
    Reserve(u64, u64),
    Leave(usize),
    Take(usize),
    Pause(u64),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        2 => (1_u64..5).prop_map(Step::Check),
        5 => (1_u64..5, 0_u64..9_000).prop_map(|(cost, patience)| Step::Reserve(cost, patience)),
        2 => (0..MAX_WAITING).prop_map(Step::Leave),
        3 => (0..MAX_WAITING).prop_map(Step::Take),
        1 => (0_u64..3_000).prop_map(Step::Pause),
    ];
    prop::collection::vec((0_u64..700, step), 1..100)
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

proptest! {
    #[test]
    fn every_answer_and_every_turn_is_the_models(burst in 1_u64..5, script in steps()) {
        let burst_size = u32::try_from(burst).expect("small");
        let config = config(2.0, burst_size)
            .max_wait(ms(MAX_WAIT))
            .max_waiting(MAX_WAITING)
            .max_keys(1);
        let bucket = Bucket::new(&config)?;
        let limiter = Limiter::<u8>::new(&config)?;
        let mut model = Model { interval: 500, burst, full: 0, line: Vec::new() };
        let mut lines: Vec<[Turn; 2]> = Vec::new();
        let mut now = 10_000;
        for (pause, step) in script {
            now += pause;
            let time = at(now);
            match step {
                Step::Check(cost) | Step::Reserve(cost, _) if cost > burst => {
                    let cost = u32::try_from(cost).expect("small");
                    let refusal = Err(Refusal::TooCostly { burst: burst_size });
                    prop_assert_eq!(bucket.check_n_at(cost, time), refusal);
                    prop_assert_eq!(limiter.check_n_at(&1, cost, time), refusal);
                    let far = Instant::FAR_FUTURE;
                    prop_assert_eq!(bucket.reserve_at(cost, time, far).map(drop), refusal);
                    prop_assert_eq!(limiter.reserve_at(&1, cost, time, far).map(drop), refusal);
                }
                Step::Check(cost) => {
                    let expected = model.check(cost, now);
                    let cost = u32::try_from(cost).expect("small");
                    prop_assert_eq!(bucket.check_n_at(cost, time), expected);
                    prop_assert_eq!(limiter.check_n_at(&1, cost, time), expected);
                }
                Step::Reserve(cost, patience) => {
                    let expected = model.reserve(cost, now, patience).map(at);
                    let cost = u32::try_from(cost).expect("small");
                    let deadline = time + ms(patience);
                    let one = bucket.reserve_at(cost, time, deadline);
                    let other = limiter.reserve_at(&1, cost, time, deadline);
                    prop_assert_eq!(one.as_ref().map(Turn::due).map_err(|refusal| *refusal), expected);
                    prop_assert_eq!(other.as_ref().map(Turn::due).map_err(|refusal| *refusal), expected);
                    if let (Ok(one), Ok(other)) = (one, other) {
                        if one.due() > time {
                            lines.push([one, other]);
                        } else {
                            prop_assert!(one.take(time).is_ok() && other.take(time).is_ok());
                        }
                    }
                }
                Step::Leave(place) | Step::Take(place) if place >= lines.len() => {}
                Step::Leave(place) => {
                    model.leave(place, now);
                    lines.remove(place).into_iter().for_each(|turn| turn.give_back(time));
                }
                Step::Take(place) => {
                    let due = model.line[place].1;
                    let mut back = Vec::new();
                    for turn in lines.remove(place) {
                        if let Err((turn, left)) = turn.take(time) {
                            prop_assert_eq!(left, Duration::from_millis(due.saturating_sub(now)));
                            back.push(turn);
                        }
                    }
                    prop_assert_eq!(back.is_empty(), due <= now);
                    match <[Turn; 2]>::try_from(back) {
                        Ok(back) => lines.insert(place, back),
                        Err(_) => { model.line.remove(place); }
                    }
                }
                Step::Pause(pause) => {
                    model.pause(pause, now);
                    bucket.penalize_at(ms(pause), time);
                    limiter.penalize_at(&1, ms(pause), time);
                }
            }
            let expected: Vec<Instant> = model.line.iter().map(|(_, due)| at(*due)).collect();
            for which in 0..2 {
                let due: Vec<Instant> = lines.iter().map(|turns| turns[which].due()).collect();
                prop_assert_eq!(&due, &expected);
            }
            prop_assert_eq!(bucket.waiting(), expected.len());
        }
    }
}
