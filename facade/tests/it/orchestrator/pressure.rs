//! More is asked than can be done, and what is down comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolweir::core::{Clock, Kind, TokioClock};
use toolweir::{Member, Orchestrator};
use toolweir_ratelimit::GateConfig;

use super::scripted::{Does, Scripted};
use super::{call, started};
use crate::fidelity::in_flight;
use crate::ledger::{Goodput, Ledger};

/// How often calls are made, all of a turn at once.
const TURN: Duration = Duration::from_millis(5);

/// So many calls at each turn for so long, whatever becomes of them; gives the errors.
async fn offered(
    orchestrator: &Orchestrator,
    tool: &'static str,
    each_turn: usize,
    time: Duration,
    goodput: &Arc<Mutex<Goodput>>,
    meanwhile: impl Fn(Duration),
) -> Vec<Kind> {
    let mut calls = tokio::task::JoinSet::new();
    let begun = TokioClock.now();
    let mut at = Duration::ZERO;
    while at < time {
        meanwhile(at);
        for _ in 0..each_turn {
            let (orchestrator, goodput) = (orchestrator.clone(), goodput.clone());
            calls.spawn(async move {
                let result = call(&orchestrator, tool).await;
                goodput.lock().unwrap().record(at, result.is_ok());
                result.err().map(|error| error.kind())
            });
        }
        at += TURN;
        tokio::time::sleep(TURN).await;
    }
    assert_eq!(TokioClock.now() - begun, time, "the rate is what it is meant to be");
    calls.join_all().await.into_iter().flatten().collect()
}

/// FAULTS 31: eight places of 100 ms each are 80 calls a second; ten times as many are asked.
#[tokio::test(start_paused = true)]
async fn ten_times_the_load_takes_nothing_from_what_can_be_done() {
    let server = Scripted::new("s", &["work"]);
    server.does(Does::Take(Duration::from_millis(100)));
    let gate =
        GateConfig::default().max_in_flight(8).max_waiting(16).max_wait(Duration::from_secs(1));
    let member = Member::new("s", server.clone()).concurrency(gate).rate_limit(None);
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let goodput = Arc::new(Mutex::new(Goodput::new(Duration::from_secs(1))));
    // 800 a second.
    let time = Duration::from_secs(20);
    let kinds = offered(&orchestrator, "s__work", 4, time, &goodput, |_| {}).await;
    let done = server.calls();
    // Those that wait at the end are done yet.
    let capacity = 80 * 20 + 16;
    let asked = done + kinds.len();
    assert_eq!(asked, 16_000);
    // What cannot be done is refused before it is sent, and nothing else goes wrong.
    assert!(kinds.iter().all(|kind| *kind == Kind::Overloaded), "{kinds:?}");
    let ledger = Ledger::default();
    ledger.at_rest("calls in flight", 0, in_flight(&orchestrator));
    ledger.balances();
    let share = done * 100 / capacity;
    let figure = format!("10 × the load: {share} % of what can be done is done");
    crate::peer::measured("31", &figure, share >= 80);
}

/// FAULTS 17: the server is gone for half a minute under load, and then well again.
/// Its breaker tries it every five seconds.
#[tokio::test(start_paused = true)]
async fn after_an_outage_enough_is_answered_within_ten_seconds() {
    const OUTAGE: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(53)];
    const BOUND: Duration = Duration::from_secs(10);
    let server = Scripted::new("s", &["read"]);
    server.does(Does::Take(Duration::from_millis(5)));
    let breaker = toolweir_breaker::Config::default().cooldown(Duration::from_secs(5));
    let member = Member::new("s", server.clone()).trusted().uncached().breaker(breaker);
    let member = member.rate_limit(None);
    let orchestrator = started(Orchestrator::builder().member(member)).await;
    let goodput = Arc::new(Mutex::new(Goodput::new(Duration::from_secs(1))));
    let counts = Mutex::new([0; 2]);
    let meanwhile = |at: Duration| {
        for (edge, (count, does)) in OUTAGE.into_iter().zip(
            counts
                .lock()
                .unwrap()
                .iter_mut()
                .zip([Does::Fail(Kind::Disconnected.into()), Does::Take(Duration::from_millis(5))]),
        ) {
            if at == edge {
                *count = server.calls();
                server.does(does);
            }
        }
    };
    let time = Duration::from_secs(90);
    offered(&orchestrator, "s__read", 1, time, &goodput, meanwhile).await;
    let [before, after] = *counts.lock().unwrap();
    let (sent, asked) = (after - before, 33 * 200);
    let back = goodput.lock().unwrap().back(OUTAGE[1], time);
    let share = goodput.lock().unwrap().share(Duration::ZERO, OUTAGE[0]);
    assert_eq!(share, Some(1.0), "all is well before");
    let ledger = Ledger::default();
    ledger.recovers("the server", back, BOUND);
    ledger.at_rest("calls in flight", 0, in_flight(&orchestrator));
    ledger.balances();
    let figure = format!(
        "33 s of outage: {asked} calls, sent {sent} times; 95 % answered again {} s after it",
        back.unwrap_or_default().as_secs()
    );
    crate::peer::measured("17", &figure, sent <= asked * 11 / 10 + 10 + 33);
}
