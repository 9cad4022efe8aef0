//! A small model predicts every state; random scripts look for a difference.

use std::time::Duration;

use proptest::prelude::*;
use toolweir_core::{Instant, Outcome, Ranked, ServerId};
use toolweir_router::{Attempt, Config, Health, Router};

use crate::support::*;

const HALF_LIFE: u64 = 4096; // so that a tick is a millisecond
const PENALTY: f64 = 5000.0;
const SLOW_START: f64 = 10_000.0;

#[derive(Clone, Debug)]
enum Step {
    Succeed(usize, u64),
    Fail(usize),
    Throttle(usize, u64),
    Begin(usize),
    End,
    Healthy(usize),
    Unhealthy(usize),
    Wait(u64),
    Rank,
}

fn steps(servers: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..servers, 1..2000_u64).prop_map(|(server, millis)| Step::Succeed(server, millis)),
        6 => (0..servers).prop_map(Step::Fail),
        1 => (0..servers, 1..9000_u64).prop_map(|(server, millis)| Step::Throttle(server, millis)),
        2 => (0..servers).prop_map(Step::Begin),
        1 => Just(Step::End),
        1 => (0..servers).prop_map(Step::Healthy),
        1 => (0..servers).prop_map(Step::Unhealthy),
        4 => (0..9000_u64).prop_map(Step::Wait),
        4 => Just(Step::Rank),
    ];
    prop::collection::vec(step, 1..80)
}

/// One server as it should be. Times in milliseconds.
#[derive(Clone, Debug, Default)]
struct Model {
    latency: Option<(f64, u64)>,
    errors: u32,
    trial_at: Option<u64>,
    trials: u32,
    in_flight: u32,
    /// Since when it starts slowly; not yet, before its first answer.
    slow: Option<Option<u64>>,
}

fn pause(trials: u32) -> u64 {
    (5000 << trials.min(10)).min(60_000)
}

fn left(millis: u64) -> f64 {
    (-(millis as f64) / HALF_LIFE as f64).exp2()
}

impl Model {
    fn latency(&self, now: u64) -> Option<f64> {
        self.latency.map(|(latency, since)| latency * left(now - since))
    }

    fn observe(&mut self, sample: f64, now: u64) {
        let old = self.latency.unwrap_or((0.0, now));
        let kept = left(now - old.1);
        self.latency =
            Some((if sample >= old.0 { sample } else { sample + (old.0 - sample) * kept }, now));
    }

    fn succeed(&mut self, sample: f64, now: u64) {
        if self.slow == Some(None) {
            self.slow = Some(Some(now));
        }
        if self.recover() {
            self.latency = None;
            self.slow = Some(Some(now));
        }
        self.observe(sample, now);
    }

    /// The share of its weight.
    fn share(&self, now: u64) -> f64 {
        match self.slow {
            None => 1.0,
            Some(since) => ((now - since.unwrap_or(now)) as f64 / SLOW_START).clamp(0.1, 1.0),
        }
    }

    fn recover(&mut self) -> bool {
        (self.errors, self.trials) = (0, 0);
        self.trial_at.take().is_some()
    }

    fn fail(&mut self, now: u64) {
        self.observe(PENALTY, now);
        self.errors += 1;
        if self.errors > 3 && self.trial_at.is_none() {
            self.trial_at = Some(now + pause(0));
            self.slow = None;
        }
    }

    /// Unhealthy behind healthy, then the cost.
    fn place(&self, now: u64) -> (bool, f64) {
        let in_flight = f64::from(self.in_flight);
        let cost = match self.latency(now) {
            Some(latency) => latency.max(0.001) * (in_flight + 1.0),
            None => PENALTY * in_flight,
        };
        (self.trial_at.is_some(), cost / self.share(now))
    }
}

struct World {
    router: Router,
    ids: Vec<ServerId>,
    model: Vec<Model>,
    held: Vec<(usize, Attempt)>,
    now: u64,
}

impl World {
    fn time(&self) -> Instant {
        at(self.now) + Duration::from_micros(500)
    }

    fn step(&mut self, step: &Step) {
        let (now, time) = (self.now, self.time());
        match *step {
            Step::Succeed(server, millis) => {
                success(&self.router, self.ids[server], ms(millis), time);
                self.model[server].succeed(millis as f64, now);
            }
            Step::Fail(server) => {
                fail(&self.router, self.ids[server], 1, time);
                self.model[server].fail(now);
            }
            Step::Throttle(server, millis) => {
                let attempt = self.router.start_at(self.ids[server], time).unwrap();
                attempt.settle(&Outcome::Throttled { retry_after: Some(ms(millis)) }, time);
                let model = &mut self.model[server];
                let raised = model.latency(now).unwrap_or_default().max(millis as f64);
                model.latency = Some((raised, now));
            }
            Step::Begin(server) => {
                self.held.push((server, self.router.start_at(self.ids[server], time).unwrap()));
                self.model[server].in_flight += 1;
            }
            Step::End => {
                if let Some((server, attempt)) = self.held.pop() {
                    drop(attempt);
                    self.model[server].in_flight -= 1;
                }
            }
            Step::Healthy(server) => {
                self.router.mark_healthy(self.ids[server]);
                if self.model[server].trial_at.is_some() {
                    self.model[server].recover();
                    self.model[server].latency = None;
                    self.model[server].slow = Some(None);
                }
            }
            Step::Unhealthy(server) => {
                self.router.mark_unhealthy_at(self.ids[server], time);
                let model = &mut self.model[server];
                let due = now + pause(model.trials);
                model.trial_at = Some(model.trial_at.map_or(due, |old| old.max(due)));
                model.slow = None;
            }
            Step::Wait(millis) => self.now += millis,
            Step::Rank => {
                let ranked = self.router.rank_at(&["x"], time);
                self.check_ranked(&ranked);
            }
        }
        self.check_states();
    }

    fn check_ranked(&mut self, ranked: &Ranked) {
        let now = self.now;
        let mut order: Vec<usize> = ranked.iter().map(|id| id.get() as usize).collect();
        assert_eq!(order.len(), self.ids.len().min(4));
        let due = |model: &Model| model.trial_at.is_some_and(|due| due <= now);
        if self.model.iter().any(due) {
            // Exactly one of those that are due is tried, in front of all others.
            let tried = &mut self.model[order[0]];
            assert!(due(tried), "{tried:?} is not due");
            tried.trials += 1;
            tried.trial_at = Some(now + pause(tried.trials));
            let tried = order.remove(0);
            order.retain(|server| *server != tried);
        }
        // The rest by health and cost, and nobody who was left out is better than the last.
        let places: Vec<_> = order.iter().map(|server| self.model[*server].place(now)).collect();
        let behind =
            |a: (bool, f64), b: (bool, f64)| a.0 && !b.0 || a.0 == b.0 && a.1 > b.1 * 1.0001;
        for pair in places.windows(2) {
            assert!(!behind(pair[0], pair[1]), "{pair:?}");
        }
        let mut others = (0..self.ids.len()).filter(|n| !ranked.contains(&self.ids[*n]));
        if let Some(last) = places.last() {
            assert!(!others.any(|server| behind(*last, self.model[server].place(now))));
        }
    }

    /// Every state is as predicted.
    fn check_states(&self) {
        let (now, time) = (self.now, self.time());
        let unhealthy = self.model.iter().filter(|model| model.trial_at.is_some()).count();
        assert_eq!(self.router.unhealthy(), unhealthy);
        for (id, model) in self.ids.iter().zip(&self.model) {
            let standing = standing(&self.router, *id, time);
            assert_eq!(standing.errors, model.errors, "{model:?}");
            assert_eq!(standing.in_flight, model.in_flight, "{model:?}");
            assert_eq!(standing.health == Health::Unhealthy, model.trial_at.is_some(), "{model:?}");
            let share = standing.slow_start_percent.map_or(100.0, f64::from);
            assert!((share - model.share(now) * 100.0).abs() < 0.51, "{share} %: {model:?}");
            let trial_in = model.trial_at.map(|due| due.saturating_sub(now));
            assert_eq!(standing.trial_in_ms, trial_in, "{model:?}");
            match (standing.latency_ms, model.latency(now)) {
                (None, None) => {}
                (Some(seen), Some(expected)) => {
                    let close = (seen - expected).abs() <= expected * 1e-5 + 0.001;
                    assert!(close, "{seen} instead of {expected}");
                }
                (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_model_predicts_every_state(
        (servers, script) in (1..=8_usize).prop_flat_map(|n| (Just(n), steps(n)))
    ) {
        let config = Config::default().half_life(ms(HALF_LIFE));
        let (router, ids) = pool(config, servers);
        let model = vec![Model::default(); servers];
        let mut world = World { router, ids, model, held: Vec::new(), now: 0 };
        for step in &script {
            world.step(step);
        }
        world.held.clear();
        for id in &world.ids {
            prop_assert_eq!(standing(&world.router, *id, world.time()).in_flight, 0);
        }
    }

    /// However many there are and whatever happened: unhealthy ones only where healthy ones run out.
    #[test]
    fn no_unhealthy_server_stands_before_a_healthy_one(
        out in prop::collection::vec(any::<bool>(), 1..60), seed in any::<u64>(),
    ) {
        let router = Router::new(Config::default().seed(seed)).unwrap();
        let ids = fill(&router, out.len());
        for (id, out) in ids.iter().zip(&out) {
            if *out {
                fail(&router, *id, 4, START);
            }
        }
        let healthy = out.iter().filter(|out| !**out).count();
        for ranked in [router.rank_at(&["x"], START), router.rank_among_at(&ids, START),
            router.rank_sticky_at(&["x"], "key", START)]
        {
            prop_assert_eq!(ranked.len(), out.len().min(4));
            for (place, id) in ranked.iter().enumerate() {
                prop_assert_eq!(out[id.get() as usize], place >= healthy, "{:?}", ranked);
            }
        }
    }
}
