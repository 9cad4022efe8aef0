//! The breaker around a tower service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use toolweir_core::{Clock, MonotonicClock, Verdict};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Breaker, CallError, OwnedPermit, Refused};

/// Decides what a service's result says of its health; any `Fn(&Result<T, E>) -> Verdict` does.
pub trait Classify<T, E> {
    /// What `result` says.
    fn verdict(&self, result: &Result<T, E>) -> Verdict;
}

/// Every `Err` is a failure, and every `Ok` a success.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailOnError;

impl<T, E> Classify<T, E> for FailOnError {
    fn verdict(&self, result: &Result<T, E>) -> Verdict {
        if result.is_ok() { Verdict::Success } else { Verdict::Failure }
    }
}

impl<T, E, F: Fn(&Result<T, E>) -> Verdict> Classify<T, E> for F {
    fn verdict(&self, result: &Result<T, E>) -> Verdict {
        self(result)
    }
}

/// Puts a [`Breaker`] around a service. All services that come from one layer share it.
#[derive(Debug)]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub struct BreakerLayer<C = MonotonicClock, V = FailOnError> {
    breaker: Arc<Breaker<C>>,
    classify: V,
}

impl<C> BreakerLayer<C> {
    /// A layer with this breaker, which counts every `Err` as a failure.
    #[must_use]
    pub fn new(breaker: Arc<Breaker<C>>) -> Self {
        Self { breaker, classify: FailOnError }
    }

    /// A layer with this breaker, where `classify` decides.
    #[must_use]
    pub fn with<V>(breaker: Arc<Breaker<C>>, classify: V) -> BreakerLayer<C, V> {
        BreakerLayer { breaker, classify }
    }
}

impl<C, V: Clone> Clone for BreakerLayer<C, V> {
    fn clone(&self) -> Self {
        Self { breaker: Arc::clone(&self.breaker), classify: self.classify.clone() }
    }
}

impl<S, C, V: Clone> Layer<S> for BreakerLayer<C, V> {
    type Service = BreakerService<S, C, V>;

    fn layer(&self, inner: S) -> Self::Service {
        let breaker = Arc::clone(&self.breaker);
        BreakerService { inner, breaker, classify: self.classify.clone() }
    }
}

/// A service behind a [`Breaker`].
///
/// It is asked when a call comes, not in `poll_ready`: an open breaker answers at once with
/// [`CallError::Refused`] and leaves the inner service alone.
#[derive(Debug)]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub struct BreakerService<S, C = MonotonicClock, V = FailOnError> {
    inner: S,
    breaker: Arc<Breaker<C>>,
    classify: V,
}

impl<S: Clone, C, V: Clone> Clone for BreakerService<S, C, V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            breaker: Arc::clone(&self.breaker),
            classify: self.classify.clone(),
        }
    }
}

impl<S, C, V, R> Service<R> for BreakerService<S, C, V>
where
    S: Service<R>,
    C: Clock,
    V: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = ResponseFuture<S::Future, C, V>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(CallError::Failed)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let step = match self.breaker.try_acquire_owned() {
            Ok(permit) => Step::Running {
                future: self.inner.call(request),
                permit: Some(permit),
                classify: self.classify.clone(),
            },
            Err(refused) => Step::Refused { refused },
        };
        ResponseFuture { step }
    }
}

pin_project! {
    /// What [`BreakerService`] returns. Dropping it counts nothing and frees a probe's slot.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    pub struct ResponseFuture<F, C = MonotonicClock, V = FailOnError>
    where
        C: Clock,
    {
        #[pin]
        step: Step<F, C, V>,
    }
}

pin_project! {
    #[project = StepPinned]
    #[derive(Debug)]
    enum Step<F, C, V>
    where
        C: Clock,
    {
        Running { #[pin] future: F, permit: Option<OwnedPermit<C>>, classify: V },
        Refused { refused: Refused },
    }
}

impl<F, C, V, T, E> Future for ResponseFuture<F, C, V>
where
    F: Future<Output = Result<T, E>>,
    C: Clock,
    V: Classify<T, E>,
{
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepPinned::Running { future, permit, classify } => {
                let result = ready!(future.poll(cx));
                if let Some(permit) = permit.take() {
                    permit.verdict(classify.verdict(&result));
                }
                Poll::Ready(result.map_err(CallError::Failed))
            }
            StepPinned::Refused { refused } => Poll::Ready(Err(CallError::Refused(*refused))),
        }
    }
}
