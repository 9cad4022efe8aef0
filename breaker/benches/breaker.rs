//! What a call pays for its breaker.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant as StdInstant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use toolweir_breaker::{Breaker, Clock, Config, Instant, MonotonicClock, Window};

fn breaker(config: Config) -> Breaker {
    Breaker::new(config).expect("a valid configuration")
}

fn timed(breaker: &Breaker, now: Instant) {
    if let Ok(permit) = black_box(breaker).try_acquire_at(now) {
        permit.success_at(now);
    }
}

fn own_clock(breaker: &Breaker) {
    if let Ok(permit) = black_box(breaker).try_acquire() {
        permit.success();
    }
}

/// Time for `iterations` calls a thread, all threads at once.
#[expect(clippy::disallowed_methods, reason = "measures real threads")]
fn on_threads(threads: usize, iterations: u64, call: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                (0..iterations).for_each(|_| call());
                barrier.wait();
            });
        }
        barrier.wait();
        let start = StdInstant::now();
        barrier.wait();
        start.elapsed()
    })
}

fn closed(c: &mut Criterion) {
    let now = MonotonicClock.now();
    let slow_time = || Window::time(Duration::from_secs(10)).slow(Duration::from_secs(1), 0.5);
    let mut group = c.benchmark_group("closed, acquire and success");
    for (name, config) in [
        ("in a row", Config::default()),
        ("100 calls", Config::default().window(Window::calls(100))),
        ("10 s", Config::default().window(Window::time(Duration::from_secs(10)))),
        ("10 s, slow", Config::default().window(slow_time())),
    ] {
        let breaker = breaker(config);
        group.bench_function(BenchmarkId::new(name, "time given"), |b| {
            b.iter(|| timed(&breaker, now));
        });
        group.bench_function(BenchmarkId::new(name, "own clock"), |b| {
            b.iter(|| own_clock(&breaker));
        });
        group.bench_function(BenchmarkId::new(name, "time given, 2 threads"), |b| {
            b.iter_custom(|iterations| on_threads(2, iterations / 2 + 1, || timed(&breaker, now)));
        });
    }
    group.bench_function("the clock alone, twice", |b| {
        b.iter(|| (MonotonicClock.now(), MonotonicClock.now()));
    });
    group.finish();
}

fn window_size(c: &mut Criterion) {
    let now = MonotonicClock.now();
    let mut group = c.benchmark_group("a failure among so many calls");
    for calls in [100, 10_000, 1_000_000] {
        for (name, window) in
            [("calls", Window::calls(calls)), ("time", Window::time(Duration::from_secs(60)))]
        {
            let breaker = breaker(Config::default().window(window));
            (0..calls).for_each(|_| timed(&breaker, now));
            let mut turn = 0_u64;
            group.bench_function(BenchmarkId::new(name, calls), |b| {
                b.iter(|| {
                    turn += 1;
                    match breaker.try_acquire_at(now) {
                        Ok(permit) if turn.is_multiple_of(4) => permit.failure_at(now),
                        Ok(permit) => permit.success_at(now),
                        Err(_) => unreachable!("a quarter of the calls fails, half would open"),
                    }
                });
            });
        }
    }
    group.finish();
}

fn open(c: &mut Criterion) {
    let now = MonotonicClock.now();
    let breaker = breaker(Config::default().failures(1));
    if let Ok(permit) = breaker.try_acquire_at(now) {
        permit.failure_at(now);
    }
    c.bench_function("open, refuse", |b| {
        b.iter(|| black_box(&breaker).try_acquire_at(now).is_err());
    });
}

criterion_group!(benches, closed, window_size, open);
criterion_main!(benches);
