//! Three clients share a service that allows each of them five calls a second.
//!
//! `cargo run -p toolweir-ratelimit --example clients --features tokio`

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Clock, TokioClock};
use toolweir_ratelimit::{Config, Limiter};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::default().requests_per_second(5.0).burst(2);
    let limiter = Arc::new(Limiter::<&'static str>::with_clock(&config, Arc::new(TokioClock))?);
    let begun = TokioClock.now();

    let mut clients = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let limiter = Arc::clone(&limiter);
        clients.push(tokio::spawn(async move {
            for call in 1..=5 {
                let answer = limiter.acquire(&name).await;
                let elapsed = TokioClock.now() - begun;
                match answer {
                    Ok(()) => println!("{elapsed:>8.1?}  {name} makes call {call}"),
                    Err(refusal) => println!("{elapsed:>8.1?}  {name} is refused: {refusal}"),
                }
            }
        }));
    }

    tokio::time::sleep(Duration::from_millis(300)).await;
    println!("          the service asks bob for a pause of 800 ms");
    limiter.penalize(&"bob", Duration::from_millis(800));

    for client in clients {
        client.await?;
    }
    Ok(())
}
