//! A check that passes, at a rate at which none is refused.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use criterion::Criterion;
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use toolweir_core::Instant;
use toolweir_ratelimit::{Bucket, Config, Limiter};

use crate::measure::both;

pub(crate) fn all(c: &mut Criterion) {
    one_key(c);
    for keys in [100, 100_000] {
        many_keys(c, keys);
    }
}

fn config() -> Config {
    Config::default().requests_per_second(1e9).burst(1_000_000).max_keys(200_000)
}

fn quota() -> Quota {
    let burst = NonZeroU32::new(1_000_000).expect("not zero");
    Quota::per_second(NonZeroU32::new(1_000_000_000).expect("not zero")).allow_burst(burst)
}

fn one_key(c: &mut Criterion) {
    let row = "limiter-time-given";
    let bucket = Bucket::new(&config()).expect("valid");
    both(c, row, "toolweir", || {
        let mut time = 1_u64 << 40;
        let bucket = &bucket;
        move || {
            time += 10;
            let _ = black_box(bucket.check_at(Instant::from_nanos(time)));
        }
    });
    let clock = FakeRelativeClock::default();
    let governor = RateLimiter::direct_with_clock(quota(), clock.clone());
    both(c, row, "governor", || {
        || {
            clock.advance(std::time::Duration::from_nanos(10));
            drop(black_box(governor.check()));
        }
    });
    let row = "limiter-own-clock";
    both(c, row, "toolweir", || {
        || {
            let _ = black_box(bucket.check());
        }
    });
    let governor = RateLimiter::direct(quota());
    both(c, row, "governor", || || drop(black_box(governor.check())));
    let leaky =
        leaky_bucket::RateLimiter::builder().initial(usize::MAX >> 8).max(usize::MAX >> 8).build();
    both(c, row, "leaky-bucket", || {
        || {
            black_box(leaky.try_acquire(1));
        }
    });
}

fn many_keys(c: &mut Criterion, count: usize) {
    let row = format!("limiter-{count}-keys");
    let keys: Vec<String> = (0..count).map(|key| format!("client-{key:06}")).collect();
    let keys = Arc::new(keys);
    let now = Instant::from_nanos(1 << 40);
    let limiter = Limiter::<String>::new(&config()).expect("valid");
    both(c, &row, "toolweir", || {
        let (mut next, limiter, keys) = (0, &limiter, &keys);
        move || {
            next = (next + 7_919) % count;
            let _ = black_box(limiter.check_at(&keys[next], now));
        }
    });
    let governor = RateLimiter::dashmap_with_clock(quota(), FakeRelativeClock::default());
    both(c, &row, "governor", || {
        let (mut next, governor, keys) = (0, &governor, &keys);
        move || {
            next = (next + 7_919) % count;
            drop(black_box(governor.check_key(&keys[next])));
        }
    });
}
