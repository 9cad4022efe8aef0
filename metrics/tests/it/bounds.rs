//! Everything has a bound.

use std::collections::BTreeSet;
use std::time::Duration;

use toolweir_core::Instant;
use toolweir_metrics::{Config, OTHER, Operation, Sample, Window};

use crate::{failed, ok, recorder};

#[test]
fn the_last_ten_thousand_records_are_kept() {
    let (recorder, _) = recorder(Config::default());
    for n in 0..25_000_u64 {
        recorder.record(Operation { request_bytes: n, ..ok(n) });
    }
    let records = recorder.records();
    assert_eq!(records.len(), 10_000);
    let kept = records.iter().map(|record| record.request_size_bytes);
    assert!(kept.eq(15_000..25_000));
    assert_eq!(records[0].duration_ms, 15_000.0);
    assert_eq!(recorder.statistics(None).unwrap().total_operations, 10_000);
    assert_eq!(recorder.statistics(None).unwrap().min_duration_ms, 15_000.0);
    let lifetime = recorder.statistics_over(Window::Lifetime, None).unwrap();
    assert_eq!((lifetime.total_operations, lifetime.min_duration_ms), (25_000, 0.0));
}

#[test]
fn ten_thousand_names_clamp_to_other() {
    let (recorder, _) = recorder(Config::default());
    for n in 0..10_000 {
        let (name, server) = (format!("tool{n}"), format!("server{}", n % 1_000));
        recorder.record(Operation { name: &name, server: &server, ..ok(1) });
    }
    let records = recorder.records();
    let servers: BTreeSet<_> = records.iter().map(|record| &*record.server_name).collect();
    let mut names: BTreeSet<_> = records.iter().map(|record| &*record.operation_name).collect();
    assert_eq!(servers.len(), 128 + 1);
    assert!(servers.contains(OTHER) && names.remove(OTHER));
    assert_eq!(names.len(), 1_024);
    // Nothing is lost: what has no name of its own counts all the same.
    let total = |server| recorder.statistics(server).unwrap().total_operations;
    assert_eq!(total(None), 10_000);
    assert_eq!(total(Some(OTHER)), 10_000 - 128 * 10);
}

#[test]
fn one_server_takes_at_most_a_quarter_of_the_names() {
    let (recorder, _) = recorder(Config::default());
    for n in 0..2_000 {
        recorder.record(Operation { name: &format!("tool{n}"), ..ok(1) });
    }
    recorder.record(Operation { name: "theirs", server: "b", ..ok(1) });
    let records = recorder.records();
    let names: BTreeSet<_> = records.iter().map(|record| &*record.operation_name).collect();
    assert_eq!(names.len(), 256 + 1 + 1);
    assert!(names.contains("theirs"));
}

/// Ten million records leave memory where a hundred thousand had it.
#[test]
fn ten_million_records_leave_memory_flat() {
    let (recorder, _) = recorder(Config::default());
    let handle = recorder.bind("a", "call");
    let record = |n: u64| {
        let duration = Duration::from_nanos(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 30);
        let sample = Sample { duration, success: !n.is_multiple_of(97), ..Sample::default() };
        handle.record_at(sample, Instant::from_nanos(n * 1_000_000));
    };
    (0..100_000).for_each(record);
    let count = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };
    assert_eq!(crate::allocations::allocations(|| (100_000..count).for_each(record)), 0);
    let lifetime = recorder.statistics_over(Window::Lifetime, None).unwrap();
    assert_eq!(lifetime.total_operations, count);
    assert_eq!(recorder.records().len(), 10_000);
}

/// Counts of eight threads add up, and none of their records is torn.
#[test]
fn threads_lose_nothing() {
    let (recorder, _) = recorder(Config::default());
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let recorder = &recorder;
            scope.spawn(move || {
                let name = format!("thread{thread}");
                let handle = recorder.bind("a", &name);
                for n in 0..5_000 {
                    let duration = Duration::from_micros(thread * 5_000 + n);
                    let sample = Sample {
                        duration,
                        success: !n.is_multiple_of(5),
                        request_bytes: thread * 5_000 + n,
                        ..Sample::default()
                    };
                    handle.record_at(sample, Instant::from_nanos(n));
                    if n.is_multiple_of(1_000) {
                        let read = recorder.records();
                        assert!(read.iter().all(|record| {
                            (record.duration_ms * 1e3).round() as u64 == record.request_size_bytes
                        }));
                    }
                }
            });
        }
    });
    let lifetime = recorder.statistics_over(Window::Lifetime, Some("a")).unwrap();
    assert_eq!((lifetime.total_operations, lifetime.failed), (40_000, 8_000));
    let hour = recorder.statistics_over(Window::Hour, None).unwrap();
    assert_eq!((hour.total_operations, hour.failed), (40_000, 8_000));
    assert_eq!(recorder.records().len(), 10_000);
}

/// Each thread has a ring of its own; together they keep the last records, whichever thread they are from.
#[test]
fn records_of_several_threads_are_kept_in_the_order_of_time() {
    let (recorder, clock) = recorder(Config::default());
    for thread in 0..5_u64 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in thread * 6_000..(thread + 1) * 6_000 {
                    clock.advance(Duration::from_nanos(1));
                    recorder.record(Operation { request_bytes: n, ..ok(1) });
                }
            });
        });
    }
    let kept = recorder.records().into_iter().map(|record| record.request_size_bytes);
    assert!(kept.eq(20_000..30_000));
}

#[test]
fn windows_forget_what_is_older() {
    let (recorder, clock) = recorder(Config::default());
    let counts = || {
        [Window::Minute, Window::FiveMinutes, Window::Hour, Window::Lifetime, Window::Records]
            .map(|window| recorder.statistics_over(window, None).map_or(0, |s| s.total_operations))
    };
    assert_eq!(counts(), [0; 5]);
    (0..10).for_each(|_| recorder.record(ok(10)));
    assert_eq!(counts(), [10; 5]);
    clock.advance(Duration::from_secs(50));
    (0..5).for_each(|_| recorder.record(failed(20)));
    assert_eq!(counts(), [15; 5]);
    assert_eq!(recorder.statistics_over(Window::Minute, Some("a")).unwrap().failed, 5);
    clock.advance(Duration::from_secs(20));
    assert_eq!(counts(), [5, 15, 15, 15, 15]);
    clock.advance(Duration::from_secs(240));
    assert_eq!(counts(), [0, 5, 15, 15, 15]);
    clock.advance(Duration::from_secs(3_500));
    assert_eq!(counts(), [0, 0, 0, 15, 15]);
    recorder.record(ok(1));
    assert_eq!(counts(), [1, 1, 1, 16, 16]);
}
