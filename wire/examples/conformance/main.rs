//! A whole MCP server: the tools, prompts and resources that the official conformance suite asks for, in both eras.
//!
//! ```text
//! cargo run -p toolweir-wire --example conformance -- --listen 127.0.0.1:8931
//! cargo run -p toolweir-wire --example conformance -- --stdio
//! ```
//!
//! How to read it: `fixture.rs` is the server, one `match` over the methods; `tools.rs`, `prompts.rs` and
//! `resources.rs` are what it offers; `ask.rs` asks the client in the way of its era; `changes.rs` tells clients
//! what they did not ask for.

mod ask;
mod changes;
mod fixture;
mod prompts;
mod questions;
mod resources;
mod state;
mod tools;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use toolweir_wire::{HttpListener, Service, serve_stdio};

use crate::fixture::Fixture;

const USAGE: &str = "usage: conformance --listen ADDRESS:PORT | --stdio";

/// Where it is served.
enum Place {
    Http(String),
    Stdio,
}

fn place(mut words: impl Iterator<Item = String>) -> Option<Place> {
    let place = match words.next()?.as_str() {
        "--listen" => Place::Http(words.next()?),
        "--stdio" => Place::Stdio,
        _ => return None,
    };
    words.next().is_none().then_some(place)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let place = place(std::env::args().skip(1)).ok_or(USAGE)?;
    let service = Service::new(Arc::new(Fixture::new()));
    match place {
        Place::Http(address) => {
            let listener = HttpListener::bind(address, service).await?;
            println!("http://{}/mcp", listener.local_addr());
            tokio::signal::ctrl_c().await?;
            listener.shutdown(Duration::from_secs(2)).await;
        }
        Place::Stdio => serve_stdio(service, tokio::io::stdin(), tokio::io::stdout()).await?,
    }
    Ok(())
}
