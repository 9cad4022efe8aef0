//! Threads that meet: nothing out of date is read, nobody waits for ever.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::task::yield_now;
use toolweir_cache::{Cache, Config};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Is pending once.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Whoever asks after an invalidation has returned gets nothing from before it, whatever was being fetched, joined,
/// stored or read meanwhile.
#[test]
fn nothing_from_before_an_invalidation_is_read_after_it() {
    type Forget = fn(&Cache<u8, u64>);
    let ways: [Forget; 3] =
        [|cache| cache.invalidate("g"), |cache| cache.remove(&1), Cache::<u8, u64>::clear];
    for forget in ways {
        let cache: Cache<u8, u64> = Cache::new(Config::default()).unwrap();
        let (version, done) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
        // The newest version whose invalidation has returned.
        let settled = AtomicU64::new(0);
        let reads = AtomicU64::new(0);
        let read = || {
            while !done.load(Ordering::SeqCst) {
                let at_least = settled.load(Ordering::SeqCst);
                let source = version.clone();
                let fetch = async move {
                    let value = source.load(Ordering::SeqCst);
                    pause().await;
                    Ok::<_, io::Error>(value)
                };
                let value = block_on(cache.entry(1).group("g").fetch(fetch)).unwrap().value;
                assert!(value >= at_least, "{value} was read after {at_least} was settled");
                let at_least = settled.load(Ordering::SeqCst);
                if let Some(value) = cache.get(&1) {
                    assert!(value >= at_least, "{value} was stored when {at_least} was settled");
                }
                reads.fetch_add(1, Ordering::SeqCst);
            }
        };
        thread::scope(|scope| {
            let readers = [scope.spawn(read), scope.spawn(read)];
            for number in 1..=200 {
                version.store(number, Ordering::SeqCst);
                forget(&cache);
                settled.store(number, Ordering::SeqCst);
                // Up to three reads happen between two invalidations, so that they meet at every stage.
                let target = reads.load(Ordering::SeqCst) + number % 4;
                while reads.load(Ordering::SeqCst) < target
                    && !readers.iter().any(|reader| reader.is_finished())
                {
                    thread::yield_now();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        assert!(reads.load(Ordering::SeqCst) >= 300);
        assert_eq!(cache.stats().in_flight, 0);
    }
}

/// Callers on several threads share flights, and some of them leave at every stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_leave_strand_nobody() {
    let cache: Cache<u64, u64> = Cache::new(Config::default()).unwrap();
    for round in 0..100 {
        let callers: Vec<_> = (0..12)
            .map(|number: u64| {
                let cache = cache.clone();
                tokio::spawn(async move {
                    let fetch = async move {
                        for _ in 0..4 {
                            yield_now().await;
                        }
                        Ok::<_, io::Error>(round)
                    };
                    for _ in 0..number % 3 {
                        yield_now().await;
                    }
                    cache.get_or_fetch(round, fetch).await
                })
            })
            .collect();
        for (number, caller) in callers.into_iter().enumerate() {
            if number % 2 == 0 {
                if number % 4 == 0 {
                    yield_now().await;
                }
                caller.abort();
                if let Err(error) = caller.await {
                    assert!(error.is_cancelled());
                }
            } else {
                assert_eq!(caller.await.unwrap().unwrap(), round);
            }
        }
    }
    assert_eq!(cache.stats().in_flight, 0);
}
