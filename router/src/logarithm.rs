//! Logarithms of whole numbers, and back, in a few integer steps: a table and a straight line between its points.
//!
//! Each call that ends takes two of either. The library's own cost some ten nanoseconds each, these two.

/// The levels between a number and its double.
pub(crate) const OCTAVE: u32 = 1 << 20;

/// Straight lines to the octave. Between two points they are off by less than the step of a level.
const LINES_BITS: u32 = 10;
const LINES: usize = 1 << LINES_BITS;

/// The levels of 1 to 2.
static LEVELS: [u32; LINES + 1] = levels();

/// The numbers from level 0 to the first octave, times 2³¹; the last, 2³², has wrapped.
static NUMBERS: [u32; LINES + 1] = numbers();

/// One, in fixed point.
const ONE: u128 = 1 << 62;

const fn levels() -> [u32; LINES + 1] {
    let mut levels = [0; LINES + 1];
    let mut at = 0;
    while at <= LINES {
        // Squaring doubles a logarithm: each time, its next digit stands before the point.
        let (mut rest, mut level, mut digit) = (ONE + ((at as u128) << (62 - LINES_BITS)), 0, 0);
        while digit <= OCTAVE.ilog2() {
            rest = (rest * rest) >> 62;
            level <<= 1;
            if rest >= ONE << 1 {
                rest >>= 1;
                level |= 1;
            }
            digit += 1;
        }
        levels[at] = (level + 1) >> 1; // one digit more, to round by
        at += 1;
    }
    // The last is the level of 2, each digit of which is a 1: rounded, that is an octave.
    levels
}

const fn numbers() -> [u32; LINES + 1] {
    let mut numbers = [0; LINES + 1];
    let mut at = 0;
    while at <= LINES {
        // The product of the roots that the binary digits of the exponent ask for.
        let (mut number, mut root, mut digit) = (ONE, ONE << 1, LINES);
        while digit > 0 {
            if at & digit != 0 {
                number = (number * root) >> 62;
            }
            root = (root << 62).isqrt();
            digit >>= 1;
        }
        numbers[at] = ((number + (1 << 30)) >> 31) as u32;
        at += 1;
    }
    numbers
}

/// The level of a number of at least 1: its logarithm to base 2, [`OCTAVE`] steps to the whole.
#[inline]
pub(crate) fn level(number: u64) -> u32 {
    let number = number.max(1);
    let zeros = number.leading_zeros();
    let digits = number << zeros << 1; // without the first one, which says nothing
    let line = (digits >> (64 - LINES_BITS)) as usize;
    let along = (digits << LINES_BITS) >> 48;
    let (low, high) = (LEVELS[line], LEVELS[line + 1]);
    (63 - zeros) * OCTAVE + low + ((u64::from(high - low) * along) >> 16) as u32
}

/// The number at a level below 63 octaves.
#[inline]
pub(crate) fn number(level: u32) -> u64 {
    const ALONG_BITS: u32 = OCTAVE.ilog2() - LINES_BITS;
    let (octaves, level) = (level / OCTAVE, level % OCTAVE);
    let (line, along) = ((level >> ALONG_BITS) as usize, u64::from(level) % (1 << ALONG_BITS));
    let low = NUMBERS[line];
    let rise = u64::from(NUMBERS[line + 1].wrapping_sub(low));
    let number = u64::from(low) + ((rise * along) >> ALONG_BITS);
    ((u128::from(number) << octaves) >> 31) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every power of two and its neighbours, and a scatter between.
    fn sample() -> impl Iterator<Item = u64> {
        let around = (0..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let scatter = (1..20_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n % 62));
        around.chain(scatter).filter(|number| *number > 0)
    }

    #[test]
    fn levels_are_the_library_s_to_a_step() {
        for number in sample() {
            let exact = (number as f64).log2() * f64::from(OCTAVE);
            let off = f64::from(level(number)) - exact;
            assert!(off.abs() < 1.6, "{number}: off by {off}");
        }
    }

    #[test]
    fn numbers_are_the_library_s_to_a_millionth() {
        for level in (0..62 * OCTAVE).step_by(9_973) {
            let exact = (f64::from(level) / f64::from(OCTAVE)).exp2();
            let off = number(level) as f64 - exact;
            assert!(off.abs() < exact * 1e-6 + 1.0, "{level}: off by {off}");
        }
    }

    #[test]
    fn both_tables_are_the_library_s_to_the_last_digit() {
        for line in 0..=LINES {
            let part = line as f64 / LINES as f64;
            let level = ((1.0 + part).log2() * f64::from(OCTAVE)).round() as u32;
            assert_eq!(LEVELS[line], level, "line {line}");
            let number = (part.exp2() * f64::from(1_u32 << 31)).round() as u64;
            assert_eq!(NUMBERS[line], number as u32, "line {line}");
        }
    }

    #[test]
    fn whole_octaves_are_exact() {
        for octave in 0..63 {
            assert_eq!(level(1 << octave), octave * OCTAVE);
            assert_eq!(number(octave * OCTAVE), 1 << octave);
        }
        assert_eq!(level(0), 0, "as 1");
        assert_eq!(level(u64::MAX), 64 * OCTAVE - 1);
    }

    #[test]
    fn a_larger_number_never_has_a_lower_level() {
        let mut numbers: Vec<u64> = sample().collect();
        numbers.sort_unstable();
        for pair in numbers.windows(2) {
            assert!(level(pair[0]) <= level(pair[1]), "{pair:?}");
        }
    }
}
