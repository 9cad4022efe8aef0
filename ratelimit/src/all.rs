//! Several limits at once, all or nothing.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;

use toolweir_core::Instant;

use crate::{Bucket, Limiter, Refusal};

/// One limit among several: a [`Bucket`], or one key of a [`Limiter`] ([`Limiter::of`]).
pub trait Limit: Debug + sealed::Limit {}

pub(crate) mod sealed {
    use toolweir_core::Instant;

    use crate::Refusal;

    /// What was taken: the bucket's full times before and after.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Taken(pub(crate) u64, pub(crate) u64);

    pub trait Limit {
        /// Whether a call of `cost` could go, counting nothing.
        fn peek(&self, cost: u32, now: Instant) -> Result<(), Refusal>;
        /// Counts a call of `cost`.
        fn take(&self, cost: u32, now: Instant) -> Result<Taken, Refusal>;
        /// Undoes a take that nothing has come after; where something has, the take stays, because others
        /// may have been admitted on the strength of it.
        fn undo(&self, taken: Taken);
        /// Tells of a refusal.
        fn refused(&self, refusal: Refusal);
    }
}

/// How many limits one call may be under.
pub const LIMITS_MAX: usize = 8;

/// Whether a call may go under all of `limits` at `now`, each with what the call costs there. It is counted
/// under all of them or under none.
///
/// Looks at all before it takes from any, so a refusal leaves no trace. Only where another thread takes the
/// last of one limit between the two steps may a limit before it keep what was taken; none ever gives too much.
///
/// ```
/// use toolweir_core::Instant;
/// use toolweir_ratelimit::{Bucket, Config, Limiter, check_all_at};
///
/// let clients = Limiter::<String>::new(&Config::default())?;
/// let server = Bucket::new(&Config::default().requests_per_second(1.0))?;
/// let now = Instant::default();
///
/// check_all_at(&[(&clients.of("alice"), 1), (&server, 1)], now).expect("both are full");
/// let refusal = check_all_at(&[(&clients.of("bob"), 1), (&server, 1)], now).unwrap_err();
/// assert_eq!(refusal.limit, 1);
/// # Ok::<(), toolweir_ratelimit::InvalidConfig>(())
/// ```
///
/// # Errors
/// The refusal that lasts longest, and which limit gave it.
///
/// # Panics
/// Where there are more limits than [`LIMITS_MAX`].
pub fn check_all_at(limits: &[(&dyn Limit, u32)], now: Instant) -> Result<(), Refused> {
    charge_all_at(limits, now).map(drop)
}

/// [`check_all_at`] for a call that may come to nothing: what it took can be given back.
///
/// ```
/// use toolweir_core::Instant;
/// use toolweir_ratelimit::{Bucket, Config, Limit, Limiter, charge_all_at};
///
/// let users = Limiter::<String>::new(&Config::default().requests_per_second(1.0).burst(1))?;
/// let (alice, now) = (users.of("alice"), Instant::default());
/// let limits: [(&dyn Limit, u32); 1] = [(&alice, 1)];
///
/// let charge = charge_all_at(&limits, now).expect("it is full");
/// assert!(charge_all_at(&limits, now).is_err());
/// charge.give_back(&limits); // the call could not be made
/// assert!(charge_all_at(&limits, now).is_ok());
/// # Ok::<(), toolweir_ratelimit::InvalidConfig>(())
/// ```
///
/// # Errors
/// As [`check_all_at`].
///
/// # Panics
/// As [`check_all_at`].
pub fn charge_all_at(limits: &[(&dyn Limit, u32)], now: Instant) -> Result<Charge, Refused> {
    assert!(limits.len() <= LIMITS_MAX, "at most {LIMITS_MAX} limits");
    let refused = |limit| move |refusal| Refused { limit, refusal };
    let longest = limits
        .iter()
        .enumerate()
        .filter_map(|(place, (limit, cost))| {
            limit.peek((*cost).max(1), now).map_err(refused(place)).err()
        })
        // `TooCostly` has no time, and is the longest of all; of equals, the first.
        .min_by_key(|refused| std::cmp::Reverse(refused.refusal.lasts()));
    if let Some(refused) = longest {
        limits[refused.limit].0.refused(refused.refusal);
        return Err(refused);
    }
    let mut taken = [sealed::Taken::default(); LIMITS_MAX];
    for (place, (limit, cost)) in limits.iter().enumerate() {
        match limit.take((*cost).max(1), now) {
            Ok(this) => taken[place] = this,
            Err(refusal) => {
                for ((limit, _), taken) in limits[..place].iter().zip(taken).rev() {
                    limit.undo(taken);
                }
                limit.refused(refusal);
                return Err(Refused { limit: place, refusal });
            }
        }
    }
    Ok(Charge(taken))
}

/// What one call took of several limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge([sealed::Taken; LIMITS_MAX]);

impl Charge {
    /// Gives it back to the limits that it was taken of, given in the same order. Where another call has taken of one of
    /// them since, what was taken there stays, because that one may have been admitted on the strength of it.
    pub fn give_back(self, limits: &[(&dyn Limit, u32)]) {
        for ((limit, _), taken) in limits.iter().zip(self.0).rev() {
            limit.undo(taken);
        }
    }
}

/// Which of several limits refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {limit}: {refusal}")]
pub struct Refused {
    /// The place of the limit among those given.
    pub limit: usize,
    /// Why it refused.
    pub refusal: Refusal,
}

/// One key of a limiter, as one limit among several.
#[derive(Debug)]
pub struct Keyed<'a, K, Q: ?Sized> {
    limiter: &'a Limiter<K>,
    key: &'a Q,
}

impl<K: Hash + Eq> Limiter<K> {
    /// The limit of `key`, to check together with others ([`check_all_at`]).
    pub fn of<'a, Q: ?Sized>(&'a self, key: &'a Q) -> Keyed<'a, K, Q> {
        Keyed { limiter: self, key }
    }
}

impl Limit for Bucket {}

impl sealed::Limit for Bucket {
    fn peek(&self, cost: u32, now: Instant) -> Result<(), Refusal> {
        self.peek(cost, now)
    }

    fn take(&self, cost: u32, now: Instant) -> Result<sealed::Taken, Refusal> {
        let (before, after) = self.take(cost, now)?;
        Ok(sealed::Taken(before, after))
    }

    fn undo(&self, taken: sealed::Taken) {
        self.undo((taken.0, taken.1));
    }

    fn refused(&self, refusal: Refusal) {
        self.refused(refusal);
    }
}

impl<K, Q> Limit for Keyed<'_, K, Q>
where
    K: Hash + Eq + Borrow<Q> + Debug,
    Q: Hash + Eq + ToOwned<Owned = K> + Debug + ?Sized,
{
}

impl<K, Q> sealed::Limit for Keyed<'_, K, Q>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    fn peek(&self, cost: u32, now: Instant) -> Result<(), Refusal> {
        self.limiter.peek(self.key, cost, now)
    }

    fn take(&self, cost: u32, now: Instant) -> Result<sealed::Taken, Refusal> {
        let (before, after) = self.limiter.take(self.key, cost, now)?;
        Ok(sealed::Taken(before, after))
    }

    fn undo(&self, taken: sealed::Taken) {
        self.limiter.undo(self.key, (taken.0, taken.1));
    }

    fn refused(&self, refusal: Refusal) {
        self.limiter.refused(self.key, refusal);
    }
}
