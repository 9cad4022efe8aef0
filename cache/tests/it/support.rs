//! What the tests share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use toolweir_cache::{Cache, Config};
use toolweir_core::TokioClock;

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Numbers = Cache<String, u64>;

pub(crate) fn numbers(config: Config) -> Numbers {
    Cache::builder(config).clock(TokioClock).build().unwrap()
}

/// A source that counts how often it is asked, and how often a question ran to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

impl Source {
    /// Answers after `delay`.
    pub(crate) fn ask(
        &self,
        value: u64,
        delay: Duration,
    ) -> impl Future<Output = Result<u64, io::Error>> + Send + use<> {
        let source = self.clone();
        async move {
            source.asked.fetch_add(1, Ordering::SeqCst);
            sleep(delay).await;
            source.answered.fetch_add(1, Ordering::SeqCst);
            Ok(value)
        }
    }

    /// Fails after `delay`.
    pub(crate) fn fail(
        &self,
        kind: io::ErrorKind,
        delay: Duration,
    ) -> impl Future<Output = Result<u64, io::Error>> + Send + use<> {
        let asked = self.ask(0, delay);
        async move {
            asked.await?;
            Err(kind.into())
        }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

pub(crate) fn key(name: &str) -> String {
    name.to_owned()
}
