//! One server picked by latency and load, and told how the call went.
//!
//! Both are bound to one set of servers, and each thread of ours has a picker of its own; `by name` looks the capability up each
//! time. tower's balancer is asked whether it is ready, called, and its response is read, which is what tells it; its services
//! answer at once. On two threads it stands behind a mutex, since it takes `&mut self`.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

use criterion::Criterion;
use toolweir_core::Instant;
use toolweir_router::{Registration, Router};
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};
use tower::{Service, ServiceExt};

use crate::measure::{both, one, ready};

const STEP: Duration = Duration::from_micros(10);

pub(crate) fn all(c: &mut Criterion) {
    for servers in [8, 1_000, 10_000] {
        let row = format!("router-{servers}-servers");
        let router = ours(servers);
        both(c, &row, "toolweir", || {
            let mut now = Instant::from_nanos(3_700_000_000_000);
            let mut picker = router.picker(["github"]);
            move || {
                now = now + STEP;
                if let Some(attempt) = black_box(&mut picker).pick_at(now) {
                    attempt.succeed(now + STEP);
                }
            }
        });
        one(c, &row, "toolweir, by name", || {
            let (mut now, router) = (Instant::from_nanos(3_700_000_000_000), &router);
            move || {
                now = now + STEP;
                if let Some(attempt) = router.pick_at(black_box(&["github"]), now) {
                    attempt.succeed(now + STEP);
                }
            }
        });
        if servers > 1_000 {
            continue; // theirs does not change any more
        }
        let theirs = Mutex::new(theirs(servers));
        one(c, &row, "tower", || {
            let theirs = &theirs;
            let mut balance = theirs.lock().expect("nobody panics");
            move || {
                let called = async { balance.ready().await?.call(1).await };
                drop(black_box(ready(called)));
            }
        });
        both_shared(c, &row, &theirs);
    }
}

fn both_shared(c: &mut Criterion, row: &str, theirs: &Mutex<impl Service<u32> + Send>) {
    both(c, row, "tower, shared", || {
        || {
            let mut balance = theirs.lock().expect("nobody panics");
            let called = async { balance.ready().await.map_err(drop)?.call(1).await.map_err(drop) };
            let _ = black_box(ready(called));
        }
    });
}

pub(crate) fn ours(servers: usize) -> Router {
    let router = Router::default();
    let registrations =
        (0..servers).map(|n| Registration::new(format!("server {n}")).capabilities(["github"]));
    let ids = router.extend(registrations);
    let now = Instant::from_nanos(3_600_000_000_000);
    for (n, id) in ids.iter().enumerate() {
        let attempt = router.start_at(*id, now).expect("just added");
        attempt.succeed(now + Duration::from_millis(10 + n as u64 % 7));
    }
    router
}

fn theirs(
    servers: usize,
) -> impl Service<u32, Response = u32, Error = tower::BoxError, Future: Send> + Send {
    let service = || {
        let inner = tower::service_fn(|it: u32| std::future::ready(Ok::<_, Infallible>(it)));
        PeakEwma::new(inner, Duration::from_millis(10), 1e10, CompleteOnResponse::default())
    };
    let list: Vec<_> = (0..servers).map(|_| service()).collect();
    Balance::new(ServiceList::new::<u32>(list))
}
