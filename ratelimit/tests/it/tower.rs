//! The limits as tower middleware.

use std::convert::Infallible;
use std::future::{Pending, Ready, pending, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use toolweir_ratelimit::{Bucket, Gate, GateConfig, LimitError, LimitLayer, Refusal};
use tower_layer::Layer;
use tower_service::Service;

use crate::config;

type Test = Result<(), Box<dyn std::error::Error>>;

/// Answers with what it is asked.
struct Echo;

impl Service<u32> for Echo {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: u32) -> Self::Future {
        ready(Ok(request))
    }
}

/// Never answers.
struct Silent;

impl Service<u32> for Silent {
    type Response = u32;
    type Error = Infallible;
    type Future = Pending<Result<u32, Infallible>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: u32) -> Self::Future {
        pending()
    }
}

#[tokio::test]
async fn a_request_beyond_the_rate_is_refused_with_the_time() -> Test {
    let bucket = Arc::new(Bucket::new(&config(0.001, 1))?);
    let layer = LimitLayer::rate(Arc::clone(&bucket));
    let (mut one, mut other) = (layer.layer(Echo), layer.layer(Echo));
    assert_eq!(one.call(7).await, Ok(7));
    let refused = other.call(8).await.expect_err("the bucket is shared");
    let LimitError::Refused(refusal) = refused;
    assert!(refusal.retry_after().is_some());
    Ok(())
}

#[tokio::test]
async fn a_place_is_held_until_the_response_or_until_the_caller_leaves() -> Test {
    let gate = Gate::<()>::new(&GateConfig::default().max_in_flight(1))?;
    let layer = LimitLayer::concurrency(gate.clone());
    let mut echo = layer.layer(Echo);
    let mut answered = Box::pin(echo.call(1));
    assert_eq!(gate.in_flight(), 1);
    assert_eq!(echo.call(2).await, Err(LimitError::Refused(Refusal::Busy { retry_after: None })));
    assert_eq!(answered.as_mut().await, Ok(1));
    assert_eq!(gate.in_flight(), 0, "freed with the response, not with the future");
    let left = layer.layer(Silent).call(3);
    assert_eq!(gate.in_flight(), 1);
    drop(left);
    assert_eq!(gate.in_flight(), 0);
    Ok(())
}
