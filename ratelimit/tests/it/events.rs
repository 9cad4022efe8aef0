//! What listeners hear.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use toolweir_core::{Instant, Kind, Outcome};
use toolweir_ratelimit::{Bucket, Event, Gate, GateConfig, Limiter, Refusal, check_all_at};

use crate::{at, config, ms};

type Test = Result<(), Box<dyn std::error::Error>>;

/// Takes what was heard so far.
struct Heard<T>(Arc<Mutex<Vec<T>>>);

impl<T: Debug + PartialEq + Send> Heard<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn ear(&self) -> impl Fn(T) + Send + Sync + use<T> {
        let heard = Arc::clone(&self.0);
        move |event| heard.lock().expect("not poisoned").push(event)
    }

    fn check(&self, expected: &[T]) {
        let heard = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        assert_eq!(heard, expected);
    }
}

fn limited(millis: u64) -> Event {
    Event::Refused(Refusal::Limited { retry_after: ms(millis) })
}

#[test]
fn a_bucket_tells_of_refusals_waits_and_pauses_but_not_of_calls_that_pass() -> Test {
    let heard = Heard::new();
    let ear = heard.ear();
    let limits = config(1.0, 2).max_wait(ms(1_500)).max_pause(ms(60_000));
    let bucket = Bucket::new(&limits)?.on_event(move |event| ear(*event));
    bucket.check_at(at(0))?;
    drop(bucket.reserve_at(1, at(0), Instant::FAR_FUTURE)?);
    heard.check(&[]);
    assert!(bucket.check_at(at(0)).is_err());
    assert!(bucket.check_n_at(3, at(0)).is_err());
    heard.check(&[limited(1_000), Event::Refused(Refusal::TooCostly { burst: 2 })]);
    let _turn = bucket.reserve_at(1, at(0), Instant::FAR_FUTURE)?;
    assert!(bucket.reserve_at(1, at(0), Instant::FAR_FUTURE).is_err());
    let too_late = Event::Refused(Refusal::TooLate { retry_after: ms(2_000) });
    heard.check(&[Event::Waiting { due: Some(at(1_000)) }, too_late]);
    bucket.penalize_at(ms(90_000), at(0));
    heard.check(&[Event::Paused { until: at(60_000) }]);
    Ok(())
}

#[test]
fn a_limiter_tells_whose_event_it_is() -> Test {
    let heard = Heard::new();
    let ear = heard.ear();
    let limiter = Limiter::<String>::new(&config(1.0, 1))?
        .on_event(move |key: &String, event| ear((key.clone(), *event)));
    limiter.check_at("a", at(0))?;
    assert!(limiter.check_at("a", at(400)).is_err());
    assert!(limiter.check_n_at("b", 2, at(0)).is_err());
    limiter.penalize_at("b", ms(500), at(0));
    let _turn = limiter.reserve_at("a", 1, at(400), Instant::FAR_FUTURE)?;
    let costly = Event::Refused(Refusal::TooCostly { burst: 1 });
    heard.check(&[
        ("a".to_owned(), limited(600)),
        ("b".to_owned(), costly),
        ("b".to_owned(), Event::Paused { until: at(500) }),
        ("a".to_owned(), Event::Waiting { due: Some(at(1_000)) }),
    ]);
    Ok(())
}

#[test]
fn of_several_limits_the_one_that_refused_tells() -> Test {
    let (clients, servers) = (Heard::new(), Heard::new());
    let (client_ear, server_ear) = (clients.ear(), servers.ear());
    let limiter = Limiter::<String>::new(&config(1.0, 9))?
        .on_event(move |key: &String, event| client_ear((key.clone(), *event)));
    let bucket = Bucket::new(&config(1.0, 1))?.on_event(move |event| server_ear(*event));
    let check = |cost| check_all_at(&[(&limiter.of("a"), cost), (&bucket, 1)], at(0));
    check(1)?;
    assert!(check(1).is_err());
    clients.check(&[]);
    servers.check(&[limited(1_000)]);
    assert!(check(10).is_err());
    clients.check(&[("a".to_owned(), Event::Refused(Refusal::TooCostly { burst: 9 }))]);
    servers.check(&[]);
    Ok(())
}

#[test]
fn a_gate_tells_of_refusals_and_of_its_limit() -> Test {
    let heard = Heard::new();
    let ear = heard.ear();
    let config = GateConfig::default().max_in_flight(10).adaptive(true);
    let gate = Gate::<()>::new(&config)?.on_event(move |event| ear(*event));
    let again = gate.clone().on_event(|_| panic!("the first listener stays"));
    let mut places: Vec<_> = (0..10).map(|_| gate.try_enter()).collect::<Result<_, _>>()?;
    assert!(again.try_enter().is_err());
    heard.check(&[Event::Refused(Refusal::Busy { retry_after: None })]);
    let place = places.pop().expect("ten");
    place.settle(&Outcome::Ambiguous(Kind::Timeout), Instant::FAR_FUTURE);
    heard.check(&[Event::LimitChanged { from: 10, to: 9 }]);
    drop(places);
    heard.check(&[]);
    Ok(())
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_gate_tells_once_of_each_that_waits_and_of_those_that_wait_too_long() -> Test {
    let heard = Heard::new();
    let ear = heard.ear();
    let config = GateConfig::default().max_in_flight(1).max_wait(ms(100));
    let gate = Gate::<u8>::with_clock(&config, Arc::new(toolweir_core::TokioClock))?;
    let gate = gate.on_event(move |event| ear(*event));
    let place = gate.enter(&1).await?;
    heard.check(&[]);
    assert!(gate.enter(&2).await.is_err());
    heard.check(&[
        Event::Waiting { due: None },
        Event::Refused(Refusal::Busy { retry_after: None }),
    ]);
    drop(place);
    Ok(())
}

#[test]
fn a_listener_that_panics_harms_nobody() -> Test {
    let bucket = Bucket::new(&config(1.0, 1))?.on_event(|_| panic!("as if by mistake"));
    bucket.check_at(at(0))?;
    assert_eq!(bucket.check_at(at(0)), Err(Refusal::Limited { retry_after: ms(1_000) }));
    assert_eq!(bucket.check_at(at(1_000)), Ok(()));
    Ok(())
}
