//! The command line.

mod arguments;
mod call;
mod check;
mod demo;
mod explain;
mod failure;
mod health;
mod list;
mod near;
mod output;
mod reload;
mod serve;
mod source;
mod until;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use toolweir::wire::Watchdog;

use self::failure::Failure;
use self::output::Output;

/// Sends each MCP call to the server best able to answer it, and keeps answering when servers fail.
#[derive(Debug, Parser)]
#[command(name = "toolweir", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Write the result as JSON on stdout, and a failure as one line of JSON on stderr.
    #[arg(long, global = true)]
    json: bool,
}

const AFTER_HELP: &str = "\
Without --config, ./toolweir.jsonc is read, then ./.mcp.json.
TOOLWEIR_LOG sets what is logged on stderr, for example TOOLWEIR_LOG=debug.
Exit codes: 0 ok, 1 unexpected, 2 usage, 3 authentication, 4 unreachable, 5 tool error, 6 bad configuration, 7 degraded.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve all configured servers behind one endpoint.
    Serve {
        #[command(flatten)]
        source: Source,
        /// Where MCP clients come in, at /mcp [default: 127.0.0.1:8808, or `listen` of the configuration].
        #[arg(long, value_name = "ADDR", conflicts_with = "stdio")]
        listen: Option<SocketAddr>,
        /// Serve one client over stdin and stdout instead.
        #[arg(long)]
        stdio: bool,
    },
    /// Check a configuration without starting anything.
    Check {
        #[command(flatten)]
        source: Source,
    },
    /// Show the servers and what they offer.
    List {
        #[command(flatten)]
        source: Source,
    },
    /// Call a tool by the name that clients see.
    Call {
        /// The tool, such as `github__create_issue`.
        #[arg(value_name = "SERVER__TOOL")]
        tool: String,
        /// One argument; the value is JSON where it reads as such, else text.
        #[arg(long = "tool-arg", value_name = "KEY=VALUE")]
        arguments: Vec<String>,
        /// All arguments as one JSON object.
        #[arg(long = "tool-args-json", value_name = "JSON", conflicts_with = "arguments")]
        json_arguments: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// Say where a tool's call would go and what may be done with it there, and why.
    Explain {
        /// The tool, such as `github__create_issue`.
        #[arg(value_name = "SERVER__TOOL")]
        tool: String,
        #[command(flatten)]
        source: Source,
    },
    /// Route a request by its type to the best server that has what it needs.
    Route {
        /// The request type, such as `repository_management` or `notifications`.
        #[arg(value_name = "TYPE")]
        request_type: String,
        /// Arguments; a value is JSON where it reads as such, else text.
        #[arg(value_name = "KEY=VALUE")]
        arguments: Vec<String>,
        #[command(flatten)]
        source: Source,
    },
    /// Show the dashboard of a running gateway that has an `admin` listener.
    Health {
        /// Where its `admin` listener is.
        #[arg(
            long,
            default_value = "http://127.0.0.1:9464",
            env = "TOOLWEIR_ADMIN_URL",
            hide_env_values = true
        )]
        url: String,
        /// Its token, where it asks for one; better given in the environment, where others do not see it.
        #[arg(long, env = "TOOLWEIR_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
    /// See it at work: five small servers, one killed, one frozen; needs nothing but this program.
    Demo {
        /// Stay up afterwards as a gateway for any MCP client.
        #[arg(long)]
        serve: bool,
        /// Where to stay up.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8808", requires = "serve")]
        listen: SocketAddr,
    },
    /// Ends the children of the one that started it, once its input has ended.
    #[command(hide = true)]
    Watchdog {
        /// What marks them.
        mark: String,
    },
    /// One of the demo's servers, over stdin and stdout.
    #[command(hide = true)]
    DemoServer {
        /// Which.
        kind: String,
    },
}

/// Where the configuration is.
#[derive(Args, Debug)]
struct Source {
    /// The configuration file [default: ./toolweir.jsonc, or else ./.mcp.json].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output = Output { json: cli.json };
    if let Command::Watchdog { mark } = &cli.command {
        Watchdog::run(std::io::stdin(), mark);
        return ExitCode::SUCCESS;
    }
    log(match cli.command {
        Command::Serve { .. } => "warn,toolweir=info",
        Command::Demo { .. } | Command::DemoServer { .. } => "off",
        _ => "warn",
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&Failure::unexpected(format!("cannot start: {error}"))),
    };
    let result = runtime.block_on(interruptible(cli.command, output));
    // What is dropped here ends its children; what still blocks, such as a read of stdin, is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(300));
    match result {
        Ok(code) => code,
        Err(failure) => output.fail(&failure),
    }
}

/// Shows the help, the version, or what is wrong with the arguments.
fn not_understood(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || std::env::args_os().all(|argument| argument != "--json") {
        let _ = error.print(); // a reader that has gone is no failure
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let text = error.to_string();
    let message = match text.strip_prefix("error: ") {
        Some(told) => {
            let first = told.split("\n\n").next().unwrap_or_default();
            first.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        None => "a command is missing; --help shows them".to_owned(), // the text is the help
    };
    Output { json: true }.fail(&Failure::usage(message))
}

/// Runs a command; a signal ends it, and with it the servers that it started. A gateway sees to its signals itself.
async fn interruptible(command: Command, output: Output) -> Result<ExitCode, Failure> {
    if matches!(
        command,
        Command::Serve { .. } | Command::Demo { serve: true, .. } | Command::DemoServer { .. }
    ) {
        return run(command, output).await;
    }
    let mut signals = serve::Signals::new()?;
    tokio::select! {
        result = run(command, output) => result,
        () = signals.next() => Err(Failure::interrupted()),
    }
}

async fn run(command: Command, output: Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve { source, listen, stdio } => {
            serve::serve(&source, listen, stdio, output).await
        }
        Command::Check { source } => check::check(&source, output),
        Command::List { source } => list::list(&source, output).await,
        Command::Call { tool, arguments, json_arguments, source } => {
            let arguments = arguments::object(&arguments, json_arguments.as_deref())?;
            call::call(&source, &tool, &arguments, output).await
        }
        Command::Explain { tool, source } => explain::explain(&source, &tool, output).await,
        Command::Route { request_type, arguments, source } => {
            let arguments = arguments::object(&arguments, None)?;
            call::route(&source, &request_type, &arguments, output).await
        }
        Command::Health { url, token } => health::health(&url, token.as_deref(), output).await,
        Command::Demo { serve, listen } => demo::demo(serve.then_some(listen), output).await,
        Command::DemoServer { kind } => demo::server(&kind).await,
        Command::Watchdog { .. } => Ok(ExitCode::SUCCESS), // has run by now
    }
}

/// Logs go to stderr; stdout belongs to results, and to the protocol.
fn log(usual: &str) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TOOLWEIR_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .with_target(false)
        .init();
}
