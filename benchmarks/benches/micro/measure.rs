//! How one contender is measured.

use std::future::Future;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::Criterion;

/// Measures one contender of the figure `row`, on one thread and on two.
///
/// Each thread makes its own operation with `make`, so that it may have a counter or a handle of its own.
pub(crate) fn both<F: FnMut()>(
    c: &mut Criterion,
    row: &str,
    who: &str,
    make: impl Fn() -> F + Sync,
) {
    one(c, row, who, &make);
    c.benchmark_group(format!("{row}/2")).bench_function(who, |bencher| {
        bencher.iter_custom(|iterations| on_two(iterations, &make));
    });
}

/// Measures one contender of the figure `row` on one thread.
pub(crate) fn one<F: FnMut()>(c: &mut Criterion, row: &str, who: &str, make: impl Fn() -> F) {
    c.benchmark_group(format!("{row}/1")).bench_function(who, |bencher| bencher.iter(make()));
}

/// The time for so many operations together on two threads at once.
fn on_two<F: FnMut()>(iterations: u64, make: &(impl Fn() -> F + Sync)) -> Duration {
    let each = iterations.div_ceil(2);
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut operation = make();
                barrier.wait();
                (0..each).for_each(|_| operation());
                barrier.wait();
            });
        }
        barrier.wait();
        let start = Instant::now();
        barrier.wait();
        // Every operation counts once, whichever thread carried it out.
        start.elapsed().mul_f64(iterations as f64 / (2 * each) as f64)
    })
}

/// The outcome of a future that waits for nothing but, at times, for the other thread.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::hint::spin_loop(),
        }
    }
}
