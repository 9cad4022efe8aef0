//! `toolweir serve`: the gateway.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toolweir::config::{self, Config};
use toolweir::wire::{Access, HttpListener, Limits, PagesListener, Service, serve_stdio};
use toolweir::{Orchestrator, pages};

use super::Source;
use super::failure::Failure;
use super::output::Output;
use super::reload::Reloading;
use super::source;
use super::until::Until;

const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8808);
/// How long calls that are in flight get to finish once the gateway is told to end, unless it is configured. Together with what servers get
/// then it stays below the 10 s after which most supervisors kill.
pub(crate) const GRACE: Duration = Duration::from_secs(6);
const FINISHING: &str = "finishing what is in flight; a second signal ends it now";
/// How long the servers get after that to end.
const SERVERS_GRACE: Duration = Duration::from_secs(2);

pub(crate) async fn serve(
    source: &Source,
    listen: Option<SocketAddr>,
    stdio: bool,
    output: Output,
) -> Result<ExitCode, Failure> {
    let (config, _) = source::load(source, output)?;
    let settings = &config.settings;
    let address = listen.or(settings.listen).unwrap_or(LISTEN);
    if !stdio && settings.token.is_none() && config::needs_token(address) {
        return Err(Failure::config(format!(
            "{address} can be reached from other machines, and no token is configured: set `toolweir.token`, or listen on 127.0.0.1",
        )));
    }
    let mut signals = Signals::new()?;
    // Whoever cannot listen need not start servers.
    let access = access(&config);
    let bound = if stdio { None } else { Some(bind(address).await?) };
    let mut builder = source::builder(&config)?;
    if let Some(folder) = source::state_dir(&config) {
        builder = builder.state_dir(folder);
    }
    let orchestrator = builder.start()?;
    let service = Service::new(Arc::new(orchestrator.clone())).access(access.clone());
    let admin = match settings.admin {
        Some(address) => match admin(address, access, &orchestrator).await {
            Ok(admin) => Some(admin),
            // A client that starts a gateway of its own for each of its windows shares one configuration with them.
            Err(failure) if stdio => {
                output.note(&format!(
                    "warning: {}; going on without health and metrics",
                    failure.message
                ));
                None
            }
            Err(failure) => {
                orchestrator.shutdown(SERVERS_GRACE).await;
                return Err(failure);
            }
        },
        None => None,
    };
    output.note(&format!(
        "toolweir {}: starting {} servers",
        env!("CARGO_PKG_VERSION"),
        orchestrator.servers().len()
    ));
    let telling = {
        let orchestrator = orchestrator.clone();
        tokio::spawn(async move {
            source::wait(&orchestrator, Duration::from_secs(120), output).await;
        })
    };
    if let Some(admin) = &admin {
        output.note(&format!("health: http://{}/health", admin.local_addr()));
    }
    let grace = settings.shutdown_grace.unwrap_or(GRACE);
    let reloading = reload(&orchestrator, &config, &mut signals, output);
    let code = match bound {
        Some(bound) => over_http(bound, service, &mut signals, grace, output).await,
        None => over_stdio(service, &mut signals, grace, output).await,
    };
    reloading.abort();
    telling.abort();
    end(&orchestrator, admin, &mut signals).await;
    code
}

/// Takes the file up again when it changes, and at SIGHUP, which is then no signal to end.
fn reload(
    orchestrator: &Orchestrator,
    config: &Config,
    signals: &mut Signals,
    output: Output,
) -> JoinHandle<()> {
    let Some(hang_up) = signals.hang_up.take() else { return tokio::spawn(async {}) };
    let (orchestrator, config) = (orchestrator.clone(), config.clone());
    let reloading = Reloading { orchestrator, config, hang_up, output };
    let gone = signals.gone.clone();
    tokio::spawn(async move {
        reloading.keep().await;
        gone.cancel();
    })
}

/// Ends the servers in good order, or, at a signal, now: dropping them kills them.
pub(crate) async fn end(
    orchestrator: &Orchestrator,
    admin: Option<PagesListener>,
    signals: &mut Signals,
) {
    let in_order = async {
        if let Some(admin) = admin {
            admin.shutdown(Duration::ZERO).await;
        }
        orchestrator.shutdown(SERVERS_GRACE).await;
    };
    tokio::select! {
        () = in_order => {}
        () = signals.next() => {}
    }
}

/// Serves until a signal; what is in flight then gets its grace, and a second signal ends it.
pub(crate) async fn over_http(
    bound: TcpListener,
    service: Service,
    signals: &mut Signals,
    grace: Duration,
    output: Output,
) -> Result<ExitCode, Failure> {
    let listener =
        HttpListener::on(bound, service).map_err(|error| Failure::unexpected(error.to_string()))?;
    output.note(&format!("MCP endpoint: http://{}/mcp", listener.local_addr()));
    signals.next().await;
    output.note(FINISHING);
    tokio::select! {
        () = listener.shutdown(grace) => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves one client until it closes its side, or a signal; what is in flight then gets its grace, and a second signal
/// ends it.
async fn over_stdio(
    service: Service,
    signals: &mut Signals,
    grace: Duration,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut limits = Limits::default();
    limits.drain = grace;
    let stop = CancellationToken::new();
    let input = Until::new(tokio::io::stdin(), stop.clone());
    let serving = serve_stdio(service.limits(limits), input, tokio::io::stdout());
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = signals.next() => {
            output.note(FINISHING);
            stop.cancel();
            tokio::select! {
                ended = &mut serving => ended,
                () = signals.next() => Ok(()),
            }
        }
    };
    ended.map_err(|error| Failure::unexpected(format!("stdio: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Failure::unexpected(format!("cannot listen on {address}: {error}")))
}

pub(crate) async fn admin(
    address: SocketAddr,
    access: Access,
    orchestrator: &Orchestrator,
) -> Result<PagesListener, Failure> {
    let listener = PagesListener::bind(address, access, pages(orchestrator)).await;
    listener.map_err(|error| Failure::unexpected(format!("cannot listen on {address}: {error}")))
}

/// Who may come in.
fn access(config: &Config) -> Access {
    let settings = &config.settings;
    let access = Access::default()
        .allow_hosts(settings.allowed_hosts.iter().cloned())
        .allow_origins(settings.allowed_origins.iter().cloned());
    match &settings.token {
        Some(token) => access.token(token.expose()),
        None => access,
    }
}

/// What ends the program: SIGTERM, SIGINT, and SIGHUP unless that is taken to mean something else.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
    /// The terminal is gone.
    gone: CancellationToken,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::unexpected(format!("signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: Some(listen(SignalKind::hangup())?),
            gone: CancellationToken::new(),
        })
    }

    pub(crate) async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        let gone = self.gone.clone();
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hang_up => {}
            () = gone.cancelled() => self.gone = CancellationToken::new(), // once
        }
    }
}
