//! The ring in every order in which a writer and a reader can meet: its own source, on loom's atomics.

#[path = "../../src/ring.rs"]
#[expect(dead_code, reason = "not all of it is wanted here")]
mod source;

use loom::sync::Arc;
use source::{Compact, Ring};

/// A record whose words all tell its number.
fn record(number: u32) -> Compact {
    let wide = u64::from(number);
    Compact {
        wall: wide,
        nanos: wide,
        slot: number,
        text: number,
        request_bytes: wide,
        response_bytes: wide,
    }
}

#[test]
fn a_reader_never_sees_a_torn_record() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let ring = Arc::new(Ring::new(1));
        ring.push(&record(1));
        let writer = ring.clone();
        let thread = loom::thread::spawn(move || {
            writer.push(&record(2));
            writer.push(&record(3));
        });
        let mut copied = Vec::new();
        ring.copy(&mut copied);
        for found in copied {
            assert_eq!(found, record(found.slot));
        }
        thread.join().unwrap();
        let mut copied = Vec::new();
        ring.copy(&mut copied);
        assert_eq!(copied, [record(3)]);
    });
}

#[test]
fn the_last_ones_come_back_in_order_and_whole() {
    for written in 0..9 {
        loom::model(move || {
            let ring = Ring::new(3);
            (0..written).for_each(|number| ring.push(&record(number)));
            let mut copied = vec![record(1_000)];
            ring.copy(&mut copied);
            let mut expected = vec![record(1_000)];
            expected.extend((written.saturating_sub(3)..written).map(record));
            assert_eq!(copied, expected);
        });
    }
}
