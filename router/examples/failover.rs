//! Three servers of one capability, one of which breaks down and is repaired.
//!
//! `cargo run -p toolweir-router --example failover`

use std::time::Duration;

use toolweir_core::{Clock, ManualClock};
use toolweir_router::{Config, Router};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::new(Config::default().seed(1))?;
    let broken = router.add("eu", ["github"]);
    router.add("us", ["github"]);
    router.add("asia", ["github", "slack"]);
    let clock = ManualClock::new();

    for second in 0..15 {
        let mut calls = [0; 3];
        for _ in 0..100 {
            clock.advance(Duration::from_millis(5));
            let attempt = router.pick_at(&["github"], clock.now()).ok_or("no server")?;
            let server = attempt.server();
            calls[server.get() as usize] += 1;
            if server == broken && (3..8).contains(&second) {
                attempt.fail(clock.now());
                continue;
            }
            clock.advance(Duration::from_millis(5));
            attempt.succeed(clock.now());
        }
        println!(
            "second {second:>2}: eu {:>3}, us {:>3}, asia {:>3}",
            calls[0], calls[1], calls[2]
        );
        if second == 7 {
            println!("{}", router.explain_at(&["github"], clock.now()));
        }
    }
    Ok(())
}
