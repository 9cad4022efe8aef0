//! One operation recorded.
//!
//! Ours counts it, enters its time into a lifetime histogram and three rolling windows, and keeps the record; the others
//! enter its time into one histogram with eleven buckets.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use toolweir_core::Instant;
use toolweir_metrics::{Config, Recorder, Sample};

use crate::measure::both;

/// 5 ms to 10 s, as most clients of Prometheus have them by default.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Between 1 and 64 ms.
fn micros(n: u64) -> u64 {
    1_000 + n.wrapping_mul(7_919) % 63_000
}

pub(crate) fn all(c: &mut Criterion) {
    let row = "metrics-operation";
    let recorder = Recorder::new(Config::default()).expect("valid");
    let handle = recorder.bind("github", "create_issue");
    both(c, row, "toolweir", || {
        let (mut n, handle) = (0, &handle);
        move || {
            n += 1;
            let now = Instant::from_nanos(3_600_000_000_000 + n * 1_000_000);
            handle.record_at(black_box(sample(n)), now);
        }
    });
    let histogram = Histogram::new(BUCKETS);
    both(c, row, "prometheus-client, one histogram", || {
        let (mut n, histogram) = (0, &histogram);
        move || {
            n += 1;
            histogram.observe(black_box(micros(n) as f64 / 1e6));
        }
    });
    let family =
        Family::<Vec<(&str, &str)>, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
    both(c, row, "prometheus-client, by labels", || {
        let (mut n, family) = (0, &family);
        move || {
            n += 1;
            let labels = vec![("server", "github"), ("operation", "create_issue")];
            family.get_or_create(&labels).observe(black_box(micros(n) as f64 / 1e6));
        }
    });
    // The usual recorder; its buckets are emptied by the reader.
    let exporter = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let rendered = exporter.handle();
    if metrics::set_global_recorder(exporter).is_ok() {
        both(c, row, "metrics", || {
            let (mut n, rendered) = (0_u64, &rendered);
            move || {
                n += 1;
                let labels = [("server", "github"), ("operation", "create_issue")];
                metrics::histogram!("duration", &labels).record(black_box(micros(n) as f64 / 1e6));
                if n.is_multiple_of(100_000) {
                    rendered.run_upkeep();
                }
            }
        });
    }
}

/// What a call leaves behind.
pub(crate) fn sample(n: u64) -> Sample<'static> {
    Sample {
        duration: Duration::from_micros(micros(n)),
        success: true,
        request_bytes: 100,
        response_bytes: 1_000,
        ..Sample::default()
    }
}
