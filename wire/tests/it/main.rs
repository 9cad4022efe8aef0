//! Through the public API, over real loopback sockets and in-memory streams.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without")]

mod books;
#[path = "../ledger/mod.rs"]
mod ledger;
mod listen;
#[path = "../peer/mod.rs"]
mod peer;
mod upstream;
