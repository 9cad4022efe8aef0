//! Remembers replies, with one fetch a key.
