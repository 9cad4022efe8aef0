//! The first two bytes of an input say how the rest is read.

/// Where the bytes are cut, and how much may be read.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    cap: u8,
    seed: u8,
}

impl Control {
    /// Takes the first two bytes of an input; `None` where it is shorter.
    #[must_use]
    pub fn split(input: &[u8]) -> Option<(Self, &[u8])> {
        let (&[cap, seed], rest) = input.split_first_chunk()?;
        Some((Self { cap, seed }, rest))
    }

    /// A cap: each of the small ones, and larger ones up to about a thousand.
    #[must_use]
    pub fn cap(self) -> usize {
        let cap = usize::from(self.cap);
        if cap < 128 { cap } else { 128 + (cap - 128) * 7 }
    }

    /// The bytes in pieces: single bytes where the seed is 0, else of 1 to 31 or so.
    #[must_use]
    pub fn pieces(self, mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        let mut state = u32::from(self.seed);
        while !bytes.is_empty() {
            state = state.wrapping_mul(1_664_525).wrapping_add(u32::from(self.seed));
            let (piece, rest) = bytes.split_at(bytes.len().min(1 + (state >> 27) as usize));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}
