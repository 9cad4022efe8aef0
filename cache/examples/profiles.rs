//! An async function that remembers its results, asked by many at once.
//!
//! Run with `cargo run -p toolweir-cache --example profiles`.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use toolweir_cache::{Cache, Config};

static ASKED: AtomicUsize = AtomicUsize::new(0);

async fn fetch_from_database(user: String) -> Result<String, io::Error> {
    ASKED.fetch_add(1, Ordering::Relaxed);
    sleep(Duration::from_millis(50)).await;
    Ok(format!("the profile of {user}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::new(Config::default())?;
    let profile = cache.cached(fetch_from_database).ttl(Duration::from_secs(600)).group("profiles");

    let mut callers = JoinSet::new();
    for number in 0..100 {
        let profile = profile.clone();
        callers.spawn(async move { profile.call(format!("user {}", number % 3)).await });
    }
    for result in callers.join_all().await {
        result?;
    }
    println!("100 callers, 3 users: asked {} times", ASKED.load(Ordering::Relaxed));

    println!("{}", profile.call("user 1".to_owned()).await?);
    cache.invalidate("profiles");
    println!("{}", profile.call("user 1".to_owned()).await?);
    println!("and after the invalidation: asked {} times", ASKED.load(Ordering::Relaxed));

    let stats = cache.stats();
    println!("{} hits, {} misses, {} coalesced", stats.hits, stats.misses, stats.coalesced);
    Ok(())
}
