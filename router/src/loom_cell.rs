//! A server's cell a second time, on loom's atomics, and every schedule of a few threads through it.

#[path = "cell.rs"]
mod cell;
#[path = "pool.rs"]
mod pool;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use toolweir_core::Instant;

use self::cell::Cell;
use self::pool::Pool;
use crate::Config;

const MILLISECOND: u64 = 1_000_000;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// So many servers, of which one error makes one unhealthy, and errors so many percent.
fn cells<const N: usize>(percent: u8) -> (Arc<Pool>, [Arc<Cell>; N]) {
    let config = Config::default().tolerated_errors(0).max_ejected_percent(percent);
    let pool = Arc::new(Pool::new(&config));
    pool.resize(N);
    let cells = std::array::from_fn(|_| Arc::new(Cell::new(pool.clone())));
    (pool, cells)
}

fn fail(cell: &Cell) {
    cell.fail(0, 0, at(1));
}

/// The count is that of the unhealthy.
fn assert_true<const N: usize>(pool: &Pool, cells: &[Arc<Cell>; N]) {
    let unhealthy = cells.iter().filter(|cell| cell.trial_at().is_some()).count();
    assert_eq!(pool.unhealthy(), unhealthy);
}

/// Does both at once, in every order.
fn both<const N: usize>(
    percent: u8,
    prepare: impl Fn(&[Arc<Cell>; N]) + Send + Sync + 'static,
    one: impl Fn(&[Arc<Cell>; N]) + Send + Sync + Copy + 'static,
    other: impl Fn(&[Arc<Cell>; N]) + Send + Sync + 'static,
    check: impl Fn(&Pool, &[Arc<Cell>; N]) + Send + Sync + 'static,
) {
    loom::model(move || {
        let (pool, cells) = cells::<N>(percent);
        prepare(&cells);
        let theirs = cells.clone();
        let thread = thread::spawn(move || one(&theirs));
        other(&cells);
        thread.join().expect("joined");
        check(&pool, &cells);
    });
}

#[test]
fn two_servers_that_fail_at_once_share_one_place() {
    both::<2>(
        50,
        |_| {},
        |cells| fail(&cells[0]),
        |cells| fail(&cells[1]),
        |pool, cells| {
            assert_eq!(pool.unhealthy(), 1);
            assert_true(pool, cells);
        },
    );
}

#[test]
fn an_error_and_a_success_at_once_leave_a_true_count() {
    both::<1>(
        100,
        |_| {},
        |cells| fail(&cells[0]),
        |cells| cells[0].succeed(MILLISECOND, at(1)),
        assert_true,
    );
}

#[test]
fn two_errors_at_once_eject_it_once() {
    both::<1>(
        100,
        |_| {},
        |cells| fail(&cells[0]),
        |cells| fail(&cells[0]),
        |pool, cells| {
            assert_eq!(pool.unhealthy(), 1);
            assert_true(pool, cells);
        },
    );
}

/// The end of a slow start, which a ranking finds, must not undo an ejection that comes with it.
#[test]
fn a_slow_start_that_ends_with_an_error_leaves_a_true_count() {
    both::<1>(
        100,
        |cells| {
            fail(&cells[0]);
            cells[0].succeed(MILLISECOND, at(1));
        },
        |cells| assert_eq!(cells[0].handicap(at(60)), 0),
        |cells| fail(&cells[0]),
        |pool, cells| {
            assert_eq!(pool.unhealthy(), 1);
            assert_true(pool, cells);
        },
    );
}

#[test]
fn a_removed_server_leaves_no_trace_whatever_comes_with_it() {
    for late in [
        |cells: &[Arc<Cell>; 1]| fail(&cells[0]),
        |cells: &[Arc<Cell>; 1]| cells[0].mark_unhealthy(at(1)),
        |cells: &[Arc<Cell>; 1]| cells[0].mark_healthy(),
        |cells: &[Arc<Cell>; 1]| cells[0].succeed(MILLISECOND, at(1)),
    ] {
        for out in [false, true] {
            both::<1>(
                100,
                move |cells| {
                    if out {
                        fail(&cells[0]);
                    }
                },
                late,
                |cells| cells[0].retire(),
                |pool, _| assert_eq!(pool.unhealthy(), 0),
            );
        }
    }
}

#[test]
fn of_two_rankings_one_gets_the_trial() {
    loom::model(|| {
        let (_, [cell]) = cells::<1>(100);
        fail(&cell);
        let theirs = cell.clone();
        let thread = thread::spawn(move || theirs.try_trial(at(60), true));
        let mine = cell.try_trial(at(60), true);
        assert!(mine ^ thread.join().expect("joined"));
    });
}

/// No slower answer is lost to a faster one that comes with it.
#[test]
fn of_two_answers_at_once_the_peak_counts() {
    both::<1>(
        100,
        |_| {},
        |cells| cells[0].succeed(9 * MILLISECOND, at(1)),
        |cells| cells[0].succeed(MILLISECOND, at(1)),
        |pool, cells| {
            let latency = cells[0].latency(pool.tick(at(1))).expect("known");
            assert!(latency.abs_diff(Duration::from_millis(9)) < Duration::from_micros(1));
        },
    );
}
