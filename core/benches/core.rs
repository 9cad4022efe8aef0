//! What the shared words cost on the path of a call.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use toolweir_core::{
    Call, Clock, Guard, Instant, Kind, Method, MonotonicClock, Outcome, Permit, RawJson, Ticket,
};

/// Admits everything, so that the permit alone is measured.
struct Open;

impl Guard for Open {
    fn admit(&self, _: &Call, _: Instant) -> Result<Ticket, Kind> {
        Ok(Ticket::new(0))
    }
    fn settle(&self, ticket: Ticket, _: &Outcome, _: Instant) {
        black_box(ticket);
    }
}

fn permit(c: &mut Criterion) {
    let call = Call::new(Method::PING, None);
    let now = Instant::default();
    c.benchmark_group("permit").bench_function("admit and settle", |b| {
        b.iter(|| {
            let permit = Permit::acquire(black_box(&Open), &call, now);
            permit.map(|permit| permit.settle(&Outcome::OK, now))
        });
    });
}

fn clock(c: &mut Criterion) {
    c.benchmark_group("clock").bench_function("monotonic", |b| b.iter(|| MonotonicClock.now()));
}

fn json(c: &mut Criterion) {
    let mut group = c.benchmark_group("json");
    for (name, items) in [("1 item", 1), ("200 items", 200)] {
        let item = r#"{"id":7,"title":"The weir leaks","open":true}"#;
        let text = format!(r#"{{"content":[{}],"isError":false}}"#, vec![item; items].join(","));
        let bytes = Bytes::from(text);
        group.bench_function(format!("check/{name}"), |b| b.iter(|| RawJson::new(bytes.clone())));
    }
    group.finish();
}

criterion_group!(benches, permit, clock, json);
criterion_main!(benches);
