//! A call through a limiter, a breaker, a balancer and a histogram, around a future that is ready.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::Criterion;
use governor::{Quota, RateLimiter};
use prometheus_client::metrics::histogram::Histogram;
use recloser::Recloser;
use toolweir_breaker::{Breaker, Clock, Config, MonotonicClock, Window};
use toolweir_metrics::{Recorder, Sample};
use toolweir_ratelimit::Bucket;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_ratelimiter::RateLimiterLayer;

use crate::measure::{both, ready};

/// The clock is read twice by each, or more often where a part reads it for itself.
pub(crate) fn all(c: &mut Criterion) {
    let row = "stack";
    let limits = toolweir_ratelimit::Config::default().requests_per_second(1e9).burst(1_000_000);
    let bucket = Bucket::new(&limits).expect("valid");
    let breaker = Breaker::new(Config::default().window(Window::calls(100))).expect("valid");
    let router = crate::router::ours(8);
    let recorder = Recorder::new(toolweir_metrics::Config::default()).expect("valid");
    let handle = recorder.bind("github", "create_issue");
    both(c, row, "toolweir", || {
        let mut picker = router.picker(["github"]);
        // The others are shared as they are.
        let (bucket, breaker, handle) = (&bucket, &breaker, &handle);
        move || {
            let begun = MonotonicClock.now();
            if bucket.check_at(begun).is_err() {
                return;
            }
            let Ok(permit) = breaker.try_acquire_at(begun) else { return };
            let Some(attempt) = black_box(&mut picker).pick_at(begun) else { return };
            black_box(ready(async { black_box(1) }));
            let ended = MonotonicClock.now();
            attempt.succeed(ended);
            permit.success_at(ended);
            let sample = Sample { duration: ended - begun, success: true, ..Sample::default() };
            handle.record_at(sample, ended);
        }
    });
    let burst = NonZeroU32::new(1_000_000).expect("not zero");
    let per_second = NonZeroU32::new(1_000_000_000).expect("not zero");
    let governor = RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst));
    let recloser = Recloser::custom().closed_len(100).error_rate(0.5).build();
    let histogram = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
    both(c, row, "governor + recloser + prometheus-client", || {
        || {
            if governor.check().is_err() {
                return;
            }
            let begun = std::time::Instant::now();
            let called = recloser.call(|| Ok::<_, ()>(ready(async { black_box(1) })));
            let _ = black_box(called);
            histogram.observe(begun.elapsed().as_secs_f64());
        }
    });
    let breaker = CircuitBreakerLayer::builder().sliding_window_size(100).build().expect("valid");
    let limiter = RateLimiterLayer::builder()
        .limit_for_period(usize::MAX >> 8)
        .refresh_period(Duration::from_secs(1))
        .build()
        .expect("valid");
    let inner = service_fn(|it: i32| async move { Ok::<_, tower::BoxError>(it) });
    let tower = ServiceBuilder::new().layer(limiter).service(breaker.layer(inner));
    both(c, row, "tower-resilience, limiter and breaker", || {
        let mut tower = tower.clone();
        move || {
            let called = async { tower.ready().await.map_err(drop)?.call(1).await.map_err(drop) };
            let _ = black_box(ready(called));
        }
    });
}
