//! Those who wait for a turn at one bucket, in the order in which they came.

use std::collections::VecDeque;
use std::task::Waker;

use toolweir_core::Instant;

use crate::rate::Rate;

/// Callers who hold a turn that has not come.
///
/// A turn is paid for on arrival, so each knows its time and sleeps once. When one leaves, all behind it move
/// up. Their times change at once, but only the next is woken to learn of it; it wakes its follower when it
/// goes. So a departure costs one further wake-up a caller at most, however many leave.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: VecDeque<Waiting>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    cost: u32,
    due: Instant,
    deadline: Instant,
    /// Who sleeps, and until when it believes that it must.
    sleeper: Option<(Waker, Instant)>,
}

/// What a waiting caller is told when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Its turn has come; it has left the line.
    Go,
    /// Its turn comes at this time.
    Wait(Instant),
    /// Its turn was put off until after its deadline.
    TooLate(Instant),
}

/// What a pause does to the bucket's full time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Turns were put off by so many nanoseconds, and the full time with them.
    PutOff(u64),
    /// Nobody waits: the full time is at least this.
    AtLeast(u64),
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a caller behind the others, and returns its number.
    pub(crate) fn join(&mut self, cost: u32, due: Instant, deadline: Instant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Waiting { id, cost, due, deadline, sleeper: None });
        id
    }

    /// Numbers grow along the line.
    fn place(&self, id: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&id, |caller| caller.id).ok()
    }

    /// When the caller's turn comes; `None` where it is not in the line.
    pub(crate) fn due(&self, id: u64) -> Option<Instant> {
        self.place(id).map(|place| self.waiting[place].due)
    }

    /// Tells the caller whether to go, and remembers how to wake it where it has to wait.
    pub(crate) fn look(&mut self, id: u64, now: Instant, waker: Option<&Waker>) -> Look {
        let Some(place) = self.place(id) else { return Look::Go };
        let caller = &mut self.waiting[place];
        if caller.due <= now {
            return Look::Go;
        }
        if caller.due > caller.deadline {
            return Look::TooLate(caller.due);
        }
        if let Some(waker) = waker {
            caller.sleeper = Some((waker.clone(), caller.due));
        }
        Look::Wait(caller.due)
    }

    /// Takes out a caller that goes. Returns the next, where it would oversleep.
    pub(crate) fn go(&mut self, id: u64) -> Option<Waker> {
        let place = self.place(id)?;
        self.waiting.remove(place);
        self.next_to_wake(place)
    }

    /// Takes out a caller that will not go. Returns how many nanoseconds the full time moves back, and the
    /// next in line, where it would oversleep.
    ///
    /// Turns behind move up by what the caller had paid, but never to before `now`: a turn in the past is a
    /// call too many in the present. A turn that has come is spent, used or not, since others may have gone
    /// after it.
    pub(crate) fn leave(&mut self, id: u64, now: Instant, rate: &Rate) -> (u64, Option<Waker>) {
        let Some(place) = self.place(id) else { return (0, None) };
        let Some(left) = self.waiting.remove(place) else { return (0, None) };
        if left.due <= now {
            return (0, self.next_to_wake(place));
        }
        let paid = rate.worth(left.cost);
        let back = match self.waiting.get(place) {
            Some(next) => paid.min(next.due.as_nanos() - now.as_nanos().min(next.due.as_nanos())),
            None => paid,
        };
        for caller in self.waiting.range_mut(place..) {
            caller.due = Instant::from_nanos(caller.due.as_nanos() - back);
        }
        (back, self.next_to_wake(place))
    }

    /// Puts off every turn that has not come, so that none comes before `until`. Returns whom to wake because
    /// its deadline now comes first.
    pub(crate) fn pause(
        &mut self,
        until: Instant,
        now: Instant,
        rate: &Rate,
    ) -> (Pause, Vec<Waker>) {
        let place = self.waiting.partition_point(|caller| caller.due <= now);
        let Some(first) = self.waiting.get(place) else {
            return (Pause::AtLeast(rate.paused_until(until)), Vec::new());
        };
        // The full time that the first of them found.
        let found = first.due.as_nanos() + rate.tolerance() - rate.worth(first.cost - 1);
        let put_off = rate.paused_until(until).saturating_sub(found);
        let mut too_late = Vec::new();
        for caller in self.waiting.range_mut(place..) {
            caller.due = Instant::from_nanos(caller.due.as_nanos().saturating_add(put_off));
            if caller.due > caller.deadline {
                too_late.extend(caller.sleeper.take().map(|(waker, _)| waker));
            }
        }
        (Pause::PutOff(put_off), too_late)
    }

    /// The first sleeper from `place` on, where it would oversleep.
    fn next_to_wake(&mut self, place: usize) -> Option<Waker> {
        let caller = self.waiting.range_mut(place..).find(|caller| caller.sleeper.is_some())?;
        let (_, until) = caller.sleeper.as_ref()?;
        let oversleeps = *until > caller.due;
        caller.sleeper.take_if(|_| oversleeps).map(|(waker, _)| waker)
    }
}
