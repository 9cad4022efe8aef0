//! Which instance is whose, which one a call gets, and which one ends.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Client, Instant, Principal};

/// For whom an instance is.
#[derive(Clone, Debug)]
pub(super) enum Whom {
    /// A client that is remembered between its calls: a legacy session, or a legacy client over stdio.
    Client(Arc<Client>),
    /// All clients of 2026-07-28, whose requests stand alone, of one principal.
    Principal(Principal),
}

impl PartialEq for Whom {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Client(one), Self::Client(other)) => Arc::ptr_eq(one, other),
            (Self::Principal(one), Self::Principal(other)) => one == other,
            _ => false,
        }
    }
}

/// What stands at a place.
pub(super) trait Stands: Clone {
    /// Whether it is of use without a call: its client waits for what it says.
    fn is_awaited(&self) -> bool;
}

/// The instances of one server.
#[derive(Debug)]
pub(super) struct Table<I> {
    places: Vec<Place<I>>,
    next: u64,
    closed: bool,
}

#[derive(Debug)]
struct Place<I> {
    number: u64,
    whom: Whom,
    instance: I,
    calls: usize,
    last_used: Instant,
}

impl<I: Stands> Place<I> {
    fn is_idle(&self) -> bool {
        self.calls == 0 && !self.instance.is_awaited()
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many as may be are there, and none is idle.
    Full,
    /// The server is closed.
    Closed,
}

/// A place that a call holds.
#[derive(Debug)]
pub(super) struct Taken<I> {
    pub(super) number: u64,
    pub(super) instance: I,
    pub(super) is_new: bool,
    /// What had to make room.
    pub(super) evicted: Option<I>,
}

impl<I: Stands> Table<I> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), next: 0, closed: false }
    }

    /// Takes an instance of `whom` for a call: the one used last, of those free of calls where the call wants to be
    /// `alone`; one that is awaited before others. Where there is none, `make` makes one, and of `cap` the idle one that
    /// was not used for longest makes room. Without `make`, none is made.
    pub(super) fn take(
        &mut self,
        whom: &Whom,
        alone: bool,
        cap: usize,
        now: Instant,
        make: Option<impl FnOnce() -> I>,
    ) -> Result<Taken<I>, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let fits = |place: &&mut Place<I>| place.whom == *whom && (!alone || place.calls == 0);
        let own = self.places.iter_mut().filter(fits);
        if let Some(place) = own.max_by_key(|place| (place.instance.is_awaited(), place.last_used))
        {
            place.calls += 1;
            place.last_used = now;
            let (number, instance) = (place.number, place.instance.clone());
            return Ok(Taken { number, instance, is_new: false, evicted: None });
        }
        let make = make.ok_or(Refused::Full)?;
        let mut evicted = None;
        if self.places.len() >= cap {
            let idle = self.places.iter().enumerate().filter(|(_, place)| place.is_idle());
            let longest = idle.min_by_key(|(_, place)| place.last_used);
            let (at, _) = longest.ok_or(Refused::Full)?;
            evicted = Some(self.places.remove(at).instance);
        }
        self.next += 1;
        let (number, instance) = (self.next, make());
        let place = Place {
            number,
            whom: whom.clone(),
            instance: instance.clone(),
            calls: 1,
            last_used: now,
        };
        self.places.push(place);
        Ok(Taken { number, instance, is_new: true, evicted })
    }

    /// A call has ended.
    pub(super) fn give_back(&mut self, number: u64, now: Instant) {
        if let Some(place) = self.places.iter_mut().find(|place| place.number == number) {
            place.calls = place.calls.saturating_sub(1);
            place.last_used = now;
        }
    }

    /// The instances of `whom`.
    pub(super) fn of<'a>(&'a self, whom: &'a Whom) -> impl Iterator<Item = &'a I> {
        self.places.iter().filter(|place| place.whom == *whom).map(|place| &place.instance)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &I> {
        self.places.iter().map(|place| &place.instance)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Takes out what has been idle for `limit`.
    pub(super) fn expire(&mut self, limit: Duration, now: Instant) -> Vec<I> {
        let is_over = |place: &mut Place<I>| place.is_idle() && now - place.last_used >= limit;
        self.places.extract_if(.., is_over).map(|place| place.instance).collect()
    }

    /// When to look again for what has been idle for `limit`; `None` where nothing is there.
    pub(super) fn next_expiry(&self, limit: Duration, now: Instant) -> Option<Instant> {
        let idle = self.places.iter().filter(|place| place.is_idle());
        let first = idle.map(|place| place.last_used + limit).min();
        (!self.places.is_empty()).then(|| first.unwrap_or(now + limit))
    }

    /// Takes out all of a client that has gone, whatever they do.
    pub(super) fn forget(&mut self, client: &Arc<Client>) -> Vec<I> {
        let whom = Whom::Client(client.clone());
        let gone = self.places.extract_if(.., |place| place.whom == whom);
        gone.map(|place| place.instance).collect()
    }

    /// Takes out all, for good.
    pub(super) fn close(&mut self) -> Vec<I> {
        self.closed = true;
        self.places.drain(..).map(|place| place.instance).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Named(&'static str, bool);

    impl Stands for Named {
        fn is_awaited(&self) -> bool {
            self.1
        }
    }

    fn client(name: &'static str) -> Whom {
        Whom::Client(Arc::new(Client::new(Principal::new(name))))
    }

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    struct Tried {
        table: Table<Named>,
        cap: usize,
    }

    impl Tried {
        fn take(
            &mut self,
            whom: &Whom,
            alone: bool,
            second: u64,
            name: &'static str,
        ) -> Taken<Named> {
            self.table.take(whom, alone, self.cap, at(second), Some(|| Named(name, false))).unwrap()
        }
    }

    fn with(cap: usize) -> Tried {
        Tried { table: Table::new(), cap }
    }

    #[test]
    fn each_client_has_one_and_keeps_it() {
        let (mut tried, one, other) = (with(4), client("p"), client("p"));
        assert!(tried.take(&one, false, 1, "a").is_new);
        assert_eq!(tried.take(&one, false, 2, "b").instance.0, "a");
        assert_eq!(tried.take(&other, false, 3, "c").instance.0, "c", "of the same principal");
    }

    #[test]
    fn a_call_that_wants_to_be_alone_is() {
        let (mut tried, whom) = (with(4), Whom::Principal(Principal::local()));
        let first = tried.take(&whom, true, 1, "a");
        let second = tried.take(&whom, true, 2, "b");
        assert_eq!((first.instance.0, second.instance.0), ("a", "b"));
        tried.table.give_back(first.number, at(3));
        tried.table.give_back(second.number, at(4));
        assert_eq!(tried.take(&whom, true, 5, "c").instance.0, "b", "the one used last");
    }

    #[test]
    fn the_idle_one_that_was_not_used_for_longest_makes_room_and_none_at_work() {
        let (mut tried, whoms) = (with(2), [client("a"), client("b"), client("c"), client("d")]);
        let first = tried.take(&whoms[0], false, 1, "a");
        let second = tried.take(&whoms[1], false, 2, "b");
        let refused = tried.table.take(&whoms[2], false, 2, at(3), Some(|| Named("c", false)));
        assert_eq!(refused.unwrap_err(), Refused::Full);
        tried.table.give_back(second.number, at(4));
        tried.table.give_back(first.number, at(5));
        let third = tried.take(&whoms[2], false, 6, "c");
        assert_eq!(third.evicted.unwrap().0, "b");
        assert_eq!(tried.take(&whoms[3], false, 7, "d").evicted.unwrap().0, "a");
    }

    #[test]
    fn what_is_idle_long_enough_ends_unless_it_is_awaited() {
        let (mut tried, limit) = (with(4), Duration::from_secs(10));
        let [idle, busy, awaited] = [client("a"), client("b"), client("c")];
        let taken = tried.take(&idle, false, 1, "idle");
        tried.table.give_back(taken.number, at(1));
        tried.take(&busy, false, 1, "busy");
        let waits =
            tried.table.take(&awaited, false, 4, at(1), Some(|| Named("awaited", true))).unwrap();
        tried.table.give_back(waits.number, at(1));
        assert_eq!(tried.table.next_expiry(limit, at(2)), Some(at(11)));
        assert!(tried.table.expire(limit, at(10)).is_empty());
        assert_eq!(tried.table.expire(limit, at(11)), [Named("idle", false)]);
        assert_eq!(tried.table.next_expiry(limit, at(11)), Some(at(21)), "looks again");
        let Whom::Client(client) = &busy else { unreachable!() };
        assert_eq!(tried.table.forget(client).len(), 1, "its client has gone");
        assert_eq!(tried.table.close().len(), 1);
        assert_eq!(tried.table.next_expiry(limit, at(12)), None);
        let closed = tried.table.take(&idle, false, 4, at(13), Some(|| Named("late", false)));
        assert_eq!(closed.unwrap_err(), Refused::Closed);
    }
}
