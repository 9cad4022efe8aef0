//! Numbers from a seed, the same on every machine.

/// Names the seed of a simulation.
const SEED: &str = "TOOLWEIR_SEED";

/// Throws from a seed; where its test fails, it tells the seed that repeats it.
pub(crate) struct Dice {
    seed: u64,
    state: u64,
    is_told: bool,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, state: seed, is_told: false }
    }

    /// Those of a simulation: `TOOLWEIR_SEED`, or else `seed`.
    pub(crate) fn of_environment(seed: u64) -> Self {
        let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
        Self { is_told: true, ..Self::new(given.unwrap_or(seed)) }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Others that follow from these and from `name`, whatever is thrown elsewhere.
    pub(crate) fn other(&self, name: u64) -> Self {
        let mut other =
            Self::new(self.seed ^ name.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        other.below(2);
        other
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.state >> 33) % bound as u64).unwrap_or_default()
    }

    /// Whether one of `of` cases comes up.
    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if self.is_told && std::thread::panicking() {
            eprintln!("to repeat it: {SEED}={}", self.seed);
        }
    }
}
