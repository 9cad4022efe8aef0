//! `toolweir demo`: the whole of it at work, with nothing but this program.

mod story;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use toolweir::config::Config;
use toolweir::demo::servers;
use toolweir::wire::{Access, Service, serve_stdio};

use self::story::Story;
use super::failure::Failure;
use super::output::Output;
use super::serve::{GRACE, Signals, admin, bind, end, over_http};
use super::{health, source};

const CONFIG: &str = include_str!("demo.jsonc");
const ADMIN: &str = "127.0.0.1:9464";

/// One of the demo's servers, over stdin and stdout.
pub(crate) async fn server(kind: &str) -> Result<ExitCode, Failure> {
    let Some(server) = servers::server(kind) else {
        return Err(Failure::usage(format!(
            "no demo server `{kind}`; there are {}",
            servers::KINDS.join(", ")
        )));
    };
    let served = serve_stdio(Service::new(server), tokio::io::stdin(), tokio::io::stdout()).await;
    served
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::unexpected(format!("stdio: {error}")))
}

/// The story; afterwards, where that is asked, a gateway at `serve`.
pub(crate) async fn demo(serve: Option<SocketAddr>, output: Output) -> Result<ExitCode, Failure> {
    let bound = match serve {
        Some(address) => Some((bind(address).await?, Signals::new()?)),
        None => None,
    };
    let orchestrator = source::start(&config()?)?;
    let told = Story::new(&orchestrator, output).tell().await;
    let standing = orchestrator.standing();
    if told.is_ok() {
        let dashboard = serde_json::to_value(&standing).unwrap_or_default();
        if !output.json {
            output.line("\nThe dashboard:");
        }
        output.result(&dashboard, health::text);
    }
    match (told, bound) {
        (Ok(()), Some((bound, mut signals))) => {
            let service = Service::new(Arc::new(orchestrator.clone()));
            let admin = match ADMIN.parse() {
                Ok(address) => admin(address, Access::default(), &orchestrator).await.ok(),
                Err(_) => None,
            };
            if let Some(admin) = &admin {
                output.note(&format!("health: http://{}/health", admin.local_addr()));
            }
            let code = over_http(bound, service, &mut signals, GRACE, output).await;
            end(&orchestrator, admin, &mut signals).await;
            code
        }
        (told, _) => {
            orchestrator.shutdown(Duration::from_secs(5)).await;
            told.map(|()| ExitCode::SUCCESS)
        }
    }
}

fn config() -> Result<Config, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::unexpected(format!("cannot find this program: {error}")))?
        .display()
        .to_string();
    let variable = |name: &str| (name == "TOOLWEIR_DEMO").then(|| program.clone());
    let (config, _) = Config::from_str(CONFIG, "demo.jsonc", &variable)?;
    Ok(config)
}
