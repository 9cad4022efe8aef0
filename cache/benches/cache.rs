//! What a look, a miss and a key cost.
//!
//! `quick_cache`, which ours stores in, stands beside ours where the question is what ours adds to it.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use toolweir_cache::{Cache, Config, ReplyCache, canonical};
use toolweir_core::{
    CacheKey, Clock, Lookup, MonotonicClock, Principal, RawJson, Reply, Scope, Store,
};

const KEYS: usize = 10_000;

fn keys() -> Vec<String> {
    (0..KEYS).map(|number| format!("tools/call server-{number}")).collect()
}

fn config() -> Config {
    Config::default().max_entries(2 * KEYS as u64)
}

fn ours(keys: &[String]) -> Cache<String, Arc<str>> {
    let cache = Cache::new(config()).expect("a valid configuration");
    for key in keys {
        cache.entry(key.clone()).group("server").insert(Arc::from("value"));
    }
    cache
}

fn theirs(keys: &[String]) -> quick_cache::sync::Cache<String, Arc<str>> {
    let cache = quick_cache::sync::Cache::new(2 * KEYS);
    for key in keys {
        cache.insert(key.clone(), Arc::from("value"));
    }
    cache
}

fn hit(criterion: &mut Criterion) {
    let keys = keys();
    let (ours, theirs) = (ours(&keys), theirs(&keys));
    let now = MonotonicClock.now();
    let mut group = criterion.benchmark_group("hit, one thread");
    let hot = keys[0].as_str();
    group.bench_function("hot key, quick_cache", |b| b.iter(|| theirs.get(black_box(hot))));
    group.bench_function("hot key", |b| b.iter(|| ours.get(black_box(hot))));
    group.bench_function("hot key, time given", |b| b.iter(|| ours.get_at(black_box(hot), now)));
    let mut turn = 0;
    let mut any = || {
        turn = (turn + 7_919) % KEYS;
        keys[turn].as_str()
    };
    group.bench_function("any of 10,000, quick_cache", |b| b.iter(|| theirs.get(black_box(any()))));
    group.bench_function("any of 10,000", |b| b.iter(|| ours.get(black_box(any()))));
    group.bench_function("any of 10,000, time given", |b| {
        b.iter(|| ours.get_at(black_box(any()), now));
    });
    group.finish();
}

/// Time of one look where two threads look at once.
fn two_threads(iterations: u64, look: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let work = || {
            start.wait();
            let begun = MonotonicClock.now();
            for _ in 0..iterations {
                look();
            }
            MonotonicClock.now() - begun
        };
        let other = scope.spawn(work);
        let mine = work();
        mine.max(other.join().expect("the other thread looked"))
    })
}

fn hit_by_two(criterion: &mut Criterion) {
    let keys = keys();
    let (ours, theirs) = (ours(&keys), theirs(&keys));
    let hot = keys[0].as_str();
    let mut group = criterion.benchmark_group("hit, two threads, hot key");
    group.bench_function("quick_cache", |b| {
        b.iter_custom(|n| two_threads(n, || drop(black_box(theirs.get(hot)))));
    });
    group.bench_function("ours", |b| {
        b.iter_custom(|n| two_threads(n, || drop(black_box(ours.get(hot)))));
    });
    group.finish();
}

fn miss(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    let cache: Cache<u64, u64> = Cache::new(config()).expect("a valid configuration");
    let mut group = criterion.benchmark_group("miss");
    let mut key = 0;
    group.bench_function("fetch and store", |b| {
        b.iter(|| {
            key += 1;
            runtime.block_on(cache.get_or_fetch(key, async { Ok::<_, std::io::Error>(1) }))
        });
    });
    let zero = Duration::ZERO;
    group.bench_function("fetch alone", |b| {
        b.iter(|| {
            key += 1;
            let entry = cache.entry(key).ttl(zero);
            runtime.block_on(entry.fetch(async { Ok::<_, std::io::Error>(1) }))
        });
    });
    group.bench_function("runtime alone", |b| {
        b.iter(|| runtime.block_on(async { black_box(1) }));
    });
    group.finish();
}

fn reply(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    let cache = ReplyCache::new(config()).expect("a valid configuration");
    let key = |text: &str| CacheKey {
        group: "github".into(),
        principal: Some(Principal::local()),
        text: text.into(),
    };
    for (text, scope) in [("private", Scope::Private), ("public", Scope::Public)] {
        let mut reply = Reply::new(RawJson::EMPTY_OBJECT);
        reply.scope = scope;
        let lookup = Lookup::new(key(text)).ttl(Duration::from_secs(3_600));
        let stored = runtime.block_on(cache.get_or_fetch(lookup, Box::pin(async { Ok(reply) })));
        stored.expect("a reply");
    }
    let mut group = criterion.benchmark_group("reply hit");
    for text in ["private", "public"] {
        let key = key(text);
        group.bench_function(text, |b| b.iter(|| cache.get(black_box(&key))));
    }
    group.finish();
}

fn key(criterion: &mut Criterion) {
    let small = RawJson::new(
        r#"{"name":"search","arguments":{"query":"weir leaks","repository":"x/y","page":1}}"#,
    )
    .expect("JSON");
    let large = RawJson::from(serde_json::json!({
        "items": (0..500).map(|n| serde_json::json!({"id": n, "name": "item", "at": [n, 1.5]})).collect::<Vec<_>>()
    }));
    let mut group = criterion.benchmark_group("canonical");
    group.bench_function("80 bytes", |b| b.iter(|| canonical(black_box(&small))));
    group.bench_function("18 kB", |b| b.iter(|| canonical(black_box(&large))));
    group.finish();
}

criterion_group!(benches, hit, hit_by_two, miss, reply, key);
criterion_main!(benches);
