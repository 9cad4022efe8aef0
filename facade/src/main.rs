//! The `toolweir` binary: a gateway for MCP clients, and a way to look into it.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
