//! Meters calls, one bucket a key.
