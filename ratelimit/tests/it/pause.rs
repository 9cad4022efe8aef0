//! `penalize`: an upstream's 429 pauses the bucket.

use toolweir_core::Instant;
use toolweir_ratelimit::{Bucket, Limiter, Refusal};

use crate::{at, config, ms};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn nothing_goes_until_the_pause_is_over_and_then_one_an_interval() -> Outcome {
    let bucket = Bucket::new(&config(10.0, 10))?;
    bucket.penalize_at(ms(5_000), at(0));
    assert_eq!(bucket.check_at(at(0)), Err(Refusal::Limited { retry_after: ms(5_000) }));
    assert_eq!(bucket.check_at(at(4_999)), Err(Refusal::Limited { retry_after: ms(1) }));
    bucket.check_at(at(5_000))?;
    assert_eq!(bucket.check_at(at(5_000)), Err(Refusal::Limited { retry_after: ms(100) }));
    Ok(())
}

#[test]
fn a_shorter_pause_does_not_shorten_a_longer_one() -> Outcome {
    let limiter = Limiter::<String>::new(&config(10.0, 10))?;
    limiter.penalize_at("a", ms(5_000), at(0));
    limiter.penalize_at("a", ms(1_000), at(0));
    assert_eq!(limiter.check_at("a", at(0)), Err(Refusal::Limited { retry_after: ms(5_000) }));
    assert_eq!(limiter.check_at("b", at(0)), Ok(()));
    Ok(())
}

#[test]
fn no_server_can_pause_us_for_longer_than_we_allow() -> Outcome {
    let bucket = Bucket::new(&config(10.0, 10).max_pause(ms(60_000)))?;
    bucket.penalize_at(std::time::Duration::MAX, at(0));
    assert_eq!(bucket.check_at(at(0)), Err(Refusal::Limited { retry_after: ms(60_000) }));
    Ok(())
}

#[test]
fn turns_that_have_not_come_are_put_off() -> Outcome {
    let limiter = Limiter::<u8>::new(&config(1.0, 1).max_wait(ms(60_000)))?;
    let reserve = |now| limiter.reserve_at(&1, 1, now, Instant::FAR_FUTURE);
    limiter.check_at(&1, at(0))?;
    let come = reserve(at(0))?;
    let first = reserve(at(0))?;
    let second = reserve(at(0))?;
    limiter.penalize_at(&1, ms(9_000), at(1_000));
    assert_eq!([come.due(), first.due(), second.due()], [at(1_000), at(10_000), at(11_000)]);
    assert_eq!(reserve(at(1_000))?.due(), at(12_000));
    Ok(())
}
