//! Once warm, recording allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{
    Call, CallEnd, CallStart, Event, Kind, Observer, Outcome, RawJson, ServerId, ServerRef,
};
use toolweir_metrics::{Config, Operation, Sample};

use crate::{failed, ok, recorder};

thread_local! { static ALLOCATIONS: Cell<usize> = const { Cell::new(0) } }

/// Counts each thread's allocations.
struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts has to be one")]
// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

pub(crate) fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_box_is_one_allocation() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn recording_allocates_nothing_once_warm() {
    let (recorder, clock) = recorder(Config::default().max_records(100));
    let handle = recorder.bind("a", "call");
    let cycle = || {
        for _ in 0..300 {
            recorder.record(ok(7));
            recorder.record(failed(7));
            handle.record(Sample {
                duration: Duration::from_secs(8),
                success: true,
                ..Sample::default()
            });
            clock.advance(Duration::from_millis(100));
        }
        // Enough to resolve both alerts, so that the next cycle raises them again.
        for _ in 0..200 {
            recorder.record(ok(7));
        }
    };
    cycle();
    assert_eq!(recorder.alert_history().len(), 4);
    assert_eq!(allocations(cycle), 0);
    assert_eq!(recorder.alert_history().len(), 8);
}

#[test]
fn new_texts_allocate_nothing_once_the_table_is_full() {
    let (recorder, _) = recorder(Config::default());
    let texts: Vec<String> = (0..5_000).map(|n| format!("failure {n}")).collect();
    let record = |text: &str| recorder.record(Operation { error: Some(text), ..failed(1) });
    texts[..2_000].iter().for_each(|text| record(text));
    assert_eq!(allocations(|| texts[2_000..].iter().for_each(|text| record(text))), 0);
    assert_eq!(recorder.records().last().unwrap().error_message.as_deref(), Some("failure 4999"));
}

#[test]
fn hearing_events_allocates_nothing_once_warm() {
    let (recorder, clock) = recorder(Config::default());
    let name: Arc<str> = Arc::from("github");
    let server = ServerRef { id: ServerId::new(1), name: &name };
    let call = Call::tool("create_issue", &RawJson::EMPTY_OBJECT).unwrap();
    let cycle = || {
        for outcome in [Outcome::OK, Outcome::Abandoned, Outcome::Ambiguous(Kind::Timeout)] {
            let now = toolweir_core::Clock::now(&*clock);
            recorder.on_event(&Event::CallStart(CallStart { server, call: &call }), now);
            let elapsed = Duration::from_millis(3);
            let end = CallEnd { server, call: &call, outcome, elapsed, reply_size: 9, error: None };
            recorder.on_event(&Event::CallEnd(end), now);
            recorder.on_event(&Event::Breaker { server, state: "open" }, now);
            recorder.on_event(&Event::Health { server, healthy: false, reason: "gone" }, now);
            recorder.on_event(&Event::Limited { server, scope: "tool", retry_after: elapsed }, now);
            recorder.on_event(&Event::Cache { result: toolweir_core::CacheUse::Hit }, now);
            clock.advance(Duration::from_secs(4));
        }
    };
    cycle();
    assert_eq!(allocations(|| (0..100).for_each(|_| cycle())), 0);
}
