//! Cache keys: one text for every spelling of a value, and different texts for different values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolweir_cache::{NoKey, canonical};
use toolweir_core::RawJson;
use toolweir_fuzz::Model;

/// What the cache takes.
const DEPTH: usize = 128;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // Two values, one on each side of a line end.
    let (one, other) = text.split_once('\n').unwrap_or((text, "null"));
    let (Some(one), Some(other)) = (read(one), read(other)) else { return };
    if let (Some(one), Some(other)) = (one, other) {
        assert_eq!(one.0 == other.0, one.1 == other.1, "{:?} {:?}", one.0, other.0);
    }
});

/// A value with its key, after the key's own laws are checked; `None` within where it has none.
fn read(text: &str) -> Option<Option<(Model, String)>> {
    let json = RawJson::new(text.to_owned()).ok()?;
    let key = canonical(&json);
    // Near the deepest level the two count differently by one.
    let model = Model::read(text, DEPTH - 2);
    if let Some(model) = &model {
        let key = key.clone().expect("it is unambiguous");
        assert_eq!(Model::read(&key, DEPTH).as_ref(), Some(model), "{key}");
        let otherwise = RawJson::new(model.spelt_otherwise()).expect("it is well-formed");
        match canonical(&otherwise) {
            Err(NoKey::TooLarge) => {}
            same => assert_eq!(same.as_ref(), Ok(&key)),
        }
    } else if Model::read(text, DEPTH * 2).is_none() && !is_deep(text) {
        assert!(key.is_err(), "{key:?}");
    }
    Some(model.zip(key.ok()))
}

fn is_deep(text: &str) -> bool {
    text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() >= DEPTH
}
