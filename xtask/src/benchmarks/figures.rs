//! Which contenders make a figure, and how good ours is to be.

/// One figure: two measurements of one run, and the ratio between them that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// The group of `toolweir`, and that of the rival.
    pub(super) ours: &'static str,
    pub(super) theirs: &'static str,
    pub(super) rival: &'static str,
    /// The rival's package.
    pub(super) package: Option<&'static str>,
    /// The most that ours may take, as a part of what the rival takes; `None` where the figure only informs.
    pub(super) target: Option<f64>,
}

/// Beside a rival, on the same number of threads.
const fn beside(
    id: &'static str,
    name: &'static str,
    group: &'static str,
    rival: &'static str,
    package: &'static str,
    target: f64,
) -> Figure {
    let package = Some(package);
    Figure { id, name, ours: group, theirs: group, rival, package, target: Some(target) }
}

/// The same beside a rival that is no measure for ours.
const fn beside_only(
    id: &'static str,
    name: &'static str,
    group: &'static str,
    rival: &'static str,
    package: &'static str,
) -> Figure {
    let package = Some(package);
    Figure { id, name, ours: group, theirs: group, rival, package, target: None }
}

/// Beside itself, under other circumstances.
const fn itself(
    id: &'static str,
    name: &'static str,
    ours: &'static str,
    theirs: &'static str,
    target: f64,
) -> Figure {
    Figure { id, name, ours, theirs, rival: "toolweir", package: None, target: Some(target) }
}

const BREAKER: &str = "breaker closed, time given";
const BREAKER_2: &str = "breaker closed, two threads";
const WINDOW: &str = "breaker closed, time window, slow calls, own clock";
const LIMITER: &str = "limiter, one key, time given";
const LIMITER_CLOCK: &str = "limiter, one key, own clock";
const KEYS: &str = "limiter, 100 String keys";
const MORE_KEYS: &str = "limiter, 100,000 String keys";
const HOT: &str = "cache hit, hot key";
const HOT_2: &str = "cache hit, hot key, two threads";
const ANY: &str = "cache hit, any of 10,000 keys";
const ANY_2: &str = "cache hit, any of 10,000 keys, two threads";
const MISS: &str = "single-flight miss";
const RECORD: &str = "metrics, one whole operation";
const ROUTER: &str = "router, pick and feedback, 8 servers";
const ROUTER_1000: &str = "router, pick and feedback, 1,000 servers";
const STACK: &str = "limiter, breaker, pick, histogram";
const STACK_2: &str = "limiter, breaker, pick, histogram, two threads";

/// All of them, in the order of the table.
#[rustfmt::skip]
pub(super) const FIGURES: &[Figure] = &[
    beside("breaker-closed-recloser", BREAKER, "breaker-count-window/1", "recloser", "recloser", 0.35),
    beside("breaker-closed-failsafe", BREAKER, "breaker-count-window/1", "failsafe", "failsafe", 0.35),
    beside("breaker-closed-seatbelt", BREAKER, "breaker-count-window/1", "seatbelt", "seatbelt", 0.35),
    beside("breaker-closed-tower-resilience", BREAKER, "breaker-count-window/1", "tower-resilience", "tower-resilience-circuitbreaker", 0.35),
    itself("breaker-closed-2-itself", "breaker closed, two threads to one", "breaker-count-window/2", "breaker-count-window/1", 1.0),
    beside("breaker-closed-2-recloser", BREAKER_2, "breaker-count-window/2", "recloser", "recloser", 0.35),
    beside("breaker-closed-2-failsafe", BREAKER_2, "breaker-count-window/2", "failsafe", "failsafe", 0.35),
    beside("breaker-closed-2-seatbelt", BREAKER_2, "breaker-count-window/2", "seatbelt", "seatbelt", 0.35),
    beside("breaker-closed-2-tower-resilience", BREAKER_2, "breaker-count-window/2", "tower-resilience", "tower-resilience-circuitbreaker", 0.35),
    Figure { id: "breaker-time-window-clock", name: WINDOW, ours: "breaker-time-window/1", theirs: "breaker-time-window/1", rival: "two readings of the clock", package: None, target: Some(2.0) },
    beside("breaker-time-window-tower-resilience", WINDOW, "breaker-time-window/1", "tower-resilience", "tower-resilience-circuitbreaker", 0.35),
    itself("breaker-window-size", "breaker, 1,000,000 calls in the window to 100", "breaker-window-of-1000000/1", "breaker-window-of-100/1", 1.1),
    beside("limiter-time-given", LIMITER, "limiter-time-given/1", "governor", "governor", 0.6),
    beside("limiter-time-given-2", "limiter, one key, time given, two threads", "limiter-time-given/2", "governor", "governor", 0.6),
    beside("limiter-own-clock", LIMITER_CLOCK, "limiter-own-clock/1", "governor", "governor", 1.1),
    beside("limiter-own-clock-leaky-bucket", LIMITER_CLOCK, "limiter-own-clock/1", "leaky-bucket", "leaky-bucket", 1.1),
    beside("limiter-100-keys", KEYS, "limiter-100-keys/1", "governor", "governor", 0.7),
    beside("limiter-100-keys-2", "limiter, 100 String keys, two threads", "limiter-100-keys/2", "governor", "governor", 0.7),
    beside("limiter-100000-keys", MORE_KEYS, "limiter-100000-keys/1", "governor", "governor", 0.7),
    beside("limiter-100000-keys-2", "limiter, 100,000 String keys, two threads", "limiter-100000-keys/2", "governor", "governor", 0.7),
    beside("cache-hot-key", HOT, "cache-hot-key/1", "moka sync", "moka", 1.1),
    beside("cache-hot-key-moka-future", HOT, "cache-hot-key/1", "moka future", "moka", 1.1),
    beside_only("cache-hot-key-quick-cache", HOT, "cache-hot-key/1", "quick_cache", "quick_cache"),
    beside("cache-hot-key-2", HOT_2, "cache-hot-key/2", "moka sync", "moka", 1.1),
    beside("cache-any-key", ANY, "cache-any-key/1", "moka sync", "moka", 1.1),
    beside("cache-any-key-moka-future", ANY, "cache-any-key/1", "moka future", "moka", 1.1),
    beside_only("cache-any-key-quick-cache", ANY, "cache-any-key/1", "quick_cache", "quick_cache"),
    beside("cache-any-key-2", ANY_2, "cache-any-key/2", "moka sync", "moka", 1.1),
    beside("cache-miss", MISS, "cache-single-flight-miss/1", "moka future", "moka", 0.5),
    beside_only("cache-miss-quick-cache", MISS, "cache-single-flight-miss/1", "quick_cache", "quick_cache"),
    beside("metrics-operation", RECORD, "metrics-operation/1", "prometheus-client, one histogram", "prometheus-client", 1.15),
    beside("metrics-operation-labels", RECORD, "metrics-operation/1", "prometheus-client, by labels", "prometheus-client", 1.15),
    beside("metrics-operation-metrics", RECORD, "metrics-operation/1", "metrics", "metrics", 1.15),
    itself("metrics-operation-2-itself", "metrics, two threads to one", "metrics-operation/2", "metrics-operation/1", 1.0),
    beside("router-8", ROUTER, "router-8-servers/1", "tower", "tower", 0.1),
    beside("router-1000", ROUTER_1000, "router-1000-servers/1", "tower", "tower", 0.1),
    beside("router-8-2", "router, 8 servers, two threads", "router-8-servers/2", "tower, shared", "tower", 0.1),
    beside("router-1000-2", "router, 1,000 servers, two threads", "router-1000-servers/2", "tower, shared", "tower", 0.1),
    itself("router-10000-itself", "router, 10,000 servers to 1,000", "router-10000-servers/1", "router-1000-servers/1", 1.5),
    beside("stack", STACK, "stack/1", "governor + recloser + prometheus-client", "governor", 0.75),
    beside("stack-tower-resilience", STACK, "stack/1", "tower-resilience, limiter and breaker", "tower-resilience-circuitbreaker", 0.75),
    beside("stack-2", STACK_2, "stack/2", "governor + recloser + prometheus-client", "governor", 0.75),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_id_stands_twice() {
        let ids: BTreeSet<&str> = FIGURES.iter().map(|figure| figure.id).collect();
        assert_eq!(ids.len(), FIGURES.len());
    }
}
