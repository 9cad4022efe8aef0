//! How long a breaker stays open: capped exponential back-off, shortened by jitter.

/// The random part, and how often in a row probes have failed.
#[derive(Debug)]
pub(crate) struct Cooldown {
    random: u64,
    step: i32,
}

impl Cooldown {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, step: 0 }
    }

    /// The next wait in nanoseconds: never above `cap`, never zero.
    pub(crate) fn next(&mut self, base: u64, backoff: f64, cap: u64, jitter: f64) -> u64 {
        let wait = self.wait(base, backoff, cap, jitter);
        self.step = self.step.saturating_add(1);
        wait
    }

    /// The same wait again, as for a probe that says nothing of the server's health.
    pub(crate) fn again(&mut self, base: u64, backoff: f64, cap: u64, jitter: f64) -> u64 {
        self.step = self.step.saturating_sub(1).max(0);
        self.next(base, backoff, cap, jitter)
    }

    /// Starts again from the base: the breaker has closed.
    pub(crate) fn reset(&mut self) {
        self.step = 0;
    }

    fn wait(&mut self, base: u64, backoff: f64, cap: u64, jitter: f64) -> u64 {
        let grown = ((base as f64 * backoff.powi(self.step)) as u64).min(cap);
        if jitter == 0.0 {
            return grown;
        }
        let share = jitter * self.unit();
        ((grown as f64 * (1.0 - share)) as u64).clamp(1, cap)
    }

    /// The next number from 0 up to 1 (splitmix64).
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_starts_again() {
        let mut cooldown = Cooldown::new(1);
        let waits: Vec<u64> = (0..5).map(|_| cooldown.next(10, 2.0, 75, 0.0)).collect();
        assert_eq!(waits, [10, 20, 40, 75, 75]);
        assert_eq!(cooldown.again(10, 2.0, 75, 0.0), 75);
        cooldown.reset();
        assert_eq!(cooldown.next(10, 2.0, 75, 0.0), 10);
        assert_eq!(cooldown.again(10, 2.0, 75, 0.0), 10);
        assert_eq!(cooldown.next(10, 2.0, 75, 0.0), 20);
    }

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut cooldown = Cooldown::new(0);
        // The first of the published generator, seeded with zero.
        for number in [0xE220_A839_7B1D_CDAF_u64, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F] {
            assert_eq!(cooldown.unit(), (number >> 11) as f64 / (1_u64 << 53) as f64);
        }
    }

    #[test]
    fn survives_any_number_of_steps() {
        let mut cooldown = Cooldown::new(1);
        cooldown.step = i32::MAX;
        assert_eq!(cooldown.next(u64::MAX / 4, 1000.0, u64::MAX / 2, 0.0), u64::MAX / 2);
        assert_eq!(cooldown.next(1_000, 1.0, 1_000, 0.0), 1_000);
    }

    #[test]
    fn jitter_shortens_within_its_share_and_repeats_with_the_seed() {
        let mut one = Cooldown::new(7);
        let mut two = Cooldown::new(7);
        let waits: Vec<u64> = (0..1000).map(|_| one.next(1_000, 1.0, 1_000, 0.3)).collect();
        let again: Vec<u64> = (0..1000).map(|_| two.next(1_000, 1.0, 1_000, 0.3)).collect();
        assert_eq!(waits, again);
        assert!(waits.iter().all(|wait| (700..=1_000).contains(wait)));
        let mean = waits.iter().sum::<u64>() / 1000;
        assert!((830..870).contains(&mean), "spread over the whole share, mean {mean}");
        assert!((0..100).all(|_| one.next(1, 1.0, 1, 1.0) == 1), "never zero");
    }
}
