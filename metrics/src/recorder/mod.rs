//! The edge: clocks, and what is shared.

mod judge;
mod operation;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use toolweir_core::{Clock, Instant, MonotonicClock};

use crate::alert::{Alert, AlertEvent, Book, Key};
use crate::config::{Alerts, Config, InvalidConfig};
use crate::events::{CacheCounts, CacheState, ServerEvents};
use crate::health::{Dashboard, Health, SystemHealth};
use crate::histogram;
use crate::ring::{Compact, NO_TEXT, SUCCESS};
use crate::rule::Rule;
use crate::rules::Rules;
use crate::score::Score;
use crate::sink::Sink;
use crate::slot::{Family, OperationSlot, ServerSlot, lock};
use crate::statistics::{Statistics, Summary, millis, nanos};
use crate::stripe::Stripes;
use crate::table::{Names, Table};
use crate::texts::Texts;
use crate::timestamp::Timestamp;
use crate::window::Window;

pub use self::operation::{Operation, Record, Sample};

/// How many alerts the dashboard shows.
const DASHBOARD_ALERTS: usize = 10;
/// How many sinks there can be.
const MAX_SINKS: usize = 16;

/// Counts operations, and tells how they do.
///
/// Cheap to clone; clones share everything. Recording allocates nothing once an operation, a thread and an
/// error's text have been seen.
#[derive(Clone)]
pub struct Recorder {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    config: Config,
    clock: Arc<dyn Clock>,
    wall: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// What has to be added to the clock's nanoseconds to get those since 1970.
    wall_offset: AtomicI64,
    latency: u64,
    stripes: Stripes,
    pub(crate) table: Table,
    texts: Mutex<Texts>,
    book: Mutex<Book>,
    rules: Mutex<Rules>,
    sinks: ArcSwap<Vec<Arc<dyn Sink>>>,
    pub(crate) cache: CacheState,
}

/// One operation of one server, looked up once: recording through it costs no search for names.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    slot: Arc<OperationSlot>,
}

impl Handle {
    /// Records an operation that ended now.
    pub fn record(&self, sample: Sample<'_>) {
        self.record_at(sample, self.shared.clock.now());
    }

    /// Records an operation that ended at `now`.
    #[inline]
    pub fn record_at(&self, sample: Sample<'_>, now: Instant) {
        self.shared.record(&self.slot, &sample, now);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?})", self.slot)
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge that stamps records for people")]
fn system_time() -> SystemTime {
    SystemTime::now()
}

impl Default for Recorder {
    fn default() -> Self {
        Self::build(Config::default(), Arc::new(MonotonicClock), Box::new(system_time))
    }
}

impl Recorder {
    /// A recorder with the system's clocks.
    ///
    /// # Errors
    /// Fails where a value of `config` makes no sense.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        Self::with_clocks(config, Arc::new(MonotonicClock), system_time)
    }

    /// A recorder that measures time by `clock` and stamps records for people by `wall`.
    ///
    /// # Errors
    /// Fails where a value of `config` makes no sense.
    pub fn with_clocks(
        config: Config,
        clock: Arc<dyn Clock>,
        wall: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self::build(config, clock, Box::new(wall)))
    }

    fn build(
        mut config: Config,
        clock: Arc<dyn Clock>,
        wall: Box<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        let shared = Shared {
            latency: nanos(config.alerts.latency()),
            table: Table::new(&config),
            stripes: Stripes::new(config.max_records),
            wall_offset: AtomicI64::new(0),
            texts: Mutex::new(Texts::new()),
            book: Mutex::new(Book::new()),
            rules: Mutex::new(Rules::new(std::mem::take(&mut config.alerts.rules))),
            sinks: ArcSwap::default(),
            cache: CacheState::default(),
            config,
            clock,
            wall,
        };
        shared.read_wall(shared.clock.now());
        Self { shared: Arc::new(shared) }
    }

    /// Tells `sink` of every alert from now on; `false` where there are 16 sinks already.
    pub fn add_sink(&self, sink: impl Sink + 'static) -> bool {
        let sink: Arc<dyn Sink> = Arc::new(sink);
        let before = self.shared.sinks.rcu(|sinks| {
            let mut sinks = Vec::clone(sinks);
            if sinks.len() < MAX_SINKS {
                sinks.push(sink.clone());
            }
            sinks
        });
        before.len() < MAX_SINKS
    }

    /// Takes other rules while alerts are active. A rule that is exactly as before goes on, and so does what it has
    /// raised; what others had raised is over.
    ///
    /// # Errors
    /// Fails where a rule makes no sense or there are too many; then nothing changes.
    pub fn set_rules(&self, rules: Vec<Rule>) -> Result<(), InvalidConfig> {
        let alerts = Alerts { rules, ..Alerts::default() };
        alerts.validate()?;
        let mut held = lock(&self.shared.rules);
        for (rule, server) in held.replace(alerts.rules) {
            lock(&self.shared.book).resolve(Key::Rule(rule, server));
        }
        drop(held);
        self.shared.tell();
        Ok(())
    }

    /// The rules that hold.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        lock(&self.shared.rules).each().0.iter().map(|held| held.rule.clone()).collect()
    }

    /// Looks up one operation of one server once, for recording it often.
    #[must_use]
    pub fn bind(&self, server: &str, operation: &str) -> Handle {
        let now = self.shared.clock.now();
        let slot = self.shared.table.operation(server, Family::Plain, operation, now, Arc::clone);
        Handle { shared: self.shared.clone(), slot }
    }

    /// Records an operation that ended now.
    pub fn record(&self, operation: Operation<'_>) {
        self.record_at(operation, self.shared.clock.now());
    }

    /// Records an operation that ended at `now`.
    pub fn record_at(&self, operation: Operation<'_>, now: Instant) {
        let Operation {
            name,
            server,
            duration,
            success,
            error,
            timestamp,
            request_bytes,
            response_bytes,
        } = operation;
        let sample = Sample { duration, success, error, timestamp, request_bytes, response_bytes };
        self.shared.table.operation(server, Family::Plain, name, now, |slot| {
            self.shared.record(slot, &sample, now);
        });
    }

    /// The records that are kept, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let compact = self.shared.compact();
        let names = self.shared.table.names();
        let texts = lock(&self.shared.texts);
        let record = |record: &Compact| {
            let slot = names.operations.get(record.slot as usize)?;
            Some(Record {
                operation_name: slot.name.clone(),
                server_name: slot.server.name.clone(),
                duration_ms: millis(record.nanos),
                success: record.text == SUCCESS,
                error_message: texts.get(record.text).map(str::to_owned),
                timestamp: Timestamp::from_unix_nanos(record.wall),
                request_size_bytes: record.request_bytes,
                response_size_bytes: record.response_bytes,
            })
        };
        compact.iter().filter_map(record).collect()
    }

    /// The exact figures of the kept records, of one server or of all; `None` where there are none.
    #[must_use]
    pub fn statistics(&self, server: Option<&str>) -> Option<Statistics> {
        self.statistics_over(Window::Records, server)
    }

    /// The figures of a window, of one server or of all; `None` where nothing happened in it.
    #[must_use]
    pub fn statistics_over(&self, window: Window, server: Option<&str>) -> Option<Statistics> {
        self.shared.window(&self.shared.table.names(), window, server, self.shared.clock.now())
    }

    /// The figures of one operation since the recorder was made; `None` where it never ran.
    #[must_use]
    pub fn operation_statistics(&self, server: &str, operation: &str) -> Option<Statistics> {
        let names = self.shared.table.names();
        let mut summary = Summary::new(histogram::BUCKETS);
        let slots = names.operations.iter();
        slots
            .filter(|slot| &*slot.server.name == server && &*slot.name == operation)
            .for_each(|slot| slot.cells.read(&mut summary));
        summary.statistics(histogram::middle)
    }

    /// Everything at one glance.
    #[must_use]
    pub fn dashboard(&self) -> Dashboard {
        let compact = self.shared.compact();
        let names = self.shared.table.names();
        let mut by_server: BTreeMap<&str, (Vec<u64>, u64)> = BTreeMap::new();
        for record in &compact {
            if let Some(slot) = names.operations.get(record.slot as usize) {
                let (durations, successful) = by_server.entry(&slot.server.name).or_default();
                durations.push(record.nanos);
                *successful += u64::from(record.text == SUCCESS);
            }
        }
        let statistics = |(name, (mut durations, successful)): (&str, (Vec<u64>, u64))| {
            Some((name.to_owned(), Statistics::exact(&mut durations, successful)?))
        };
        let servers: BTreeMap<_, _> = by_server.into_iter().filter_map(statistics).collect();
        Dashboard {
            timestamp: self.shared.timestamp(),
            total_operations: compact.len() as u64,
            servers,
            active_alerts: self.active_alerts_at_most(DASHBOARD_ALERTS),
            system_health: SystemHealth::of(self.statistics(None).as_ref()),
        }
    }

    /// How the kept records stand against the thresholds.
    #[must_use]
    pub fn health(&self) -> Health {
        let thresholds = &self.shared.config.alerts.thresholds;
        Health::of(self.statistics(None).as_ref(), thresholds, self.shared.timestamp())
    }

    /// Looks at the rules, and at whether alerts are over because nothing happened.
    ///
    /// Every look at the alerts does this too; a program that wants its sinks told in time calls it every few
    /// seconds.
    pub fn evaluate(&self) {
        let now = self.shared.clock.now();
        self.shared.expire(now);
        self.shared.evaluate(now);
        self.shared.tell();
    }

    /// A server's health as a number with reasons, from the last five minutes; `None` where it is not known.
    #[must_use]
    pub fn score(&self, server: &str) -> Option<Score> {
        let events = self.server_events(server)?;
        let statistics = self.statistics_over(Window::FiveMinutes, Some(server));
        Some(Score::of(statistics.as_ref(), &events, &self.shared.config.alerts.thresholds))
    }

    /// Every active alert, oldest first.
    #[must_use]
    pub fn active_alerts(&self) -> Vec<Alert> {
        self.active_alerts_at_most(usize::MAX)
    }

    fn active_alerts_at_most(&self, most: usize) -> Vec<Alert> {
        self.evaluate();
        lock(&self.shared.book).active(most)
    }

    /// The last 100 beginnings and ends of alerts, oldest first.
    #[must_use]
    pub fn alert_history(&self) -> Vec<AlertEvent> {
        self.evaluate();
        lock(&self.shared.book).history()
    }

    /// What was heard of a server through [`Observer`](toolweir_core::Observer); `None` where it is not known.
    #[must_use]
    pub fn server_events(&self, server: &str) -> Option<ServerEvents> {
        self.shared.table.names().server(server).map(|server| server.state.events())
    }

    /// What was heard of the cache.
    #[must_use]
    pub fn cache_counts(&self) -> CacheCounts {
        self.shared.cache.read()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.shared.config;
        f.debug_struct("Recorder").field("config", config).finish_non_exhaustive()
    }
}

impl Shared {
    /// Records one operation. The ordinary path is short enough to stand in the caller.
    #[inline(always)]
    pub(crate) fn record(&self, slot: &OperationSlot, sample: &Sample<'_>, now: Instant) {
        let server = &*slot.server;
        if server.is_due(now) {
            self.roll(server, now);
        }
        let nanos = nanos(sample.duration);
        let text = if sample.success { SUCCESS } else { self.text(sample.error) };
        let record = Compact {
            wall: match sample.timestamp {
                Some(timestamp) => timestamp.as_unix_nanos(),
                None => self.wall(now),
            },
            nanos,
            slot: slot.id,
            text,
            request_bytes: sample.request_bytes,
            response_bytes: sample.response_bytes,
        };
        let index = histogram::index(nanos);
        let turn = self.stripes.take();
        slot.cells.of(turn.index).count(nanos, index, sample.success);
        server.cells.of(turn.index).count(nanos, index, sample.success);
        turn.ring().push(&record);
        drop(turn);
        if !sample.success || nanos >= server.judged_from.load(Relaxed) {
            self.judge(slot, nanos, sample.success, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn roll(&self, server: &ServerSlot, now: Instant) {
        server.roll(now);
        self.read_wall(now);
    }

    #[cold]
    #[inline(never)]
    fn text(&self, error: Option<&str>) -> u32 {
        error.map_or(NO_TEXT, |error| lock(&self.texts).number(error))
    }

    /// The figures of a window.
    fn window<'a>(
        &self,
        names: &Names,
        window: Window,
        server: impl Into<Option<&'a str>>,
        now: Instant,
    ) -> Option<Statistics> {
        let server = server.into();
        let wanted = |name: &str| server.is_none_or(|server| server == name);
        match window {
            Window::Records => {
                let mut durations = Vec::new();
                let mut successful = 0;
                for record in self.compact() {
                    let slot = names.operations.get(record.slot as usize);
                    if slot.is_some_and(|slot| wanted(&slot.server.name)) {
                        durations.push(record.nanos);
                        successful += u64::from(record.text == SUCCESS);
                    }
                }
                Statistics::exact(&mut durations, successful)
            }
            Window::Lifetime => {
                let mut summary = Summary::new(histogram::BUCKETS);
                let slots = names.operations.iter().filter(|slot| wanted(&slot.server.name));
                slots.for_each(|slot| slot.cells.read(&mut summary));
                summary.statistics(histogram::middle)
            }
            Window::Minute | Window::FiveMinutes | Window::Hour => {
                let mut summary = Summary::new(histogram::COARSE);
                let servers = names.servers().filter(|server| wanted(&server.name));
                servers.for_each(|server| server.read(window, now, &mut summary));
                summary.statistics(histogram::coarse_middle)
            }
        }
    }

    /// The kept records, oldest first.
    fn compact(&self) -> Vec<Compact> {
        let mut records = Vec::new();
        self.stripes.rings().for_each(|ring| ring.copy(&mut records));
        records.sort_by_key(|record| record.wall);
        let surplus = records.len().saturating_sub(self.config.max_records);
        records.drain(..surplus);
        records
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from((self.wall)())
    }

    /// Looks at the wall clock, so that it may be set while the program runs.
    #[cold]
    fn read_wall(&self, now: Instant) {
        let wall = Timestamp::from((self.wall)()).as_unix_nanos();
        self.wall_offset.store(wall.wrapping_sub(now.as_nanos()).cast_signed(), Relaxed);
    }

    #[inline]
    fn wall(&self, now: Instant) -> u64 {
        now.as_nanos().wrapping_add_signed(self.wall_offset.load(Relaxed))
    }
}
