//! The limits as tower middleware.

use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Bucket, Gate, Place, Refusal};

/// Refuses requests beyond a [`Bucket`]'s rate, or beyond the places of a [`Gate`].
///
/// The bucket or gate is shared by all services made by this layer and its clones. A request is refused at once,
/// with the time after which it would be admitted; a place is held until the response is there.
///
/// ```
/// use std::sync::Arc;
/// use toolweir_ratelimit::{Bucket, Config, LimitLayer};
///
/// let bucket = Arc::new(Bucket::new(&Config::default())?);
/// let layer = LimitLayer::rate(bucket); // for `tower::ServiceBuilder::layer`
/// # let _ = layer;
/// # Ok::<(), toolweir_ratelimit::InvalidConfig>(())
/// ```
#[derive(Clone, Debug)]
pub struct LimitLayer<L> {
    limit: L,
}

impl LimitLayer<Arc<Bucket>> {
    /// A layer that bounds how many requests come in a time.
    #[must_use]
    pub fn rate(bucket: Arc<Bucket>) -> Self {
        Self { limit: bucket }
    }
}

impl<K> LimitLayer<Gate<K>> {
    /// A layer that bounds how many requests run at once.
    #[must_use]
    pub fn concurrency(gate: Gate<K>) -> Self {
        Self { limit: gate }
    }
}

impl<S, L: Clone> Layer<S> for LimitLayer<L> {
    type Service = LimitService<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, limit: self.limit.clone() }
    }
}

/// What [`LimitLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct LimitService<S, L> {
    inner: S,
    limit: L,
}

/// What admits requests: `Arc<Bucket>` or [`Gate`].
pub trait Admit: sealed::Admit {}

mod sealed {
    use crate::Refusal;

    pub trait Admit {
        /// What a request holds while it runs.
        type Held;
        fn admit(&self) -> Result<Self::Held, Refusal>;
    }
}

impl Admit for Arc<Bucket> {}

impl sealed::Admit for Arc<Bucket> {
    type Held = ();
    fn admit(&self) -> Result<(), Refusal> {
        self.check()
    }
}

impl<K: Hash + Eq + Clone> Admit for Gate<K> {}

impl<K: Hash + Eq + Clone> sealed::Admit for Gate<K> {
    type Held = Place<K>;
    fn admit(&self) -> Result<Place<K>, Refusal> {
        self.try_enter()
    }
}

impl<S: Service<R>, L: Admit, R> Service<R> for LimitService<S, L> {
    type Response = S::Response;
    type Error = LimitError<S::Error>;
    type Future = LimitFuture<S::Future, L::Held>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(LimitError::Inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        match self.limit.admit() {
            Ok(held) => LimitFuture {
                inner: Some(self.inner.call(request)),
                held: Some(held),
                refusal: None,
            },
            Err(refusal) => LimitFuture { inner: None, held: None, refusal: Some(refusal) },
        }
    }
}

/// Why a limited service gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError<E> {
    /// The limit refused; the service never saw the request.
    #[error("refused")]
    Refused(#[source] Refusal),
    /// The service itself failed.
    #[error("the service failed")]
    Inner(#[source] E),
}

pin_project! {
    /// A request under a limit; dropped, it frees its place.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct LimitFuture<F, H> {
        #[pin]
        inner: Option<F>,
        held: Option<H>,
        refusal: Option<Refusal>,
    }
}

impl<F, H, T, E> Future for LimitFuture<F, H>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, LimitError<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            // A refusal stays what it is, however often one asks.
            return Poll::Ready(Err(LimitError::Refused(
                this.refusal.unwrap_or(Refusal::Busy { retry_after: None }),
            )));
        };
        let response = std::task::ready!(inner.poll(context));
        *this.held = None;
        Poll::Ready(response.map_err(LimitError::Inner))
    }
}
