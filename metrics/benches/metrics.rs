//! What one recorded operation costs, and what a look at all of them does.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use toolweir_core::Instant;
use toolweir_metrics::{Config, Operation, Recorder, Sample};

/// The `n`-th of a run of calls, 1 ms apart, between 1 and 64 ms long.
fn sample(n: u64) -> (Sample<'static>, Instant) {
    let duration = Duration::from_micros(1_000 + n.wrapping_mul(7_919) % 63_000);
    let sample = Sample {
        duration,
        success: true,
        request_bytes: 100,
        response_bytes: 1_000,
        ..Sample::default()
    };
    (sample, Instant::from_nanos(3_600_000_000_000 + n * 1_000_000))
}

/// One whole operation: counters, histograms, windows, ring.
fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    let recorder = Recorder::new(Config::default()).expect("defaults are valid");
    let handle = recorder.bind("github", "create_issue");
    group.bench_function("handle, time given", |bencher| {
        let mut n = 0;
        bencher.iter(|| {
            n += 1;
            let (sample, now) = sample(n);
            handle.record_at(black_box(sample), now);
        });
    });
    group.bench_function("handle, own clock", |bencher| {
        bencher.iter(|| handle.record(black_box(sample(7).0)));
    });
    group.bench_function("names, time given", |bencher| {
        let mut n = 0;
        bencher.iter(|| {
            n += 1;
            let (sample, now) = sample(n);
            let operation = Operation {
                name: "create_issue",
                server: "github",
                duration: sample.duration,
                success: true,
                ..Operation::default()
            };
            recorder.record_at(black_box(operation), now);
        });
    });
    group.finish();
}

/// Two threads at once; the time is that of one operation of either, so half of one thread's is ideal.
fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record, two threads");
    group.throughput(Throughput::Elements(1));
    let recorder = Recorder::new(Config::default()).expect("defaults are valid");
    let handle = recorder.bind("github", "create_issue");
    group.bench_function("handle, time given", |bencher| {
        bencher.iter_custom(|iterations| {
            let clock = toolweir_core::MonotonicClock;
            let begin = toolweir_core::Clock::now(&clock);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for n in 0..iterations / 2 {
                            let (sample, now) = sample(n);
                            handle.record_at(black_box(sample), now);
                        }
                    });
                }
            });
            toolweir_core::Clock::now(&clock) - begin
        });
    });
    group.finish();
}

/// Looks at 10,000 records.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let recorder = Recorder::new(Config::default()).expect("defaults are valid");
    for n in 0..10_000 {
        let (sample, now) = sample(n);
        recorder.bind(["github", "slack"][n as usize % 2], "call").record_at(sample, now);
    }
    group.bench_function("statistics", |bencher| bencher.iter(|| recorder.statistics(None)));
    group.bench_function("dashboard", |bencher| bencher.iter(|| recorder.dashboard()));
    group.finish();
}

criterion_group!(benches, record, threads, read);
criterion_main!(benches);
