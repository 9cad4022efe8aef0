//! Small servers to try toolweir with.

pub mod servers;
