//! How long a list holds, and who may share it.

use std::time::Duration;

use toolweir_core::{Instant, Reply, Scope};

/// What its server says of a list. One that says nothing has a list that holds for no time, for one client alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    until: Option<Instant>,
    scope: Scope,
}

impl Holds {
    /// What came with a page at `now`.
    pub(crate) fn of(page: &Reply, now: Instant) -> Self {
        let ttl = page.ttl.filter(|ttl| !ttl.is_zero());
        Self { until: ttl.map(|ttl| now + ttl), scope: page.scope }
    }

    /// What holds for both: for the shorter time, and private where one is.
    pub(crate) fn and(self, other: Self) -> Self {
        let until = self.until.zip(other.until).map(|(one, other)| one.min(other));
        let is_public = [self.scope, other.scope] == [Scope::Public; 2];
        Self { until, scope: if is_public { Scope::Public } else { Scope::Private } }
    }

    /// Until when, where that was said.
    pub(crate) fn until(self) -> Option<Instant> {
        self.until
    }

    /// For how long from `now`.
    pub(crate) fn ttl(self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until - now)
    }

    pub(crate) fn scope(self) -> Scope {
        self.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_time_and_the_narrower_scope_hold() {
        use Scope::{Private, Public};
        let now = Instant::from_nanos(1_000_000_000);
        let seconds = Duration::from_secs;
        let holds = |(ttl, scope): (Option<u64>, Scope)| {
            let mut page = Reply::new(toolweir_core::RawJson::EMPTY_OBJECT);
            (page.ttl, page.scope) = (ttl.map(seconds), scope);
            Holds::of(&page, now)
        };
        for (one, other, ttl, scope) in [
            ((Some(5), Public), (Some(9), Public), 5, Public),
            ((Some(9), Public), (Some(5), Private), 5, Private),
            ((Some(9), Public), (Some(0), Public), 0, Public),
            ((Some(9), Public), (None, Private), 0, Private),
        ] {
            for both in [holds(one).and(holds(other)), holds(other).and(holds(one))] {
                assert_eq!((both.ttl(now), both.scope()), (seconds(ttl), scope));
                let later = both.ttl(now + seconds(3));
                assert_eq!(later, seconds(ttl.saturating_sub(3)), "it is used up");
            }
        }
    }
}
