//! The facade's tests: through its public interface, one binary.

mod config;
mod demo_servers;
mod orchestrator;
