//! Our crates beside others of their kind, each with the same duty, in one run.
//!
//! A group is one figure: one path, on one or two threads. Its functions are the contenders; `toolweir` is ours. What is
//! made of them stands in `docs/BENCHMARKS.md`.

mod breaker;
mod cache;
mod limiter;
mod measure;
mod metrics;
mod router;
mod stack;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots();
    targets = breaker::all, limiter::all, cache::all, metrics::all, router::all, stack::all
}
criterion_main!(benches);
