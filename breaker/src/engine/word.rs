//! State, generation and counter in one word, so that one load decides on a call.

use crate::{Mode, State};

/// What a generation does with calls. Those up to `Disabled` let everything pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Phase {
    Closed = 0,
    ForcedClosed = 1,
    Disabled = 2,
    Open = 3,
    HalfOpen = 4,
    ForcedOpen = 5,
}

impl Phase {
    pub(crate) fn state(self) -> State {
        match self {
            Self::Closed | Self::ForcedClosed | Self::Disabled => State::Closed,
            Self::Open | Self::ForcedOpen => State::Open,
            Self::HalfOpen => State::HalfOpen,
        }
    }

    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Closed | Self::Open | Self::HalfOpen => Mode::Automatic,
            Self::ForcedClosed => Mode::ForcedClosed,
            Self::Disabled => Mode::Disabled,
            Self::ForcedOpen => Mode::ForcedOpen,
        }
    }
}

/// The word: generation (32 bits), phase (3), count (29).
///
/// The count is the failures in a row while closed, and the probes under way or succeeded while half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

const COUNT_BITS: u32 = 29;
const PHASE_MASK: u64 = 0b111 << COUNT_BITS;

/// Largest count that fits.
pub(crate) const MAX_COUNT: u32 = (1 << COUNT_BITS) - 1;

impl Word {
    #[inline]
    pub(crate) const fn new(generation: u32, phase: Phase, count: u32) -> Self {
        Self(((generation as u64) << 32) | ((phase as u64) << COUNT_BITS) | count as u64)
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) const fn phase(self) -> Phase {
        match (self.0 & PHASE_MASK) >> COUNT_BITS {
            0 => Phase::Closed,
            1 => Phase::ForcedClosed,
            2 => Phase::Disabled,
            3 => Phase::Open,
            4 => Phase::HalfOpen,
            _ => Phase::ForcedOpen,
        }
    }

    /// Whether every call passes.
    #[inline]
    pub(crate) const fn passes_all(self) -> bool {
        self.0 & PHASE_MASK <= (Phase::Disabled as u64) << COUNT_BITS
    }

    /// Whether results are counted towards a trip (closed, forced or not).
    #[inline]
    pub(crate) const fn counts(self) -> bool {
        self.0 & PHASE_MASK <= (Phase::ForcedClosed as u64) << COUNT_BITS
    }

    #[inline]
    pub(crate) const fn count(self) -> u32 {
        (self.0 & MAX_COUNT as u64) as u32
    }

    #[inline]
    pub(crate) const fn with_count(self, count: u32) -> Self {
        Self(self.0 & !(MAX_COUNT as u64) | count as u64)
    }
}
