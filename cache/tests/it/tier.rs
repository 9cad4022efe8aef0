//! A further tier: shared, slow, failing.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::time::{Instant, advance, sleep, timeout};
use toolweir_cache::{
    Cache, Config, ConfigError, Epochs, Event, Failure, Forget, Kept, ReplyCache, Sought, Terms,
    Tier, TierError,
};
use toolweir_core::{
    CacheKey, Error, Freshness, Kind, Lookup, Principal, RawJson, Reply, Store, TokioClock,
};

use crate::support::{MS, Source, key};

/// How the tier is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Well,
    Fails,
    Hangs,
    Panics,
}

/// A tier in this process, as one in another would be: bounded, slow, shared, counting what it forgets.
struct Memory<K, V> {
    state: Mutex<State<K, V>>,
    latency: Duration,
    asked: AtomicUsize,
}

struct State<K, V> {
    mood: Mood,
    entries: HashMap<K, Stored<V>>,
    /// How often each name was forgotten: groups, prefixes are applied to those that are known.
    groups: BTreeMap<String, u64>,
    keys: HashMap<K, u64>,
    all: u64,
}

struct Stored<V> {
    value: V,
    until: Instant,
    groups: Vec<Arc<str>>,
    epochs: Epochs,
}

impl<K: Clone + Eq + std::hash::Hash, V: Clone> Memory<K, V> {
    fn new(latency: Duration) -> Arc<Self> {
        let state = State {
            mood: Mood::Well,
            entries: HashMap::new(),
            groups: BTreeMap::new(),
            keys: HashMap::new(),
            all: 0,
        };
        Arc::new(Self { state: Mutex::new(state), latency, asked: AtomicUsize::new(0) })
    }

    fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn come(&self) -> Result<(), TierError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        sleep(self.latency).await;
        let mood = self.state.lock().unwrap().mood;
        match mood {
            Mood::Well => Ok(()),
            Mood::Fails => Err("connection refused".into()),
            Mood::Hangs => pending().await,
            Mood::Panics => std::panic::resume_unwind(Box::new("broken")),
        }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V> State<K, V> {
    fn epochs(&mut self, key: &K, groups: &[Arc<str>]) -> Epochs {
        let mut epochs = vec![self.all, *self.keys.entry(key.clone()).or_default()];
        epochs.extend(groups.iter().map(|name| *self.groups.entry(name.to_string()).or_default()));
        epochs
    }
}

#[async_trait]
impl<K, V> Tier<K, V> for Memory<K, V>
where
    K: Clone + Eq + std::hash::Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    async fn get(&self, key: &K, groups: &[Arc<str>]) -> Result<Sought<V>, TierError> {
        self.come().await?;
        let mut state = self.state.lock().unwrap();
        let epochs = state.epochs(key, groups);
        let found = state.entries.get(key).map(|stored| {
            (stored.value.clone(), stored.until, stored.groups.clone(), stored.epochs.clone())
        });
        let sought = match found {
            Some((value, until, groups, before)) if state.epochs(key, &groups) == before => {
                Sought::found(value, until - Instant::now())
            }
            _ => Sought::nothing(),
        };
        Ok(sought.epochs(epochs))
    }

    async fn put(&self, key: &K, value: &V, terms: Terms<'_>) -> Result<(), TierError> {
        self.come().await?;
        let mut state = self.state.lock().unwrap();
        let now = state.epochs(key, terms.groups);
        let epochs = terms.epochs.map_or(now, <[u64]>::to_vec);
        let (until, groups) = (Instant::now() + terms.ttl, terms.groups.to_vec());
        let stored = Stored { value: value.clone(), until, groups, epochs };
        state.entries.insert(key.clone(), stored);
        Ok(())
    }

    async fn forget(&self, what: Forget<'_, K>) -> Result<(), TierError> {
        self.come().await?;
        let mut state = self.state.lock().unwrap();
        match what {
            Forget::Key(key) => *state.keys.entry(key.clone()).or_default() += 1,
            Forget::Group(name) => *state.groups.entry(name.to_owned()).or_default() += 1,
            Forget::Prefix(prefix) => {
                let known = state.groups.iter_mut().filter(|(name, _)| name.starts_with(prefix));
                known.for_each(|(_, epoch)| *epoch += 1);
            }
            _ => state.all += 1,
        }
        Ok(())
    }
}

type Numbers = Cache<String, u64>;

fn process(config: Config, tier: &Arc<Memory<String, u64>>) -> Numbers {
    Cache::builder(config)
        .clock(TokioClock)
        .spawner(|work| drop(tokio::spawn(work)))
        .timer(|time| Box::pin(sleep(time)))
        .tier(tier.clone())
        .build()
        .unwrap()
}

/// Until the tier was told all there is.
async fn told(cache: &Numbers) {
    while cache.stats().tier_pending > 0 {
        sleep(MS).await;
    }
    sleep(200 * MS).await;
}

async fn fetch(cache: &Numbers, source: &Source, value: u64) -> (u64, Freshness) {
    let entry = cache.entry(key("k")).group("g");
    let found = entry.fetch(source.ask(value, 50 * MS)).await.unwrap();
    (found.value, found.freshness)
}

use Freshness::{Cached, Fetched};

#[tokio::test(start_paused = true)]
async fn what_one_process_fetched_another_finds_for_what_is_left_of_its_time() {
    let (tier, source) = (Memory::new(MS), Source::default());
    let config = || Config::default().ttl(1_000 * MS);
    let (one, other) = (process(config(), &tier), process(config(), &tier));
    assert_eq!(fetch(&one, &source, 1).await, (1, Fetched));
    told(&one).await;
    advance(600 * MS).await;
    assert_eq!(fetch(&other, &source, 2).await, (1, Cached));
    assert_eq!(fetch(&other, &source, 2).await, (1, Cached));
    let stats = other.stats();
    assert_eq!((stats.tier_hits, stats.misses, stats.hits), (1, 1, 1));
    advance(200 * MS).await;
    assert_eq!(fetch(&other, &source, 3).await, (3, Fetched), "not for a whole time anew");
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stampede_asks_the_tier_once() {
    let (tier, source) = (Memory::new(10 * MS), Source::default());
    let cache = process(Config::default(), &tier);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (cache, source) = (cache.clone(), source.clone());
            tokio::spawn(async move { fetch(&cache, &source, 1).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().0, 1);
    }
    told(&cache).await;
    assert_eq!((tier.asked(), source.asked()), (2, 1), "one look, one value written");
}

/// Whatever the tier does, the caller has its value: at once where it fails, after the tier's time where it hangs.
#[tokio::test(start_paused = true)]
async fn a_tier_that_fails_is_no_reason_for_a_call_to_fail() {
    for (mood, takes) in [(Mood::Fails, 51), (Mood::Hangs, 150), (Mood::Panics, 51)] {
        let (tier, source) = (Memory::new(MS), Source::default());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let cache: Numbers = {
            let heard = heard.clone();
            Cache::builder(Config::default().ttl(10 * MS))
                .clock(TokioClock)
                .spawner(|work| drop(tokio::spawn(work)))
                .timer(|time| Box::pin(sleep(time)))
                .tier(tier.clone())
                .listener(move |event: &Event<'_, String>| {
                    if let Event::TierFailed { error } = event {
                        heard.lock().unwrap().push(error.to_string());
                    }
                })
                .build()
                .unwrap()
        };
        tier.set(mood);
        let begun = Instant::now();
        assert_eq!(fetch(&cache, &source, 1).await, (1, Fetched), "{mood:?}");
        assert_eq!(begun.elapsed(), takes * MS, "{mood:?}");
        // It rests for a second: nobody else pays for it.
        for round in 2..5 {
            advance(100 * MS).await;
            let begun = Instant::now();
            assert_eq!(fetch(&cache, &source, round).await, (round, Fetched), "{mood:?}");
            assert_eq!((begun.elapsed(), tier.asked()), (50 * MS, 1), "{mood:?}");
        }
        let said = match mood {
            Mood::Fails => "connection refused",
            Mood::Hangs => "no answer in time",
            _ => "panicked",
        };
        assert_eq!(*heard.lock().unwrap(), [said]);
        assert_eq!(cache.stats().tier_failures, 1);
        tier.set(Mood::Well);
        advance(1_000 * MS).await;
        assert_eq!(fetch(&cache, &source, 9).await, (9, Fetched));
        assert!(tier.asked() > 1, "it is asked again");
    }
}

/// A process fetches while another invalidates: what it stores afterwards is found by nobody.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_before_another_process_invalidated_is_not_found() {
    type Forgets = fn(&Numbers);
    let ways: [(&str, Forgets); 4] = [
        ("group", |cache| cache.invalidate("g")),
        ("prefix", |cache| cache.invalidate_prefix("")),
        ("key", |cache| cache.remove("k")),
        ("all", Numbers::clear),
    ];
    for (way, forget) in ways {
        let (tier, source) = (Memory::new(MS), Source::default());
        let [one, other, third] = [(); 3].map(|()| process(Config::default(), &tier));
        let fetching = tokio::spawn({
            let (one, source) = (one.clone(), source.clone());
            async move { fetch(&one, &source, 1).await }
        });
        sleep(10 * MS).await;
        forget(&other);
        told(&other).await;
        assert_eq!(fetching.await.unwrap(), (1, Fetched));
        told(&one).await;
        assert_eq!(fetch(&third, &source, 2).await, (2, Fetched), "{way}");
        told(&third).await;
        assert_eq!(fetch(&other, &source, 3).await, (2, Cached), "{way}");
    }
}

/// What is invalidated here is not read from a tier that has not heard of it, whatever becomes of the tier.
#[tokio::test(start_paused = true)]
async fn an_invalidation_holds_before_the_tier_hears_of_it() {
    for mood in [Mood::Well, Mood::Fails, Mood::Hangs, Mood::Panics] {
        let (tier, source) = (Memory::new(10 * MS), Source::default());
        let cache = process(Config::default(), &tier);
        fetch(&cache, &source, 1).await;
        told(&cache).await;
        tier.set(mood);
        cache.invalidate("g");
        assert_eq!(fetch(&cache, &source, 2).await, (2, Fetched), "{mood:?}");
        cache.invalidate("g");
        sleep(20_000 * MS).await;
        tier.set(Mood::Well);
        // The first to come has it told; until that is confirmed, the tier is not asked.
        assert_eq!(fetch(&cache, &source, 3).await, (3, Fetched), "{mood:?}");
        told(&cache).await;
        assert_eq!(cache.stats().tier_pending, 0);
        let other = process(Config::default(), &tier);
        let found = fetch(&other, &source, 4).await.0;
        assert!(found >= 2, "{mood:?}: {found} is from before the invalidation");
    }
}

/// A value that took another's place here does not come back from the tier, which missed it.
#[tokio::test(start_paused = true)]
async fn what_was_replaced_while_the_tier_failed_does_not_come_back() {
    for mood in [Mood::Well, Mood::Fails, Mood::Hangs] {
        let (tier, source) = (Memory::new(MS), Source::default());
        let cache = process(Config::default(), &tier);
        cache.insert(key("k"), 1);
        told(&cache).await;
        tier.set(mood);
        cache.insert(key("k"), 2);
        sleep(500 * MS).await;
        cache.insert(key("k"), 3);
        sleep(10_000 * MS).await;
        tier.set(Mood::Well);
        let other = process(Config::default(), &tier);
        // Nothing but the tier is asked again by anyone until here.
        cache.entry(key("else")).fetch(source.ask(0, MS)).await.unwrap();
        told(&cache).await;
        let found = other.get_or_fetch(key("k"), source.ask(9, MS)).await.unwrap();
        assert!(found == 3 || found == 9, "{mood:?}: {found} was replaced");
        assert_eq!(found == 3, mood == Mood::Well);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_principal_may_not_have_goes_from_the_tier_too() {
    let (tier, source) = (Memory::new(MS), Source::default());
    let [one, other] = [(); 2].map(|()| process(Config::default(), &tier));
    fetch(&one, &source, 1).await;
    told(&one).await;
    one.invalidate("g");
    fetch(&one, &source, 2).await;
    told(&one).await;
    advance(Duration::from_secs(299)).await;
    other.invalidate("h");
    told(&other).await;
    let refused = async { Err::<u64, _>(io::Error::from(io::ErrorKind::PermissionDenied)) };
    advance(Duration::from_secs(2)).await;
    assert!(one.entry(key("k")).group("g").fetch(refused).await.is_err());
    told(&one).await;
    assert_eq!(fetch(&other, &source, 3).await, (3, Fetched));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_tier_is_bounded() {
    let (tier, source) = (Memory::new(MS), Source::default());
    let cache = process(Config::default(), &tier);
    tier.set(Mood::Hangs);
    for number in 0..20_000_u64 {
        cache.insert(number.to_string(), number);
        cache.invalidate(&format!("g{number}"));
        if number % 1_000 == 0 {
            sleep(30 * MS).await;
            assert!(cache.stats().tier_pending <= 1_025);
        }
    }
    // More to forget than there is room for is everything.
    tier.set(Mood::Well);
    sleep(60_000 * MS).await;
    cache.entry(key("else")).fetch(source.ask(0, MS)).await.unwrap();
    told(&cache).await;
    assert_eq!(cache.stats().tier_pending, 0);
    assert_eq!(tier.state.lock().unwrap().all, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_gone_leaves_no_task() {
    let tier = Memory::new(MS);
    let cache = process(Config::default(), &tier);
    tier.set(Mood::Fails);
    (0..10).for_each(|number| cache.insert(number.to_string(), number));
    sleep(10 * MS).await;
    drop(cache);
    sleep(2_000 * MS).await;
    assert_eq!(Arc::strong_count(&tier), 1, "nobody holds the tier");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

/// A caller that leaves while the tier is asked takes that with it, and the next one asks anew.
#[tokio::test(start_paused = true)]
async fn a_look_into_the_tier_ends_with_the_last_who_waits() {
    let (tier, source) = (Memory::new(50 * MS), Source::default());
    let cache = process(Config::default(), &tier);
    for _ in 0..3 {
        assert!(timeout(20 * MS, fetch(&cache, &source, 1)).await.is_err());
        assert_eq!((cache.stats().in_flight, source.asked()), (0, 0));
    }
    assert_eq!(fetch(&cache, &source, 1).await, (1, Fetched));
    assert_eq!(tier.asked(), 4);
}

fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[test]
fn where_nothing_can_be_spawned_an_invalidation_is_owed() {
    let tier = Memory::new(Duration::ZERO);
    let cache = process(Config::default(), &tier);
    cache.insert(key("k"), 1);
    cache.invalidate("g");
    assert_eq!(cache.stats().tier_pending, 2);
    paused().block_on(async {
        let source = Source::default();
        cache.entry(key("other")).fetch(source.ask(2, MS)).await.unwrap();
        told(&cache).await;
        assert_eq!((cache.stats().tier_pending, tier.asked()), (0, 2));
    });
}

#[test]
fn a_tier_needs_a_spawner_and_a_timer() {
    let tier = || Memory::<u8, u8>::new(MS);
    let builder = || Cache::<u8, u8>::builder(Config::default()).tier(tier());
    let refused = |result: Result<Cache<u8, u8>, ConfigError>| result.unwrap_err().to_string();
    assert_eq!(refused(builder().build()), "tier needs a spawner");
    assert_eq!(refused(builder().spawner(drop).build()), "tier needs a timer");
    let config = Config::default().finish_abandoned(true);
    let problem = refused(Cache::builder(config).build());
    assert_eq!(problem, "finishAbandoned needs a spawner");
}

/// A tier that hands out another principal's reply does not get past the cache.
#[tokio::test(start_paused = true)]
async fn a_tier_that_confuses_principals_harms_nobody() {
    struct Confused;
    #[async_trait]
    impl Tier<CacheKey, Kept> for Confused {
        async fn get(&self, _: &CacheKey, _: &[Arc<str>]) -> Result<Sought<Kept>, TierError> {
            let reply = Reply::new(RawJson::of("ann's").unwrap());
            Ok(Sought::found(Kept::new(reply, Some(Principal::new("ann"))), 60_000 * MS))
        }
        async fn put(&self, _: &CacheKey, _: &Kept, _: Terms<'_>) -> Result<(), TierError> {
            Ok(())
        }
        async fn forget(&self, _: Forget<'_, CacheKey>) -> Result<(), TierError> {
            Ok(())
        }
    }
    let cache = ReplyCache::build(
        Cache::builder(Config::default())
            .clock(TokioClock)
            .spawner(|work| drop(tokio::spawn(work)))
            .timer(|time| Box::pin(sleep(time)))
            .tier(Arc::new(Confused)),
    )
    .unwrap();
    for (principal, expected) in [("ann", "ann's"), ("bob", "fetched")] {
        let key = CacheKey {
            group: "github".into(),
            principal: Some(Principal::new(principal)),
            text: "k".into(),
        };
        let reply = Reply::new(RawJson::of("fetched").unwrap());
        let fetch = Box::pin(async move { Ok(reply) });
        let reply = cache.get_or_fetch(Lookup::new(key).ttl(1_000 * MS), fetch).await.unwrap();
        assert_eq!(reply.result.get::<String>().unwrap(), expected);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Fetch { process: usize, fails: bool },
    Insert,
    Forget { process: usize, way: usize },
    Mood(Mood),
    Sleep(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let moods = prop_oneof![
        4 => Just(Mood::Well), 1 => Just(Mood::Fails), 1 => Just(Mood::Hangs), 1 => Just(Mood::Panics)
    ];
    prop_oneof![
        6 => (0..2usize, prop::bool::weighted(0.1))
            .prop_map(|(process, fails)| Step::Fetch { process, fails }),
        2 => Just(Step::Insert),
        3 => (0..2usize, 0..4usize).prop_map(|(process, way)| Step::Forget { process, way }),
        2 => moods.prop_map(Step::Mood),
        4 => prop_oneof![Just(5u32), Just(30), Just(200), Just(3_000)].prop_map(Step::Sleep),
    ]
}

/// Two processes and a tier that fails now and then: whoever invalidates or replaces a value never again reads an
/// older one, and every call has a value unless its own fetch fails.
fn run(script: Vec<Step>, alone: bool) -> Result<(), TestCaseError> {
    paused().block_on(async {
        let tier = Memory::new(3 * MS);
        let caches = [(); 2].map(|()| process(Config::default().ttl(1_000 * MS), &tier));
        let version = Arc::new(Mutex::new(0_u64));
        let mut at_least = [0; 2];
        let mut calls = Vec::new();
        for step in script {
            match step {
                Step::Fetch { process, fails } => {
                    let process = if alone { 0 } else { process };
                    let (cache, source) = (caches[process].clone(), version.clone());
                    let settled = at_least[process];
                    calls.push(tokio::spawn(async move {
                        let fetch = async move {
                            // The source's own state, as it is when it is asked.
                            let value = *source.lock().unwrap();
                            sleep(20 * MS).await;
                            if fails { Err(Error::new(Kind::Timeout)) } else { Ok(value) }
                        };
                        let result = cache.entry(key("k")).group("g").fetch(fetch).await;
                        (settled, result)
                    }));
                    tokio::task::yield_now().await;
                }
                // One process only: a value that is put from outside holds from when the tier hears of it.
                Step::Insert if alone => {
                    let mut version = version.lock().unwrap();
                    *version += 1;
                    caches[0].entry(key("k")).group("g").insert(*version);
                    at_least[0] = *version;
                }
                Step::Insert => {}
                Step::Forget { process, way } => {
                    let process = if alone { 0 } else { process };
                    let mut version = version.lock().unwrap();
                    *version += 1;
                    at_least[process] = *version;
                    match way {
                        0 => caches[process].invalidate("g"),
                        1 => caches[process].invalidate_prefix("g"),
                        2 => caches[process].remove("k"),
                        _ => caches[process].clear(),
                    }
                }
                Step::Mood(mood) => tier.set(mood),
                Step::Sleep(millis) => sleep(millis * MS).await,
            }
        }
        for call in calls {
            let (settled, result) = call.await.unwrap();
            match result {
                Ok(found) => prop_assert!(found.value >= settled, "{found:?} after {settled}"),
                Err(Failure::Fetch(error)) => prop_assert!(error.is::<Error>()),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        prop_assert!(caches.iter().all(|cache| cache.stats().in_flight == 0));
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_process_never_reads_what_it_invalidated(
        script in prop::collection::vec(step(), 1..60),
        alone: bool,
    ) {
        run(script, alone)?;
    }
}
