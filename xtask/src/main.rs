//! Checks and measures toolweir.
fn main() {}
