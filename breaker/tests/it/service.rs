//! The breaker around a tower service.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use toolweir_breaker::{BreakerLayer, CallError, Config, State, Verdict};
use tower_layer::Layer;
use tower_service::Service;

use crate::{manual, ms, run};

/// Answers a number with itself, fails on zero, and never answers `u32::MAX`.
#[derive(Clone)]
struct Echo;

impl Service<u32> for Echo {
    type Response = u32;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<u32, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u32) -> Self::Future {
        match number {
            0 => Box::pin(ready(Err("zero"))),
            u32::MAX => Box::pin(pending()),
            number => Box::pin(ready(Ok(number))),
        }
    }
}

#[tokio::test]
async fn errors_open_and_refusals_spare_the_service() {
    let (clock, breaker) = manual(Config::default().failures(2));
    let layer = BreakerLayer::new(Arc::clone(&breaker));
    let (mut one, mut two) = (layer.layer(Echo), layer.clone().layer(Echo));
    assert_eq!(one.call(7).await, Ok(7));
    assert_eq!(one.call(0).await, Err(CallError::Failed("zero")));
    assert_eq!(two.call(0).await, Err(CallError::Failed("zero")));
    match two.call(7).await {
        Err(CallError::Refused(refused)) => assert_eq!(refused.retry_after, ms(60_000)),
        other => panic!("{other:?}"),
    }
    clock.advance(ms(60_000));
    assert_eq!(two.call(7).await, Ok(7));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_dropped_future_frees_the_probes_slot() {
    let (clock, breaker) = manual(Config::default().failures(1));
    run(&*breaker, "f");
    clock.advance(ms(60_000));
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(Echo);
    let probe = service.call(u32::MAX);
    assert!(matches!(service.call(1).await, Err(CallError::Refused(_))));
    drop(probe);
    assert_eq!(service.call(1).await, Ok(1));
}

#[tokio::test]
async fn an_answer_can_be_a_failure() {
    let (_, breaker) = manual(Config::default().failures(1));
    let verdict = |result: &Result<u32, &'static str>| match result {
        Ok(500..) => Verdict::Failure,
        _ => Verdict::Success,
    };
    let mut service = BreakerLayer::with(Arc::clone(&breaker), verdict).layer(Echo).clone();
    assert_eq!(service.call(0).await, Err(CallError::Failed("zero")));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(service.call(503).await, Ok(503));
    assert_eq!(breaker.state(), State::Open);
}
