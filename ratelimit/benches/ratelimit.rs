//! What does a check cost?

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use toolweir_core::Instant;
use toolweir_ratelimit::{Bucket, Config, Limiter};

/// A rate at which nothing is refused.
fn config() -> Config {
    Config::default().requests_per_second(1e9).burst(1_000_000).max_keys(200_000)
}

/// Time that passes with each reading, without a clock.
fn now() -> Instant {
    static NOW: AtomicU64 = AtomicU64::new(1 << 40);
    Instant::from_nanos(NOW.load(Ordering::Relaxed))
}

fn one_key(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one key");
    let bucket = Bucket::new(&config()).expect("valid");
    let mut time = 1_u64 << 40;
    group.bench_function("time given", |bencher| {
        bencher.iter(|| {
            time += 10;
            bucket.check_at(black_box(Instant::from_nanos(time)))
        });
    });
    group.bench_function("own clock", |bencher| bencher.iter(|| bucket.check()));
    let empty = Bucket::new(&Config::default().requests_per_second(0.001).burst(1)).expect("valid");
    let _ = empty.check_at(now());
    group.bench_function("refused, time given", |bencher| {
        bencher.iter(|| empty.check_at(black_box(now())));
    });
    group.finish();
}

fn many_keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("String keys, time given");
    for count in [100_usize, 100_000] {
        let keys: Vec<String> = (0..count).map(|key| format!("client-{key:06}")).collect();
        let limiter = Limiter::<String>::new(&config()).expect("valid");
        let mut next = 0;
        group.bench_function(count.to_string(), |bencher| {
            bencher.iter(|| {
                next = (next + 7_919) % count;
                limiter.check_at(&keys[next], black_box(now()))
            });
        });
    }
    group.finish();
}

fn flood(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flood of new keys, time given");
    let config = Config::default().requests_per_second(1e6).burst(10).max_keys(10_000);
    let limiter = Limiter::<u64>::new(&config).expect("valid");
    let mut key = 0_u64;
    group.bench_function("10000 kept", |bencher| {
        bencher.iter(|| {
            key += 1;
            limiter.check_at(&key, Instant::from_nanos((1 << 40) + key * 100))
        });
    });
    group.finish();
}

criterion_group!(benches, one_key, many_keys, flood);
criterion_main!(benches);
