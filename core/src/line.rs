//! Time as a straight line over a processor's cycle counter: what a fast clock reads between looks at the real one.
//!
//! A line is drawn through a reading of the standard clock and believed for [`WINDOW`]; then the standard clock is
//! looked at again. So the counter never tells more than the last quarter of a millisecond, and nothing that happens
//! to it (another host, a sleeping machine, another frequency) can do more harm than that.
//!
//! ```text
//! Fresh     => Measuring: the first look
//! Fresh     => Refused:   the system does not trust the counter either
//! Measuring => Drawn:     a second look, 10 ms to 1 s after the first, gives the rate
//! Drawn     => Refused:   a look finds the line ahead of the standard clock: the counter does not tell the time
//! ```

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

/// How long a line is believed, in nanoseconds.
pub(crate) const WINDOW: u64 = 250_000;

/// So many windows are believed while another thread looks at the standard clock.
const LATE: u64 = 4;

/// The rate is measured between looks that are so far apart, in nanoseconds.
const BASELINE: std::ops::Range<u64> = 10_000_000..1_000_000_000;

/// A line rises by this part less than the standard clock, so that it stays behind while that is slewed: by at most
/// 0.05 % in either direction, during the measurement and after it.
const SLOWER: u64 = 512;

/// A look is taken again where its two readings of the counter are further apart, in nanoseconds.
const LOOK: u64 = 1_000;

/// Looks in a row; each but the first is needed only where the thread was interrupted in the middle of one.
const LOOKS: usize = 4;

/// What a line may lead by because the two clocks round differently, in nanoseconds.
const ROUNDING: u64 = 100;

/// A counter of cycles, and the standard clock in nanoseconds.
pub(crate) trait Source {
    fn cycles(&self) -> u64;
    fn nanos(&self) -> u64;
    /// Whether the counter is worth trying.
    fn is_steady(&self) -> bool;
}

/// Nanoseconds as `offset + cycles × rate`.
///
/// Never goes back: the rate is set once and the offset only rises, so that who reads later reads a line that is
/// nowhere lower, at a count that is no smaller.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Line {
    offset: AtomicI64,
    /// Nanoseconds a cycle, times 2³².
    rate: AtomicU64,
    /// The count at the last look.
    anchored: AtomicU64,
    /// Cycles for which the line is believed from then on; 0 where there is none.
    window: AtomicU64,
    refused: AtomicBool,
    /// Once refused: what may have been read before.
    floor: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Fresh,
    Measuring(Look),
    Drawn,
    Refused,
}

/// The standard clock between two readings of the counter.
#[derive(Clone, Copy, Debug)]
struct Look {
    before: u64,
    nanos: u64,
    after: u64,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            offset: AtomicI64::new(0),
            rate: AtomicU64::new(0),
            anchored: AtomicU64::new(0),
            window: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            floor: AtomicU64::new(0),
            state: Mutex::new(State::Fresh),
        }
    }

    /// The time now; never less than an earlier reading.
    #[inline]
    pub(crate) fn now(&self, source: &impl Source) -> u64 {
        match self.read(1, source) {
            Some(nanos) => nanos,
            None => self.look(source),
        }
    }

    /// The time by the line, within so many windows from the last look.
    #[inline]
    fn read(&self, windows: u64, source: &impl Source) -> Option<u64> {
        // In this order: an offset at least as new as its anchor, and the count after both.
        let window = self.window.load(Ordering::Acquire);
        let anchored = self.anchored.load(Ordering::Acquire);
        let offset = self.offset.load(Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        let cycles = source.cycles();
        let believed = cycles.wrapping_sub(anchored) < window * windows;
        believed.then(|| at(offset, rate, cycles))
    }

    /// The time by the standard clock, and a line through it.
    #[cold]
    fn look(&self, source: &impl Source) -> u64 {
        if self.refused.load(Ordering::Acquire) {
            return source.nanos().max(self.floor.load(Ordering::Relaxed));
        }
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => match self.read(LATE, source) {
                Some(nanos) => return nanos,
                None => self.state.lock().unwrap_or_else(PoisonError::into_inner),
            },
        };
        // Another thread may have looked meanwhile.
        if let Some(nanos) = self.read(1, source) {
            return nanos;
        }
        let look = Look::take(source, self.rate.load(Ordering::Relaxed));
        match *state {
            State::Fresh if !source.is_steady() => self.refuse(0, &mut state),
            State::Fresh => *state = State::Measuring(look),
            State::Measuring(first) => match look.nanos.saturating_sub(first.nanos) {
                elapsed if elapsed < BASELINE.start => {}
                elapsed if elapsed >= BASELINE.end => *state = State::Measuring(look),
                elapsed => match rate(elapsed, look.after.wrapping_sub(first.before)) {
                    Some(rate) => {
                        self.rate.store(rate, Ordering::Relaxed);
                        self.anchor(look, rate);
                        self.window.store(cycles(WINDOW, rate), Ordering::Release);
                        *state = State::Drawn;
                    }
                    None => self.refuse(0, &mut state),
                },
            },
            State::Drawn => {
                let (offset, rate) =
                    (self.offset.load(Ordering::Relaxed), self.rate.load(Ordering::Relaxed));
                let told = at(offset, rate, look.before);
                if told <= look.nanos.saturating_add(ROUNDING) {
                    self.anchor(look, rate);
                    return at(self.offset.load(Ordering::Relaxed), rate, look.after);
                }
                // Others may be reading the line at this moment, to its very end.
                let last =
                    self.anchored.load(Ordering::Relaxed).wrapping_add(LATE * cycles(WINDOW, rate));
                self.refuse(at(offset, rate, last), &mut state);
            }
            State::Refused => {}
        }
        look.nanos.max(self.floor.load(Ordering::Relaxed))
    }

    /// Draws the line through `look`, unless it is higher already.
    fn anchor(&self, look: Look, rate: u64) {
        let offset = (look.nanos as i64).wrapping_sub(at(0, rate, look.after) as i64);
        if self.window.load(Ordering::Relaxed) == 0 {
            self.offset.store(offset, Ordering::Relaxed); // nobody reads it yet
        } else {
            self.offset.fetch_max(offset, Ordering::Relaxed);
        }
        self.anchored.store(look.after, Ordering::Release);
    }

    /// From now on the standard clock alone, from `floor` on.
    fn refuse(&self, floor: u64, state: &mut State) {
        self.floor.store(floor, Ordering::Relaxed);
        self.refused.store(true, Ordering::Release);
        self.window.store(0, Ordering::Release);
        *state = State::Refused;
    }
}

impl Look {
    /// Looks until the counter was read shortly before and after; at `rate`, 0 where that is not known yet.
    fn take(source: &impl Source, rate: u64) -> Self {
        let mut best: Option<Self> = None;
        for _ in 0..LOOKS {
            let (before, nanos, after) = (source.cycles(), source.nanos(), source.cycles());
            let look = Self { before, nanos, after };
            if best.is_none_or(|best| look.width() < best.width()) {
                best = Some(look);
            }
            if rate > 0 && look.width() <= cycles(LOOK, rate) {
                break;
            }
        }
        best.expect("it looks at least once")
    }

    fn width(&self) -> u64 {
        self.after.wrapping_sub(self.before)
    }
}

/// The line of `rate` through `offset`, at a count.
#[inline]
fn at(offset: i64, rate: u64, cycles: u64) -> u64 {
    let risen = (u128::from(cycles) * u128::from(rate)) >> 32;
    (risen as u64).wrapping_add_signed(offset)
}

/// The rate of a line that rises a little less than by `nanos` in so many cycles; `None` where no counter has it.
fn rate(nanos: u64, cycles: u64) -> Option<u64> {
    let rate = (u128::from(nanos) << 32).checked_div(u128::from(cycles))? as u64;
    // From 64 cycles a nanosecond to one in 64.
    ((1 << 26)..(1 << 38)).contains(&rate).then(|| rate - rate / SLOWER)
}

/// Cycles in so many nanoseconds.
fn cycles(nanos: u64, rate: u64) -> u64 {
    (nanos << 32) / rate
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// All windows, and what a rate that was measured in bad times makes of them.
    const OFF: u64 = LATE * WINDOW * 2;

    /// A machine on which time passes when told to, in picoseconds.
    struct Machine {
        line: Line,
        /// What the counter and the standard clock show.
        cycles: Cell<u64>,
        picos: Cell<u64>,
        /// Cycles a microsecond.
        frequency: u64,
        /// How much faster the standard clock is made to run, in millionths.
        slew: Cell<i64>,
        /// What happens while the counter is being read.
        meanwhile: RefCell<VecDeque<Step>>,
        /// The largest reading of a call that has returned.
        told: Cell<u64>,
        /// How far a reading may be off: nothing while the counter goes forward.
        off: Cell<u64>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Nanoseconds pass.
        Pass(u64),
        /// Someone reads the clock.
        Read,
        /// The standard clock runs faster by so many millionths.
        Slew(i64),
        /// The counter jumps.
        Jump(i64),
        /// The next time that the counter is read, this happens right before.
        Meanwhile(u64),
        /// Or someone else reads the clock in the midst of it.
        Nested,
    }

    impl Source for Machine {
        fn cycles(&self) -> u64 {
            self.pass(8);
            let step = self.meanwhile.borrow_mut().pop_front();
            match step {
                // Not in the midst of a look, where the one thread of this test would wait for itself.
                Some(Step::Read) if self.line.state.try_lock().is_ok() => drop(self.read()),
                Some(Step::Pass(nanos)) => self.pass(nanos),
                _ => {}
            }
            self.cycles.get()
        }

        fn nanos(&self) -> u64 {
            self.pass(20);
            self.picos.get() / 1_000
        }

        fn is_steady(&self) -> bool {
            self.frequency > 0
        }
    }

    impl Machine {
        fn new(frequency: u64) -> Self {
            Self {
                line: Line::new(),
                cycles: Cell::new(77_000_000_000),
                picos: Cell::new(5_000_000_000_000_000),
                frequency,
                slew: Cell::new(0),
                meanwhile: RefCell::default(),
                told: Cell::new(0),
                off: Cell::new(0),
            }
        }

        fn pass(&self, nanos: u64) {
            self.cycles.set(self.cycles.get().wrapping_add(nanos * self.frequency / 1_000));
            self.picos.set(self.picos.get() + nanos * (1_000_000 + self.slew.get()) as u64 / 1_000);
        }

        /// One reading, with the standard clock before and after it. It is no less than any that returned before.
        fn read(&self) -> (u64, u64, u64) {
            let (floor, before) = (self.told.get(), self.picos.get() / 1_000);
            let nanos = self.line.now(self);
            assert!(nanos + self.off.get() >= floor, "back by {} ns", floor - nanos);
            self.told.set(self.told.get().max(nanos));
            (before, nanos, self.picos.get() / 1_000)
        }

        /// Until the line is drawn.
        fn warm_up(&self) {
            self.read();
            self.pass(20_000_000);
            self.read();
        }

        fn is_drawn(&self) -> bool {
            self.line.window.load(Ordering::Relaxed) > 0
        }

        fn take(&self, step: Step) {
            match step {
                Step::Pass(nanos) => self.pass(nanos),
                Step::Read => drop(self.read()),
                Step::Slew(millionths) => self.slew.set(millionths),
                Step::Jump(by) => {
                    self.cycles.set(self.cycles.get().wrapping_add_signed(by));
                    if by < 0 {
                        self.off.set(OFF);
                    }
                }
                Step::Meanwhile(nanos) => self.meanwhile.borrow_mut().push_back(Step::Pass(nanos)),
                Step::Nested => self.meanwhile.borrow_mut().push_back(Step::Read),
            }
        }
    }

    fn steady() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..300_000_u64).prop_map(Step::Pass),
            1 => (0..50_000_000_u64).prop_map(Step::Pass),
            4 => Just(Step::Read),
            1 => (-500..=500_i64).prop_map(Step::Slew),
            1 => Just(Step::Nested),
        ]
    }

    fn wild() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => steady(),
            1 => (-80_000..80_000_i64).prop_map(Step::Slew),
            1 => any::<i64>().prop_map(Step::Jump),
            1 => (-3_000_000..3_000_000_i64).prop_map(Step::Jump),
            1 => (0..5_000_000_u64).prop_map(Step::Meanwhile),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_steady_counter_stays_within_two_microseconds_and_never_leads(
            frequency in 100..6_000_u64,
            steps in prop::collection::vec(steady(), 0..400),
        ) {
            let machine = Machine::new(frequency);
            for step in steps {
                machine.take(step);
                let (before, told, after) = machine.read();
                prop_assert!(told <= after, "leads by {} ns", told - after);
                prop_assert!(told + 2_000 >= before, "behind by {} ns", before - told);
            }
            prop_assert!(!machine.line.refused.load(Ordering::Relaxed));
        }

        #[test]
        fn whatever_the_counter_does_it_is_off_by_its_windows_at_most_and_goes_back_only_with_it(
            frequency in 100..6_000_u64,
            steps in prop::collection::vec(wild(), 0..400),
        ) {
            let machine = Machine::new(frequency);
            for step in steps {
                machine.take(step);
                let (_, told, after) = machine.read();
                prop_assert!(told <= after + OFF, "leads by {} ns", told - after);
            }
        }
    }

    #[test]
    fn a_line_is_drawn_after_ten_milliseconds() {
        let machine = Machine::new(2_100);
        machine.read();
        machine.pass(9_000_000);
        machine.read();
        assert!(!machine.is_drawn());
        machine.pass(2_000_000);
        machine.read();
        assert!(machine.is_drawn());
    }

    /// A machine that slept between the two looks would give a wrong rate.
    #[test]
    fn looks_that_are_a_second_apart_give_no_rate() {
        let machine = Machine::new(2_100);
        machine.read();
        machine.pass(1_000_000_000);
        machine.read();
        assert!(!machine.is_drawn());
        machine.pass(10_000_000);
        machine.read();
        assert!(machine.is_drawn());
    }

    #[test]
    fn within_its_window_it_reads_the_counter_alone() {
        let machine = Machine::new(2_100);
        machine.warm_up();
        let before = machine.picos.get();
        machine.read();
        assert_eq!(machine.picos.get() - before, 8_000, "one reading of the counter");
        machine.pass(WINDOW * 2);
        let before = machine.picos.get();
        machine.read();
        assert_eq!(machine.picos.get() - before, (8 + 8 + 8 + 20 + 8) * 1_000, "and a look");
    }

    #[test]
    fn a_counter_that_the_system_does_not_trust_is_not_tried() {
        let machine = Machine::new(0);
        machine.warm_up();
        let (before, told, after) = machine.read();
        assert!(machine.line.refused.load(Ordering::Relaxed));
        assert!((before..=after).contains(&told));
    }

    #[test]
    fn a_counter_that_jumped_ahead_is_refused_for_good() {
        let machine = Machine::new(2_100);
        machine.warm_up();
        machine.take(Step::Jump(2_100_000 * 3_000)); // a sleep of three seconds that only the counter saw
        let (_, told, after) = machine.read();
        assert!(machine.line.refused.load(Ordering::Relaxed));
        assert!(told <= after + LATE * WINDOW, "{told} {after}");
        machine.pass(LATE * WINDOW);
        let (before, told, after) = machine.read();
        assert!((before..=after).contains(&told), "the standard clock has caught up");
    }

    #[test]
    fn an_interrupted_look_is_taken_again() {
        let machine = Machine::new(2_100);
        machine.warm_up();
        machine.pass(WINDOW * 2);
        // The reading of the counter that finds the window over, that after the lock, the two of the look.
        for nanos in [0, 0, 0, 3_000_000] {
            machine.take(Step::Meanwhile(nanos));
        }
        machine.read();
        let (before, told, _) = machine.read();
        assert!(told + 2_000 >= before, "behind by {} ns", before - told);
    }

    #[test]
    fn rates_that_no_counter_has_are_refused() {
        assert_eq!(rate(10_000_000, 0), None);
        assert_eq!(rate(10_000_000, 1), None);
        assert_eq!(rate(10_000_000, u64::MAX), None);
        let usual = rate(10_000_000, 21_000_000).expect("2.1 GHz");
        assert_eq!(at(0, usual, 21_000_000), 10_000_000 - 10_000_000 / SLOWER - 1);
    }
}
