//! A gateway between many clients and servers that do everything wrong, on a clock that nobody waits for.
//!
//! Clients of both eras count their ids alike, cancel, leave and come back; servers answer in any order, twice, never, what
//! nobody asked, and go away in the middle. All is thrown by [dice](crate::peer::dice); a failing run tells its seed, and
//! `TOOLWEIR_SEED` repeats it. The ledger holds what must be true against it.

mod client;
mod reader;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use toolweir::core::{Clock, Instant, TokioClock};
use toolweir::wire::{Options, Service, StdioServer};
use toolweir::{Member, Orchestrator};

use self::client::Client;
use self::reader::Reader;
use crate::fidelity::in_flight;
use crate::ledger::{Asker, Goodput, Ledger};
use crate::peer::dice::Dice;

const CLIENTS: u32 = 200;
/// Callers without a wire, each a principal of its own, who read what may be kept.
const READERS: u32 = 20;
const SERVERS: [&str; 4] = ["a", "b", "c", "d"];
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long all are well at the end.
const HEALED: Duration = Duration::from_secs(15);
/// How soon after that enough must be answered.
const BOUND: Duration = Duration::from_secs(10);

/// What all who take part share.
struct World {
    ledger: Ledger,
    /// What was said or heard by anybody.
    steps: AtomicU64,
    target: u64,
    healed: AtomicBool,
    begun: Instant,
    goodput: std::sync::Mutex<Goodput>,
}

impl World {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn is_done(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.target
    }

    fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        TokioClock.now() - self.begun
    }

    /// A request that was made at `at` ended well or not.
    fn ended(&self, at: Duration, is_good: bool) {
        self.goodput.lock().unwrap().record(at, is_good);
    }
}

/// What a run came to.
struct Run {
    steps: u64,
    asked: u64,
    answered: u64,
}

/// One world, from its beginning until nothing of it is left.
async fn live(dice: &Dice, target: u64) -> Run {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64;
    let tasks_before = tasks();
    let world = Arc::new(World {
        ledger: Ledger::default(),
        steps: AtomicU64::new(0),
        target,
        healed: AtomicBool::new(false),
        begun: TokioClock.now(),
        goodput: std::sync::Mutex::new(Goodput::new(Duration::from_secs(1))),
    });
    let mut builder = Orchestrator::builder();
    for (number, name) in (0..).zip(SERVERS) {
        let streams = server::streams(world.clone(), dice.other(number), number % 2 == 1);
        let server = StdioServer::over(name, streams, Options::default());
        let breaker = toolweir_breaker::Config::default().cooldown(Duration::from_secs(2));
        let member = Member::new(name, Arc::new(server)).trusted().ttl(Duration::from_secs(1));
        builder = builder.member(member.breaker(breaker).rate_limit(None).timeout(TIMEOUT));
    }
    let orchestrator = builder.start().unwrap();
    orchestrator.ready(Duration::from_secs(600)).await;
    let service = Service::new(Arc::new(orchestrator.clone()));
    let mut everybody = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let asker = Asker { client: number, principal: 0 };
        let dice = dice.other(100 + u64::from(number));
        let client = Client::new(world.clone(), service.clone(), asker, dice);
        everybody.spawn(client.live());
    }
    for number in 0..READERS {
        let asker = Asker { client: CLIENTS + number, principal: 1 + number };
        let dice = dice.other(1_000 + u64::from(number));
        everybody.spawn(Reader::new(world.clone(), orchestrator.clone(), asker, dice).live());
    }
    while !world.is_done() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let healed = world.now();
    world.healed.store(true, Ordering::Relaxed);
    while let Some(ended) = everybody.join_next().await {
        ended.unwrap();
    }
    let took = world.goodput.lock().unwrap().back(healed, healed + HEALED);
    world.ledger.recovers("goodput", took, BOUND);
    world.ledger.at_rest("calls in flight", 0, in_flight(&orchestrator));
    drop(service);
    orchestrator.shutdown(Duration::from_secs(5)).await;
    drop(orchestrator);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.ledger.at_rest("tasks", tasks_before, tasks());
    let tally = world.ledger.balances();
    let steps = world.steps.load(Ordering::Relaxed);
    Run { steps, asked: tally.asked, answered: tally.answered }
}

/// Nobody gets what is another's, everything ends once, nothing is left.
#[test]
fn whatever_goes_wrong_everybody_gets_their_own() {
    let (shards, steps) = if crate::peer::full() { (4, 2_500_000) } else { (1, 20_000) };
    let shard = |number: u64| {
        let dice = Dice::of_environment(1 + number);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(live(&dice, steps))
    };
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let shards: Vec<_> = (0..shards).map(|number| scope.spawn(move || shard(number))).collect();
        shards.into_iter().map(|shard| shard.join().expect("it tells its seed above")).collect()
    });
    let sum = |of: fn(&Run) -> u64| runs.iter().map(of).sum::<u64>();
    let (steps, asked, answered) =
        (sum(|run| run.steps), sum(|run| run.asked), sum(|run| run.answered));
    assert!(answered * 2 > asked, "too little is answered to tell: {answered} of {asked}");
    let figure = format!("{steps} simulated steps, {asked} calls, 0 wrong");
    crate::peer::measured("1", &figure, true);
}
