//! A whole MCP server: the tools, prompts and resources that the official conformance suite asks for, in both eras.
//!
//! ```text
//! cargo run -p toolweir-wire --example conformance -- --listen 127.0.0.1:8931
//! cargo run -p toolweir-wire --example conformance -- --stdio --era legacy
//! ```
//!
//! How to read it: `fixture.rs` is the server, one `match` over the methods; `tools.rs`, `prompts.rs` and
//! `resources.rs` are what it offers; `ask.rs` asks the client in the way of its era; `changes.rs` tells clients
//! what they did not ask for; `tasks.rs` is for tools that take their time; `era.rs` is for tests of clients that meet an older or a stricter server.

mod ask;
mod changes;
mod era;
mod fixture;
mod prompts;
mod questions;
mod resources;
mod state;
mod tasks;
mod tools;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use toolweir_wire::{HttpListener, Service, serve_stdio};

use crate::era::Era;
use crate::fixture::Fixture;

const USAGE: &str = "usage: conformance --listen ADDRESS:PORT | --stdio [--era legacy|modern|both]";

/// Where it is served.
enum Place {
    Http(String),
    Stdio,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<(Place, Era)> {
    let place = match words.next()?.as_str() {
        "--listen" => Place::Http(words.next()?),
        "--stdio" => Place::Stdio,
        _ => return None,
    };
    let era = match words.next().as_deref() {
        None => Era::Both,
        Some("--era") => Era::parse(&words.next()?)?,
        Some(_) => return None,
    };
    words.next().is_none().then_some((place, era))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (place, era) = arguments(std::env::args().skip(1)).ok_or(USAGE)?;
    let service = Service::new(Arc::new(Fixture::new()));
    match place {
        Place::Http(address) if era == Era::Both => {
            let listener = HttpListener::bind(address, service).await?;
            println!("http://{}/mcp", listener.local_addr());
            tokio::signal::ctrl_c().await?;
            listener.shutdown(Duration::from_secs(2)).await;
        }
        Place::Http(address) => {
            let front = TcpListener::bind(address).await?;
            let listener = HttpListener::bind("127.0.0.1:0", service).await?;
            println!("http://{}/mcp", front.local_addr()?);
            tokio::select! {
                passed = era::http(front, listener.local_addr(), era) => passed?,
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            }
        }
        Place::Stdio if era == Era::Both => {
            serve_stdio(service, tokio::io::stdin(), tokio::io::stdout()).await?;
        }
        Place::Stdio => era::stdio(service, era).await?,
    }
    Ok(())
}
