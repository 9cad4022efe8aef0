//! A server that fails for a while: watch the breaker open, probe and close. Time is moved by hand.
//!
//! `cargo run -p toolweir-breaker --example outage`

use std::sync::Arc;
use std::time::Duration;

use toolweir_breaker::{Breaker, Clock, Config, ConfigError, ManualClock};

fn main() -> Result<(), ConfigError> {
    let clock = Arc::new(ManualClock::new());
    let start = clock.now();
    let config = Config::default()
        .failures(3)
        .cooldown(Duration::from_secs(2))
        .max_cooldown(Duration::from_secs(10));
    let breaker = Breaker::with_clock(config, Arc::clone(&clock))?.on_transition(move |change| {
        let at = (change.at - start).as_secs();
        println!("{at:>3} s  {} -> {} ({:?})", change.from, change.to, change.reason);
    });

    for second in 0..40 {
        let server_is_up = !(5..20).contains(&second);
        match breaker.try_acquire() {
            Ok(permit) if server_is_up => permit.success(),
            Ok(permit) => {
                println!("{second:>3} s  a call failed");
                permit.failure();
            }
            Err(refused) => println!("{second:>3} s  refused, try in {:?}", refused.retry_after),
        }
        clock.advance(Duration::from_secs(1));
    }
    Ok(())
}
