//! A permit settles exactly once, however it ends; a refusal settles never.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use proptest::prelude::*;
use toolweir_core::{Call, Guard, Instant, Kind, Method, Outcome, Permit, Ticket};

/// Numbers its tickets and remembers what it hears.
#[derive(Debug, Default)]
struct Recorder {
    /// Refuses the calls of these numbers.
    refused: Vec<u64>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    asked: u64,
    settled: Vec<(u64, Outcome, Instant)>,
}

impl Guard for Recorder {
    fn admit(&self, _: &Call, _: Instant) -> Result<Ticket, Kind> {
        let mut seen = self.seen.lock().expect("no test panics while it holds the lock");
        let number = seen.asked;
        seen.asked += 1;
        if self.refused.contains(&number) { Err(Kind::Overloaded) } else { Ok(Ticket::new(number)) }
    }

    fn settle(&self, ticket: Ticket, outcome: &Outcome, now: Instant) {
        self.seen.lock().expect("no test panics while it holds the lock").settled.push((
            ticket.value(),
            *outcome,
            now,
        ));
    }
}

/// How a permit ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Settled(Outcome),
    Dropped,
    Unwound,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Settled(Outcome::OK)),
        Just(End::Settled(Outcome::Ambiguous(Kind::Timeout))),
        Just(End::Settled(Outcome::NotSent(Kind::Unreachable))),
        Just(End::Settled(Outcome::Abandoned)),
        Just(End::Dropped),
        Just(End::Unwound),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Calls begin in order, some are refused, and they end in any order.
    #[test]
    fn a_permit_settles_exactly_once(
        calls in prop::collection::vec((any::<bool>(), end(), any::<u16>()), 0..24),
    ) {
        let refused = (0..).zip(&calls).filter(|(_, (refuse, ..))| *refuse).map(|(n, _)| n);
        let guard = Recorder { refused: refused.collect(), ..Recorder::default() };
        let call = Call::new(Method::PING, None);
        let mut open = Vec::new();
        let mut expected = Vec::new();
        for (number, (refuse, end, order)) in (0_u64..).zip(&calls) {
            let admitted = Instant::from_nanos(number);
            match Permit::acquire(&guard, &call, admitted) {
                Err(kind) => {
                    prop_assert!(*refuse);
                    prop_assert_eq!(kind, Kind::Overloaded);
                }
                Ok(permit) => {
                    prop_assert_eq!(permit.admitted(), admitted);
                    open.push((*order, *end, number, permit));
                }
            }
        }
        open.sort_by_key(|(order, ..)| *order);
        prop_assert!(guard.seen.lock().unwrap().settled.is_empty());
        for (order, end, number, permit) in open {
            let now = Instant::from_nanos(1_000 + u64::from(order));
            expected.push(match end {
                End::Settled(outcome) => {
                    permit.settle(&outcome, now);
                    (number, outcome, now)
                }
                End::Dropped => {
                    drop(permit);
                    (number, Outcome::Abandoned, Instant::from_nanos(number))
                }
                End::Unwound => {
                    let unwound = catch_unwind(AssertUnwindSafe(move || {
                        let _held = permit;
                        resume_unwind(Box::new(())); // unlike panic!, prints nothing
                    }));
                    prop_assert!(unwound.is_err());
                    (number, Outcome::Abandoned, Instant::from_nanos(number))
                }
            });
        }
        prop_assert_eq!(&guard.seen.lock().unwrap().settled, &expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_future_is_dropped_settles_as_abandoned() {
    let guard = Recorder::default();
    let call = Call::new(Method::PING, None);
    let journey = async {
        let permit = Permit::acquire(&guard, &call, Instant::from_nanos(7)).unwrap();
        std::future::pending::<()>().await;
        permit.settle(&Outcome::OK, Instant::from_nanos(8));
    };
    let left = tokio::time::timeout(std::time::Duration::from_secs(1), journey).await;
    assert!(left.is_err());
    let settled = &guard.seen.lock().unwrap().settled;
    assert_eq!(settled[..], [(0, Outcome::Abandoned, Instant::from_nanos(7))]);
}
