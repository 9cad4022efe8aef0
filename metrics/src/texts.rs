//! The texts of errors, each kept once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::ring::NO_TEXT;

/// How many different texts are kept; the oldest goes first.
const TEXTS: u32 = 1_024;
/// Longer texts are cut.
const LONGEST: usize = 256;

/// Numbers texts; memory is used again, so that a full table allocates nothing.
pub(crate) struct Texts {
    slots: Vec<String>,
    /// The number of the next new text.
    next: u32,
    numbers: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            next: NO_TEXT + 1,
            numbers: HashMap::with_capacity(2 * TEXTS as usize),
            hasher: RandomState::new(),
        }
    }

    /// The number of `text`, which stays valid until as many others as are kept came after it.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        let text = cut(text);
        let hash = self.hasher.hash_one(text);
        if let Some(&number) = self.numbers.get(&hash)
            && self.get(number) == Some(text)
        {
            return number;
        }
        let number = self.next;
        self.next = self.next.checked_add(1).unwrap_or(NO_TEXT + 1);
        let place = (number % TEXTS) as usize;
        while self.slots.len() <= place {
            self.slots.push(String::with_capacity(LONGEST));
        }
        let slot = &mut self.slots[place];
        let old = self.hasher.hash_one(slot.as_str());
        if self.numbers.get(&old).is_some_and(|number| *number as usize % TEXTS as usize == place) {
            self.numbers.remove(&old);
        }
        slot.clear();
        slot.push_str(text);
        self.numbers.insert(hash, number);
        number
    }

    /// The text of this number, unless it is forgotten.
    pub(crate) fn get(&self, number: u32) -> Option<&str> {
        let age = self.next.wrapping_sub(number);
        if number <= NO_TEXT || age == 0 || age > TEXTS {
            return None;
        }
        self.slots.get((number % TEXTS) as usize).map(String::as_str)
    }
}

/// As many whole characters as fit.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_the_oldest_forgotten() {
        let mut texts = Texts::new();
        let first = texts.number("timeout");
        assert_eq!(texts.number("timeout"), first);
        assert_eq!(texts.get(first), Some("timeout"));
        for n in 0..TEXTS - 1 {
            texts.number(&n.to_string());
        }
        assert_eq!(texts.get(first), Some("timeout"));
        texts.number("one more");
        assert_eq!(texts.get(first), None);
        let again = texts.number("timeout");
        assert_ne!(again, first);
        assert_eq!(texts.get(again), Some("timeout"));
        assert!(texts.numbers.len() <= TEXTS as usize && texts.slots.len() <= TEXTS as usize);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut texts = Texts::new();
        let number = texts.number(&"ü".repeat(200));
        assert_eq!(texts.get(number), Some("ü".repeat(128).as_str()));
        let odd = texts.number(&format!("x{}", "ü".repeat(200)));
        assert_eq!(texts.get(odd).map(str::len), Some(255));
        assert_eq!(texts.get(0), None);
        assert_eq!(texts.get(NO_TEXT), None);
    }
}
