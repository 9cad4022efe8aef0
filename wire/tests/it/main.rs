//! Through the public API, over real loopback sockets and in-memory streams.

mod listen;
