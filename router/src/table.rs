//! All servers as one immutable snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use toolweir_core::ServerId;

use crate::Registration;
use crate::bits::Bits;
use crate::cell::Held;
use crate::hash::{self, Folding};
use crate::logarithm::OCTAVE;
use crate::rank::{self, Key};

/// The servers at one moment. A change builds the next one; who ranks keeps the one it began with.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By id, ascending.
    slots: Box<[Slot]>,
    /// What each of them can do, in the same order.
    capabilities: Box<[Bits]>,
    positions: HashMap<ServerId, u32, Folding>,
    /// By the number of the capability's bit.
    having: Vec<Having>,
    /// Bits by name.
    bits: HashMap<Arc<str>, usize, Folding>,
    /// Whether priorities or zones differ, so that a random choice would be among the wrong ones.
    pub(crate) is_mixed: bool,
    /// Whether any server is of another zone.
    pub(crate) is_zoned: bool,
    /// Of all tables of one router, no two have the same.
    pub(crate) version: u64,
}

/// One server in a [`Table`]: what every ranking looks at, half a cache line.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub(crate) struct Slot {
    pub(crate) id: ServerId,
    /// Its key while it is healthy, as far as it stays the same: a cost is to be added.
    pub(crate) weighted: Key,
    /// Survives changes of the table.
    pub(crate) cell: Held,
    named: Arc<Named>,
}

/// The rest of a server, which few rankings look at.
#[derive(Debug)]
struct Named {
    registration: Registration,
    /// The key without weight and cost, while it is healthy.
    base: Key,
    /// Of the name, for sticky keys.
    hash: u64,
}

/// The servers that have one capability.
#[derive(Debug)]
struct Having {
    capability: Arc<str>,
    at: Vec<u32>,
}

/// So few names are found sooner by looking at each than by a hash.
const FEW: usize = 8;

impl Slot {
    /// `far` where its zone is another.
    pub(crate) fn new(id: ServerId, registration: Registration, far: bool, cell: Held) -> Self {
        let scale = -(f64::from(registration.weight).log2() * f64::from(OCTAVE)).round() as i32;
        let hash = hash::text(&registration.name);
        let base = rank::base(registration.priority, far);
        let weighted = rank::weighted(base, scale);
        Self { id, weighted, cell, named: Arc::new(Named { registration, base, hash }) }
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.named.registration
    }

    /// Its key without weight and cost, while it is healthy.
    pub(crate) fn base(&self) -> Key {
        self.named.base
    }

    /// Hash of the name, for sticky keys.
    pub(crate) fn hash(&self) -> u64 {
        self.named.hash
    }
}

impl Table {
    /// A table of `slots`, which stand by ascending id.
    pub(crate) fn new(slots: Vec<Slot>, version: u64) -> Self {
        let mut positions = HashMap::with_capacity_and_hasher(slots.len(), Folding::default());
        let mut having: Vec<Having> = Vec::new();
        let mut bits: HashMap<Arc<str>, usize, Folding> = HashMap::default();
        let mut capabilities = vec![Bits::default(); slots.len()];
        for ((at, slot), able) in slots.iter().enumerate().zip(&mut capabilities) {
            let at = at as u32; // ids are 32 bits and stand once each
            positions.insert(slot.id, at);
            for capability in &slot.registration().capabilities {
                let bit = *bits.entry(capability.clone()).or_insert(having.len());
                if bit == having.len() {
                    having.push(Having { capability: capability.clone(), at: Vec::new() });
                }
                having[bit].at.push(at);
                able.insert(bit);
            }
        }
        let is_mixed = slots.windows(2).any(|pair| pair[0].base() != pair[1].base());
        let is_zoned = slots.iter().any(rank::is_far);
        let (slots, capabilities) = (slots.into(), capabilities.into());
        Self { slots, capabilities, positions, having, bits, is_mixed, is_zoned, version }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slot(&self, id: ServerId) -> Option<&Slot> {
        self.positions.get(&id).and_then(|at| self.slots.get(*at as usize))
    }

    /// Every capability that some server has, in no order.
    pub(crate) fn capabilities(&self) -> impl Iterator<Item = &Arc<str>> {
        self.having.iter().map(|having| &having.capability)
    }

    pub(crate) fn knows(&self, capability: &str) -> bool {
        self.bit(capability).is_some()
    }

    /// The number of a capability's bit.
    #[inline]
    fn bit(&self, capability: &str) -> Option<usize> {
        if self.having.len() <= FEW {
            self.having.iter().position(|having| *having.capability == *capability)
        } else {
            self.bits.get(capability).copied()
        }
    }

    /// What these names mean in this table.
    pub(crate) fn resolve<C: AsRef<str>>(&self, required: &[C]) -> Wanted {
        let mut wanted = Bits::default();
        let mut rarest: Option<usize> = None;
        let servers = |bit: usize| self.having[bit].at.len();
        for capability in required {
            let Some(bit) = self.bit(capability.as_ref()) else {
                return Wanted::Nobody;
            };
            wanted.insert(bit);
            if rarest.is_none_or(|rarest| servers(bit) < servers(rarest)) {
                rarest = Some(bit);
            }
        }
        match (rarest, required) {
            (None, _) => Wanted::All,
            // Where all have it, their positions say nothing.
            (Some(bit), [_]) if servers(bit) == self.slots.len() => Wanted::All,
            (Some(bit), [_]) => Wanted::One(bit),
            (Some(bit), _) => Wanted::Several(bit, wanted),
        }
    }

    /// The servers that have what is wanted; `wanted` was resolved in this table.
    #[inline]
    pub(crate) fn having<'a>(&'a self, wanted: &'a Wanted) -> Candidates<'a> {
        match wanted {
            Wanted::All => Candidates::All,
            Wanted::One(bit) => Candidates::At(&self.having[*bit].at),
            Wanted::Several(rarest, bits) => Candidates::Filtered(&self.having[*rarest].at, bits),
            Wanted::Nobody => Candidates::At(&[]),
        }
    }
}

/// Capabilities as one table numbers them.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// None, or one that every server has.
    All,
    /// One.
    One(usize),
    /// All of these; the first number is that of which the fewest servers have.
    Several(usize, Bits),
    /// One that no server has.
    Nobody,
}

/// The servers that one ranking is among. Some of the places may be empty.
#[derive(Debug)]
pub(crate) enum Candidates<'a> {
    /// Every server.
    All,
    /// The servers at these positions.
    At(&'a [u32]),
    /// Those of the positions that have all these capabilities.
    Filtered(&'a [u32], &'a Bits),
    /// The servers of these ids, as far as they are still registered.
    Ids(&'a [ServerId]),
}

impl Candidates<'_> {
    /// How many places there are, and the server at each; handed to `look`, which is thus compiled for each kind
    /// of candidates on its own.
    pub(crate) fn visit<'t, L: Look<'t>>(&self, table: &'t Table, look: L) -> L::Found {
        let slot = |at: &u32| table.slots.get(*at as usize);
        match self {
            Self::All => look.at(table.slots.len(), false, |place| table.slots.get(place)),
            Self::At(at) => look.at(at.len(), false, |place| at.get(place).and_then(slot)),
            Self::Filtered(at, wanted) => look.at(at.len(), true, |place| {
                let at = at.get(place)?;
                let has = table.capabilities.get(*at as usize)?.contains(wanted);
                slot(at).filter(|_| has)
            }),
            Self::Ids(ids) => {
                look.at(ids.len(), false, |place| ids.get(place).and_then(|id| table.slot(*id)))
            }
        }
    }
}

/// Looks at candidates.
pub(crate) trait Look<'t> {
    /// What is found.
    type Found;

    /// Looks at `places`, each of which `get` fills or leaves empty; many are empty where they are `sparse`, so that a
    /// random choice would mostly miss.
    fn at(
        self,
        places: usize,
        sparse: bool,
        get: impl Fn(usize) -> Option<&'t Slot>,
    ) -> Self::Found;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::cell::Cell;
    use crate::pool::Pool;

    /// What is looked at is as little as will do: a capability that all have is no condition, and of several the rarest
    /// says where to look.
    #[test]
    fn capabilities_are_resolved_to_the_fewest_places() {
        let pool = Arc::new(Pool::new(&Config::default()));
        let slot = |(id, capabilities): (u32, &[&'static str])| {
            let server = Registration::new("s").capabilities(capabilities.iter().copied());
            let cell = Held::new(Arc::new(Cell::new(pool.clone())));
            Slot::new(ServerId::new(id), server, false, cell)
        };
        let servers: [&[&str]; 3] = [&["all", "two"], &["all", "two", "one"], &["all"]];
        let table = Table::new((0..).zip(servers).map(slot).collect(), 1);
        let bit = |name: &str| table.bit(name).unwrap();
        let places = |required: &[&str]| match table.resolve(required) {
            Wanted::All => "all".to_owned(),
            Wanted::Nobody => "nobody".to_owned(),
            Wanted::One(at) => format!("one {}", at == bit(required[0])),
            Wanted::Several(at, bits) => {
                let name = ["all", "two", "one"].into_iter().find(|name| bit(name) == at).unwrap();
                let mut wanted = Bits::default();
                required.iter().for_each(|name| wanted.insert(bit(name)));
                assert_eq!(bits, wanted);
                name.to_owned()
            }
        };
        for (required, expected) in [
            (&[][..], "all"),
            (&["all"], "all"),
            (&["two"], "one true"),
            (&["none"], "nobody"),
            (&["two", "none"], "nobody"),
            (&["one", "two", "all"], "one"),
            (&["all", "two", "one"], "one"),
            (&["two", "all"], "two"),
            (&["all", "two"], "two"),
        ] {
            assert_eq!(places(required), expected, "{required:?}");
        }
    }
}
