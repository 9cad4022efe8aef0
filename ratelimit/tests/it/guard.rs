//! The limiters as guards of calls.

use std::sync::Arc;

use toolweir_core::{Call, Client, Guard, Kind, Method, Outcome, Permit, Principal};
use toolweir_ratelimit::{Bucket, Limiter, Refusal};

use crate::{at, config, ms};

type Test = Result<(), Box<dyn std::error::Error>>;

fn call() -> Call {
    Call::new(Method::PING, None)
}

#[test]
fn a_refusal_says_when_to_come_again() -> Test {
    let bucket = Bucket::new(&config(10.0, 1))?;
    let permit = Permit::acquire(&bucket, &call(), at(0))?;
    let refused = Permit::acquire(&bucket, &call(), at(40)).expect_err("empty");
    assert_eq!(refused, Kind::RateLimited { retry_after: ms(60) });
    permit.settle(&Outcome::OK, at(50));
    assert_eq!(bucket.check_at(at(50)), Err(Refusal::Limited { retry_after: ms(50) }));
    Ok(())
}

#[test]
fn a_throttled_call_pauses_the_server() -> Test {
    for (retry_after, pause) in [(Some(ms(3_000)), 3_000), (None, 100)] {
        let bucket = Bucket::new(&config(10.0, 10))?;
        let permit = Permit::acquire(&bucket, &call(), at(0))?;
        permit.settle(&Outcome::Throttled { retry_after }, at(500));
        assert_eq!(bucket.check_at(at(500)), Err(Refusal::Limited { retry_after: ms(pause) }));
    }
    Ok(())
}

#[test]
fn an_abandoned_call_keeps_what_it_took() -> Test {
    let bucket = Bucket::new(&config(10.0, 1))?;
    drop(Permit::acquire(&bucket, &call(), at(0))?);
    assert!(bucket.admit(&call(), at(0)).is_err());
    Ok(())
}

#[test]
fn each_principal_has_a_limit_of_its_own_that_no_server_pauses() -> Test {
    let limiter = Limiter::<Principal>::new(&config(10.0, 2))?;
    let from = |name: &str| call().client(Arc::new(Client::new(Principal::new(name))));
    let permit = Permit::acquire(&limiter, &from("alice"), at(0))?;
    permit.settle(&Outcome::Throttled { retry_after: Some(ms(9_000)) }, at(0));
    assert!(limiter.admit(&from("alice"), at(0)).is_ok());
    assert!(limiter.admit(&from("alice"), at(0)).is_err());
    assert!(limiter.admit(&from("bob"), at(0)).is_ok());
    Ok(())
}

#[test]
fn what_can_never_go_is_no_matter_of_time() {
    assert_eq!(Kind::from(Refusal::TooCostly { burst: 3 }), Kind::InvalidRequest);
}
