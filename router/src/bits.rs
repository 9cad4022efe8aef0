//! A set of capabilities, one bit each.

/// Words kept in place; a set allocates only in a router that knows more than 128 capabilities.
const INLINE: usize = 2;

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    inline: [u64; INLINE],
    more: Vec<u64>,
}

impl Bits {
    pub(crate) fn insert(&mut self, bit: usize) {
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        match self.inline.get_mut(word) {
            Some(slot) => *slot |= mask,
            None => {
                let word = word - INLINE;
                if self.more.len() <= word {
                    self.more.resize(word + 1, 0);
                }
                self.more[word] |= mask;
            }
        }
    }

    /// Whether every bit of `other` is set here.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.inline.iter().zip(&other.inline).all(|(have, want)| have & want == *want)
            && other.more.iter().enumerate().all(|(word, want)| {
                self.more.get(word).copied().unwrap_or_default() & want == *want
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(bits: &[usize]) -> Bits {
        let mut set = Bits::default();
        bits.iter().for_each(|bit| set.insert(*bit));
        set
    }

    #[test]
    fn contains_means_every_bit() {
        for (have, want, holds) in [
            (&[][..], &[][..], true),
            (&[3], &[], true),
            (&[], &[3], false),
            (&[3, 70], &[70], true),
            (&[3, 70], &[3, 71], false),
            (&[3, 200, 1000], &[1000, 3], true),
            (&[3, 200], &[1000], false),
            (&[1000], &[1000, 127], false),
            (&[1000], &[200], false),
            (&[6, 136], &[70], false),
            (&[70, 264], &[6], false),
            (&[130], &[194], false),
            (&[194, 258], &[130], false),
        ] {
            assert_eq!(set(have).contains(&set(want)), holds, "{have:?} contains {want:?}");
        }
    }

    #[test]
    fn no_more_room_is_taken_than_the_largest_number_needs() {
        for (largest, words) in [(0, 0), (127, 0), (128, 1), (191, 1), (192, 2), (1000, 14)] {
            assert_eq!(set(&[largest]).more.len(), words, "{largest}");
        }
    }
}
