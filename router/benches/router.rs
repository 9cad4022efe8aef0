//! What ranking and feedback cost, time given.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use toolweir_core::{Instant, ServerId};
use toolweir_router::{Registration, Router};

const STEP: Duration = Duration::from_micros(10);

fn pool(servers: usize) -> (Router, Vec<ServerId>) {
    let router = Router::default();
    let ids = router.extend(
        (0..servers).map(|n| Registration::new(format!("server {n}")).capabilities(["github"])),
    );
    let now = Instant::from_nanos(3_600_000_000_000);
    for (n, id) in ids.iter().enumerate() {
        let attempt = router.start_at(*id, now).expect("just added");
        attempt.succeed(now + Duration::from_millis(10 + n as u64 % 7));
    }
    (router, ids)
}

#[expect(clippy::disallowed_methods, reason = "two threads are timed as one")]
fn router(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick + feedback");
    for servers in [8, 1_000, 10_000] {
        let (router, _) = pool(servers);
        let mut now = Instant::from_nanos(3_700_000_000_000);
        group.bench_function(BenchmarkId::from_parameter(servers), |bencher| {
            bencher.iter(|| {
                now = now + STEP;
                if let Some(attempt) = router.pick_at(black_box(&["github"]), now) {
                    attempt.succeed(now + STEP);
                }
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("pick + feedback, two threads");
    for servers in [8, 1_000] {
        let (router, _) = pool(servers);
        group.bench_function(BenchmarkId::from_parameter(servers), |bencher| {
            bencher.iter_custom(|iterations| {
                let start = std::time::Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            let mut now = Instant::from_nanos(3_700_000_000_000);
                            for _ in 0..iterations / 2 {
                                now = now + STEP;
                                if let Some(attempt) = router.pick_at(black_box(&["github"]), now) {
                                    attempt.succeed(now + STEP);
                                }
                            }
                        });
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("rank 4");
    for servers in [8, 1_000, 10_000] {
        let (router, ids) = pool(servers);
        let now = Instant::from_nanos(3_700_000_000_000);
        group.bench_function(BenchmarkId::new("by capability", servers), |bencher| {
            bencher.iter(|| router.rank_at(black_box(&["github"]), now));
        });
        group.bench_function(BenchmarkId::new("among ids", servers), |bencher| {
            bencher.iter(|| router.rank_among_at(black_box(&ids), now));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("rank 4, sticky");
    for servers in [8, 1_000] {
        let (router, _) = pool(servers);
        let now = Instant::from_nanos(3_700_000_000_000);
        group.bench_function(BenchmarkId::from_parameter(servers), |bencher| {
            bencher.iter(|| router.rank_sticky_at(black_box(&["github"]), "key", now));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = router
}
criterion_main!(benches);
