//! A look that finds its value, and a miss that fetches it.
//!
//! Everybody holds 10,000 of at most 20,000 values under String keys. Ours has a time to live for each, which it looks at;
//! moka and quick_cache have none here.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use toolweir_cache::{Cache, Config};

use crate::measure::{both, one, ready};

const KEYS: usize = 10_000;
const ROOM: usize = 2 * KEYS;

pub(crate) fn all(c: &mut Criterion) {
    hit(c);
    miss(c);
}

fn ours<
    K: Clone + std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
>() -> Cache<K, V> {
    Cache::new(Config::default().max_entries(ROOM as u64)).expect("valid")
}

fn hit(c: &mut Criterion) {
    let keys: Vec<String> = (0..KEYS).map(|n| format!("tools/call server-{n}")).collect();
    let value = || -> Arc<str> { Arc::from("value") };
    let ours = ours::<String, Arc<str>>();
    let sync = moka::sync::Cache::new(ROOM as u64);
    let future = moka::future::Cache::new(ROOM as u64);
    let quick = quick_cache::sync::Cache::new(ROOM);
    for key in &keys {
        ours.insert(key.clone(), value());
        sync.insert(key.clone(), value());
        ready(future.insert(key.clone(), value()));
        quick.insert(key.clone(), value());
    }
    for (row, step) in [("cache-hot-key", 0), ("cache-any-key", 7_919)] {
        // The next key of a thread.
        let walk = || {
            let (mut at, keys) = (0, &keys);
            move || {
                at = (at + step) % KEYS;
                black_box(keys[at].as_str())
            }
        };
        both(c, row, "toolweir", || {
            let (mut next, ours) = (walk(), &ours);
            move || drop(black_box(ours.get(next())))
        });
        both(c, row, "moka sync", || {
            let (mut next, sync) = (walk(), &sync);
            move || drop(black_box(sync.get(next())))
        });
        both(c, row, "moka future", || {
            let (mut next, future) = (walk(), &future);
            move || drop(black_box(ready(future.get(next()))))
        });
        both(c, row, "quick_cache", || {
            let (mut next, quick) = (walk(), &quick);
            move || drop(black_box(quick.get(next())))
        });
    }
}

/// A key that nobody has asked for, fetched by one caller and stored.
fn miss(c: &mut Criterion) {
    let row = "cache-single-flight-miss";
    // One counter for all: criterion makes each operation anew for every sample, and a counter of its own would ask for the
    // same keys again.
    let asked = Cell::new(0_u64);
    let next = || asked.replace(asked.get() + 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let cache = ours::<u64, u64>();
    one(c, row, "toolweir", || {
        let (next, cache, runtime) = (&next, &cache, &runtime);
        move || {
            let fetched = cache.get_or_fetch(next(), async { Ok::<_, std::io::Error>(1) });
            drop(black_box(runtime.block_on(fetched)));
        }
    });
    let cache = moka::future::Cache::<u64, u64>::new(ROOM as u64);
    one(c, row, "moka future", || {
        let (next, cache, runtime) = (&next, &cache, &runtime);
        move || {
            black_box(runtime.block_on(cache.get_with(next(), async { 1 })));
        }
    });
    let cache = quick_cache::sync::Cache::<u64, u64>::new(ROOM);
    one(c, row, "quick_cache", || {
        let (next, cache, runtime) = (&next, &cache, &runtime);
        move || {
            let key = next();
            let fetched = cache.get_or_insert_async(&key, async { Ok::<_, std::io::Error>(1) });
            drop(black_box(runtime.block_on(fetched)));
        }
    });
    one(c, row, "the runtime alone", || {
        || {
            black_box(runtime.block_on(async { black_box(1) }));
        }
    });
}
