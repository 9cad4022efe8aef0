//! The breaker as one of the orchestrator's guards.

use std::thread;
use std::time::Duration;

use toolweir_core::{Call, Clock, Guard, Instant, Kind, Outcome, Ticket};

use crate::Breaker;
use crate::engine::{Ending, Pass};

/// A ticket: generation (24 bits) and time of admission (40 bits, in units of 2^14 ns: 16 µs, 208 days).
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const UNIT_BITS: u32 = 14;

fn ticket(pass: Pass) -> Ticket {
    let time = (pass.admitted.as_nanos() >> UNIT_BITS) & TIME_MASK;
    Ticket::new(u64::from(pass.generation) << TIME_BITS | time)
}

/// The pass that `ticket` was made from: its generation as the one nearest to `current`, its time to 16 µs.
fn pass(ticket: &Ticket, current: u32, now: Instant) -> Pass {
    let low = (ticket.value() >> TIME_BITS) as u32;
    let age = current.wrapping_sub(low) & 0x00FF_FFFF;
    let time = ticket.value() & TIME_MASK;
    let elapsed = (now.as_nanos() >> UNIT_BITS).wrapping_sub(time) & TIME_MASK;
    // More than half of the range means that `now` is before the admission.
    let elapsed = if elapsed > TIME_MASK / 2 { 0 } else { elapsed << UNIT_BITS };
    Pass { generation: current.wrapping_sub(age), admitted: now - Duration::from_nanos(elapsed) }
}

/// `classify` decides what an outcome means. A permit that a panic drops counts as a failure.
impl<C: Clock> Guard for Breaker<C> {
    fn admit(&self, _: &Call, now: Instant) -> Result<Ticket, Kind> {
        match self.pass_at(now) {
            Ok(pass) => Ok(ticket(pass)),
            Err(refused) => Err(refused.into()),
        }
    }

    fn settle(&self, ticket: Ticket, outcome: &Outcome, now: Instant) {
        let ending = match self.ending(outcome) {
            Ending::Unknown if *outcome == Outcome::Abandoned && thread::panicking() => {
                Ending::Failure
            }
            ending => ending,
        };
        self.settle_at(pass(&ticket, self.generation(), now), ending, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_keeps_its_generation_and_its_time() {
        for (generation, current) in [(0, 0), (7, 9), (0x00FF_FFFF, 0x0100_0001), (u32::MAX, 1)] {
            for nanos in [0, 1 << 20, u64::MAX >> 1] {
                let admitted = Instant::from_nanos(nanos);
                let now = admitted + Duration::from_millis(1500);
                let back = pass(&ticket(Pass { generation, admitted }), current, now);
                assert_eq!(back.generation, generation);
                let error = (now - back.admitted).abs_diff(Duration::from_millis(1500));
                assert!(error <= Duration::from_nanos(1 << UNIT_BITS), "{error:?}");
            }
        }
    }

    #[test]
    fn a_clock_that_went_back_makes_no_call_slow() {
        let admitted = Instant::from_nanos(1 << 40);
        let now = Instant::from_nanos(1 << 39);
        let back = pass(&ticket(Pass { generation: 1, admitted }), 1, now);
        assert_eq!(now - back.admitted, Duration::ZERO);
    }
}
