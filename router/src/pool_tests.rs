//! Tests of the pool: apart from it, because it compiles a second time on loom's atomics.

use std::time::Duration;

use crate::Config;
use crate::pool::Pool;

#[test]
fn the_pause_doubles_up_to_its_cap() {
    let config = Config::default().pause(Duration::from_secs(5)).pause_max(Duration::from_secs(60));
    let pool = Pool::new(&config);
    let pauses = [0, 1, 2, 3, 4, 31, 32, 33, u32::MAX].map(|trials| pool.pause(trials));
    assert_eq!(pauses.map(|pause| pause.as_secs()), [5, 10, 20, 40, 60, 60, 60, 60, 60]);
}

#[test]
fn no_more_than_the_share_is_ejected() {
    for (servers, percent, out) in [(10, 30, 3), (10, 100, 10), (3, 50, 1), (1, 50, 0), (5, 0, 0)] {
        let pool = Pool::new(&Config::default().max_ejected_percent(percent));
        pool.resize(servers);
        let ejected = (0..servers).filter(|_| pool.try_eject()).count();
        assert_eq!(ejected, out, "{percent} % of {servers}");
        assert_eq!(pool.unhealthy(), out);
    }
}
