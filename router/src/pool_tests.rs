//! Tests of the pool: apart from it, because it compiles a second time on loom's atomics.

use std::time::Duration;

use toolweir_core::Instant;

use crate::Config;
use crate::estimate::{latency_level, nanos};
use crate::logarithm::{OCTAVE, level};
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

#[test]
fn the_level_of_one_more_call_however_many_there_are() {
    let pool = Pool::new(&Config::default());
    for (calls, more) in [(0, 1), (1, 2), (126, 127), (127, 128), (128, 129), (100_000, 100_001)] {
        assert_eq!(pool.level_after(calls), level(more), "{calls}");
    }
    assert_eq!([-1, i64::MIN].map(|calls| pool.level_after(calls)), [0, 0], "for a moment");
    assert_eq!(pool.level_after(i64::MAX), 32 * OCTAVE, "no cost leaves its bits");
}

#[test]
fn what_is_borne_is_borne_to_the_last_step() {
    let spill = Duration::from_secs(1);
    let pool = Pool::new(&Config::default().zone_spill(spill));
    let borne = latency_level(nanos(spill));
    assert_eq!([borne - 1, borne, borne + 1].map(|cost| pool.spills(cost)), [false, false, true]);
}

#[test]
fn a_slow_start_goes_from_a_tenth_to_the_whole() {
    let pool = Pool::new(&Config::default().slow_start(Duration::from_secs(10)));
    let begun = Instant::from_nanos(5_000_000_000);
    let share = |millis| {
        let handicap = pool.handicap(begun, begun + Duration::from_millis(millis));
        handicap.map(|level| ((-f64::from(level) / f64::from(OCTAVE)).exp2() * 1e4).round() / 1e4)
    };
    for (millis, expected) in [(0, 0.1), (1_000, 0.1), (1_500, 0.15), (5_000, 0.5), (9_999, 0.9999)]
    {
        assert_eq!(share(millis), Some(expected), "after {millis} ms");
    }
    assert_eq!([share(10_000), share(10_001)], [None, None]);
}
