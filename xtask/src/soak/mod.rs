//! `cargo xtask soak`: load, faults and reloads together, for as long as one likes, and what that does to a gateway.

mod client;
mod faults;
mod load;
mod loops;
mod measure;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use self::client::Visit;
use self::faults::{Config, Faults, health, in_flight};
use self::load::Load;
use self::loops::{Loops, Mind};
use self::measure::{Samples, percentile};
use self::server::Web;
pub(crate) use self::server::serve_stdio;
use crate::Failure;
use crate::command::Cargo;
use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::ledger::{Asker, Holdings};
use crate::processes::{self, below, pause, until};
use crate::workspace::Workspace;

/// Clients over HTTP, and clients over stdio with a gateway of their own each; every second one is modern.
const HTTP: u32 = 8;
const STDIO: u32 = 2;
/// How long nothing goes wrong at the beginning and at the end.
const WARM_UP: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_secs(20);
/// How soon after the last fault enough must be answered.
const BOUND: Duration = Duration::from_secs(10);
/// How long all may take to come to rest.
const REST: Duration = Duration::from_secs(60);
/// The most memory that a gateway may ever have, and the most that it may grow by in a minute, in KiB.
const MEMORY_MAX: u64 = 256 << 10;
const SLOPE_MAX: f64 = 1_024.0;
/// The shortest time by which a growth of memory is told from a warm-up: tables, records and the allocator's arenas fill for
/// minutes.
const SLOPE_SPAN: Duration = Duration::from_secs(180);
/// How long a call may take, in milliseconds; reloads add a little to it.
const TIMEOUT: u64 = 5_000;
/// How often progress is told.
const TOLD_EVERY: u64 = 10;

/// For how long, and what of it is kept.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long faults go on; a little is added before and after. Memory's growth is judged from 4 minutes on
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// Writes the figures to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Throws the same faults again
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Tries this program instead of building one
    #[arg(long, value_name = "FILE")]
    toolweir: Option<PathBuf>,
}

/// Runs it, and prints what came of it; whether nothing was wrong.
///
/// # Errors
/// Fails where the gateway does not start, or something cannot be measured.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let program = match &options.toolweir {
        Some(program) => program.canonicalize()?,
        None => {
            let build = Cargo::new("build --locked --release -p toolweir --bin toolweir");
            if !build.run(&workspace.root)? {
                return Err(format!("`{build}` failed").into());
            }
            workspace.target.join("release").join("toolweir")
        }
    };
    processes::end_on_signals()?;
    processes::end_after(Duration::from_secs((options.minutes + 10) * 60));
    let folder = workspace.target.join("soak");
    fs::create_dir_all(&folder)?;
    let figures = Soak::start(&program, &folder, options)?.run(options.minutes)?;
    println!("\n{}", told(&figures));
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(figures["met"] == true)
}

/// All that runs.
struct Soak {
    seed: u64,
    program: PathBuf,
    gateway: Gateway,
    admin: std::net::SocketAddr,
    web: Web,
    config: Config,
    load: Load,
    samples: Mutex<Samples>,
    /// The most memory that any gateway over stdio had.
    peak_of_stdio: Mutex<u64>,
}

impl Soak {
    fn start(program: &Path, folder: &Path, options: &Options) -> Result<Self, Failure> {
        let web = Web::start()?;
        let config = Config::new(folder, web.address)?;
        config.write(false, TIMEOUT)?;
        Mind::new(&config.loops).clear()?;
        let mut command = Command::new(program);
        command.env("TOOLWEIR_LOG", "error");
        let log = folder.join("gateway.log");
        let servers = ["steady", "child", "web", loops::NAME];
        let gateway = Gateway::serve(command, log, &config.file, &servers, &[])?;
        let admin = gateway.admin().ok_or("the gateway has no admin listener")?;
        Ok(Self {
            seed: options.seed,
            program: program.to_owned(),
            gateway,
            admin,
            web,
            config,
            load: Load::new(),
            samples: Mutex::default(),
            peak_of_stdio: Mutex::default(),
        })
    }

    fn run(self, minutes: u64) -> Result<Value, Failure> {
        println!(
            "gateway {} at {}, seed {}, {HTTP} clients over HTTP and {STDIO} over stdio",
            self.gateway.id(),
            self.gateway.address,
            self.seed
        );
        let before = self.at_rest(None)?;
        let dice = Dice::new(self.seed);
        let faults = std::thread::scope(|scope| {
            for number in 0..HTTP + STDIO {
                let asker = Asker { client: number, principal: 0 };
                let (soak, dice) = (&self, dice.other(u64::from(number)));
                scope.spawn(move || soak.load.live(asker, dice, || soak.come(number)));
            }
            scope.spawn(|| self.watch());
            let done = self.strike(dice.other(1_000), Duration::from_secs(minutes * 60));
            if done.is_err() {
                self.load.stop(); // the clients' threads end, and the failure is told
            }
            done
        })?;
        let healed = self.load.watch.elapsed() - QUIET;
        let took = lock(&self.load.goodput).back(healed, healed + QUIET - Duration::from_secs(1));
        self.load.ledger.recovers("goodput", took, BOUND);
        let after = self.at_rest(Some(&before))?;
        self.load.ledger.holds(&before, &after, MEMORY_MAX);
        self.load.ledger.at_rest("calls in flight", 0, in_flight(self.admin)?);
        let figures = self.figures(healed, took, &before, &after, faults);
        self.end(figures)
    }

    /// A client's way in; those over stdio have a gateway each.
    fn come(&self, number: u32) -> Result<Visit, Failure> {
        let is_modern = number % 2 == 1;
        if number < HTTP {
            return Visit::http(self.gateway.address, is_modern);
        }
        let mut command = Command::new(&self.program);
        command.args(["serve", "--stdio", "--config"]).arg(&self.config.whole);
        Visit::stdio(&mut command, is_modern)
    }

    /// Waits for the warm-up, then does harm for so long, then lets all be well; stops the load.
    fn strike(&self, dice: Dice, time: Duration) -> Result<Value, Failure> {
        pause(WARM_UP);
        let mut faults = Faults {
            load: &self.load,
            gateway: &self.gateway,
            admin: self.admin,
            web: &self.web,
            config: &self.config,
            dice,
            done: Default::default(),
            reloads: 0,
            lost: None,
        };
        faults.leave()?; // over both transports, in the shortest run too
        let end = self.load.watch.elapsed() + time;
        // One child crashes again and again beside all that; the last of its loops is waited for.
        let loops = Loops::new(&self.load, &self.gateway, self.admin, &self.config.loops);
        let loops = std::thread::scope(|scope| {
            let looping = scope.spawn(|| loops.run(end));
            while self.load.watch.elapsed() < end || !looping.is_finished() {
                if let Err(failure) = faults.strike() {
                    self.load.stop(); // the loops end as well
                    return Err(failure);
                }
            }
            looping.join().map_err(|_| "the one who has a child crash panicked")?
        })?;
        self.config.write(false, TIMEOUT)?;
        pause(QUIET);
        self.load.stop();
        let told: serde_json::Map<String, Value> = faults
            .told()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        let left = self.load.left();
        for (way, count) in ["HTTP", "stdio"].iter().zip(left) {
            if count == 0 {
                self.load
                    .ledger
                    .wrong(format!("no client over {way} left in the middle of a call"));
            }
        }
        let left = json!({ "http": left[0], "stdio": left[1] });
        Ok(
            json!({ "kinds": told, "reloads": faults.reloads, "crashLoops": loops, "leftInACall": left }),
        )
    }

    /// Takes samples and tells of progress until the load is stopped.
    fn watch(&self) {
        for second in 1_u64.. {
            pause(Duration::from_secs(1));
            if self.load.is_stopped() {
                return;
            }
            let now = self.load.watch.elapsed();
            let Some(held) = Holdings::of(self.gateway.id()) else {
                self.load.ledger.wrong("the gateway is gone".to_owned());
                return;
            };
            lock(&self.samples).push(now, held);
            for gateway in below(std::process::id()) {
                if gateway.command.contains("--stdio")
                    && let Some(held) = Holdings::of(gateway.id)
                {
                    let mut peak = lock(&self.peak_of_stdio);
                    *peak = held.peak.max(*peak);
                }
            }
            if second % TOLD_EVERY == 0 {
                let from = now.saturating_sub(Duration::from_secs(TOLD_EVERY));
                let latencies = self.load.latencies(from, now);
                let share = lock(&self.load.goodput).share(from, now).unwrap_or_default();
                println!(
                    "{:>5} s  {held}  good {:>5.1} %  p50 {:>6.2} ms  p99 {:>7.2} ms",
                    now.as_secs(),
                    share * 100.0,
                    millis(percentile(&latencies, 0.5)),
                    millis(percentile(&latencies, 0.99)),
                );
            }
        }
    }

    /// What the gateway holds once nothing goes on: connections to the HTTP server are closed, and waited for.
    fn at_rest(&self, before: Option<&Holdings>) -> Result<Holdings, Failure> {
        let mut held = None;
        let is_at_rest = |held: &Holdings| {
            let is_before = |before: &&Holdings| {
                (before.descriptors, before.children) == (held.descriptors, held.children)
            };
            before.is_none_or(|before| is_before(&before))
        };
        until(REST, || {
            self.web.hang_up();
            pause(Duration::from_millis(500));
            let is_quiet = self.web.open() == 0 && in_flight(self.admin).is_ok_and(|it| it == 0);
            held = Holdings::of(self.gateway.id());
            is_quiet && held.as_ref().is_some_and(is_at_rest)
        });
        held.ok_or_else(|| "the gateway is gone".into())
    }

    fn figures(
        &self,
        healed: Duration,
        back: Option<Duration>,
        before: &Holdings,
        after: &Holdings,
        faults: Value,
    ) -> Value {
        let quarter = (healed.saturating_sub(WARM_UP)) / 4;
        let spans = [(WARM_UP, WARM_UP + quarter), (healed.saturating_sub(quarter), healed)];
        let [first, last] = spans.map(|(from, to)| {
            let latencies = self.load.latencies(from, to);
            [0.5, 0.99].map(|share| millis(percentile(&latencies, share)))
        });
        let samples = lock(&self.samples);
        // What is kept up to a bound, such as records and idle connections, is full by then.
        let slope = samples.slope(WARM_UP + quarter);
        let judged = self.load.watch.elapsed().saturating_sub(WARM_UP + quarter);
        let is_judged = judged >= SLOPE_SPAN;
        if is_judged && slope > SLOPE_MAX {
            self.load.ledger.wrong(format!("I5: memory grows by {slope:.0} KiB a minute"));
        }
        let slope_over = match is_judged {
            true => format!("the last {} s; at most {SLOPE_MAX}", judged.as_secs()),
            false => format!(
                "not judged: {} s after the warm-up, and {} s are needed (--minutes 4)",
                judged.as_secs(),
                SLOPE_SPAN.as_secs()
            ),
        };
        let peak_of_stdio = *lock(&self.peak_of_stdio);
        if peak_of_stdio > MEMORY_MAX {
            let text = format!("I5: a gateway over stdio had {peak_of_stdio} KiB of memory");
            self.load.ledger.wrong(text);
        }
        let goodput = lock(&self.load.goodput);
        let share = |from, to| goodput.share(from, to).map(|share| round(share * 100.0));
        let spread = |of: fn(&Holdings) -> u64| {
            let [least, median, most] = samples.spread(WARM_UP, of);
            json!({ "least": least, "median": median, "most": most })
        };
        json!({
            "seed": self.seed,
            "seconds": self.load.watch.elapsed().as_secs(),
            "faults": faults,
            "memoryKiB": { "before": before.memory, "after": after.memory, "peak": after.peak,
                "slopePerMinute": round(slope), "slopeOver": slope_over, "peakOverStdio": peak_of_stdio,
                "underLoad": spread(|held| held.memory) },
            "descriptors": { "before": before.descriptors, "after": after.descriptors,
                "underLoad": spread(|held| held.descriptors) },
            "children": { "before": before.children, "after": after.children,
                "underLoad": spread(|held| held.children) },
            "latencyMs": { "p50": first[0], "p50Drift": round(last[0] - first[0]),
                "p99": first[1], "p99Drift": round(last[1] - first[1]) },
            "goodputPercent": { "warmUp": share(Duration::ZERO, WARM_UP), "faults": share(WARM_UP, healed),
                "quiet": share(healed, healed + QUIET), "backAfterMs": back.map(|it| it.as_millis() as u64) },
        })
    }

    /// Ends the gateway, closes the book, and adds what it says.
    fn end(self, mut figures: Value) -> Result<Value, Failure> {
        let Self { gateway, load, admin, .. } = self;
        let servers = health(admin)?;
        let ids = servers["upstreams"].as_array().into_iter().flatten();
        let ids: Vec<u64> = ids.filter_map(|server| server["process_id"].as_u64()).collect();
        if let Err(failure) = gateway.end() {
            load.ledger.wrong(format!("I6: {failure}"));
        }
        for id in ids.into_iter().filter(|id| Path::new(&format!("/proc/{id}/fd/0")).exists()) {
            load.ledger.wrong(format!("I5: the child {id} outlives the gateway"));
        }
        for process in
            below(std::process::id()).iter().filter(|it| it.command.contains("soak-server"))
        {
            load.ledger.wrong(format!("I5: {} is left: {}", process.id, process.command));
        }
        let tally = load.ledger.close();
        figures["ledger"] = json!({
            "asked": tally.asked, "answered": tally.answered, "failed": tally.failed, "left": tally.left,
            "violations": tally.violations, "told": load.ledger.told(), "troubles": load.troubles(),
        });
        figures["met"] = (tally.violations == 0).into();
        Ok(figures)
    }
}

/// The figures for people.
fn told(figures: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in figures.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(members) => lines.extend(
                members.iter().map(|(member, value)| format!("{name:<15} {member:<16} {value}")),
            ),
            None => lines.push(format!("{name:<32} {value}")),
        }
    }
    lines.join("\n")
}

fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1_000.0)
}

/// To two places.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
