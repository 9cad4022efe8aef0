//! A closed breaker around a call that succeeds.
//!
//! Everybody admits the call and records its success in a window of 100 calls, or of ten seconds with a rate of slow
//! calls, that opens at one half.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use layered::{Execute, Service as _, Stack};
use recloser::Recloser;
use seatbelt::{RecoveryInfo, ResilienceContext};
use toolweir_breaker::{Breaker, Clock, Config, Instant, MonotonicClock, Window};
use tower::{Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};

use crate::measure::{both, one, ready};

pub(crate) fn all(c: &mut Criterion) {
    count_window(c);
    time_window(c);
    window_size(c);
}

fn ours(window: Window) -> Breaker {
    Breaker::new(Config::default().window(window)).expect("valid")
}

fn succeed_at(breaker: &Breaker, now: Instant) {
    if let Ok(permit) = black_box(breaker).try_acquire_at(now) {
        permit.success_at(now);
    }
}

/// Where a clock can be left out, it is: ours and seatbelt are given the time, recloser reads none while closed.
fn count_window(c: &mut Criterion) {
    let row = "breaker-count-window";
    let (breaker, now) = (ours(Window::calls(100)), MonotonicClock.now());
    both(c, row, "toolweir", || || succeed_at(&breaker, now));
    let recloser = Recloser::custom().closed_len(100).error_rate(0.5).build();
    both(c, row, "recloser", || || drop(black_box(recloser.call(|| Ok::<_, ()>(black_box(1))))));
    // Its default: a rate of successes over 30 s, or five failures in a row.
    let failsafe = failsafe::Config::new().build();
    both(c, row, "failsafe", || {
        || {
            let _ =
                black_box(failsafe::CircuitBreaker::call(&failsafe, || Ok::<_, ()>(black_box(1))));
        }
    });
    let context = ResilienceContext::new(tick::Clock::new_frozen());
    let layer = seatbelt::breaker::Breaker::layer("benchmark", &context)
        .recovery_with(|_: &Result<i32, i32>, _| RecoveryInfo::never())
        .rejected_input_error(|_: i32, _| 0)
        .min_throughput(1_000)
        .failure_threshold(0.5);
    let seatbelt =
        (layer, Execute::new(|it: i32| async move { Ok::<i32, i32>(it) })).into_service();
    both(c, row, "seatbelt", || {
        || {
            let _ = black_box(ready(seatbelt.execute(black_box(1))));
        }
    });
    let layer = CircuitBreakerLayer::builder().sliding_window_size(100).failure_rate_threshold(0.5);
    let layer = layer.build().expect("valid");
    let tower = layer.layer_fn(service_fn(|it: i32| async move { Ok::<_, ()>(it) }));
    both(c, row, "tower-resilience", || {
        let mut tower = tower.clone();
        move || {
            let called = async { tower.ready().await.map_err(drop)?.call(1).await.map_err(drop) };
            let _ = black_box(ready(called));
        }
    });
}

/// With the clock that everybody reads for himself, once before the call and once behind it.
fn time_window(c: &mut Criterion) {
    let row = "breaker-time-window";
    let slow = Window::time(Duration::from_secs(10)).slow(Duration::from_secs(1), 0.5);
    let breaker = ours(slow);
    both(c, row, "toolweir", || {
        || {
            if let Ok(permit) = black_box(&breaker).try_acquire() {
                permit.success();
            }
        }
    });
    both(c, row, "two readings of the clock", || {
        || {
            black_box(MonotonicClock.now());
            black_box(MonotonicClock.now());
        }
    });
    let layer = CircuitBreakerLayer::builder()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(Duration::from_secs(10))
        .slow_call_duration_threshold(Duration::from_secs(1))
        .slow_call_rate_threshold(0.5)
        .failure_rate_threshold(0.5)
        .build()
        .expect("valid");
    let tower = layer.layer_fn(service_fn(|it: i32| async move { Ok::<_, ()>(it) }));
    one(c, row, "tower-resilience", || {
        let mut tower = tower.clone();
        move || {
            let called = async { tower.ready().await.map_err(drop)?.call(1).await.map_err(drop) };
            let _ = black_box(ready(called));
        }
    });
}

/// A call with so many others in the time window.
fn window_size(c: &mut Criterion) {
    let now = MonotonicClock.now();
    for calls in [100, 1_000_000] {
        let breaker = ours(Window::time(Duration::from_secs(60)));
        (0..calls).for_each(|_| succeed_at(&breaker, now));
        let row = format!("breaker-window-of-{calls}");
        c.benchmark_group(format!("{row}/1")).bench_function("toolweir", |bencher| {
            bencher.iter_batched(
                || (),
                |()| succeed_at(&breaker, now),
                BatchSize::NumIterations(1_000),
            );
        });
    }
}
