//! A plain model that predicts everything that can be seen, after every step of a random script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use toolweir_breaker::{
    Breaker, Clock, Config, Instant, ManualClock, Mode, OwnedPermit, State, Window,
};

use crate::ms;

#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire,
    /// Settles the held permit at this place, counted modulo how many are held.
    Success(usize),
    Failure(usize),
    Throttled(usize, Option<u64>),
    Drop(usize),
    Advance(u64),
    Force(Mode),
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    failures: Option<u32>,
    cooldown: u64,
    cap: u64,
    probes: u32,
    probe_timeout: u64,
    window: Option<Windowed>,
}

#[derive(Clone, Copy, Debug)]
struct Windowed {
    calls: Option<u32>,
    time: Option<u64>,
    minimum: u32,
    failure_percent: u64,
    slow: Option<(u64, u64)>,
}

impl Setup {
    fn config(&self) -> Config {
        let mut config = Config::default()
            .cooldown(ms(self.cooldown))
            .max_cooldown(ms(self.cap))
            .probes(self.probes)
            .probe_timeout(ms(self.probe_timeout));
        config.failures = self.failures;
        if let Some(setup) = self.window {
            let mut window = Window::default()
                .minimum(setup.minimum)
                .failure_rate(setup.failure_percent as f64 / 100.0);
            window.calls = setup.calls;
            window.time = setup.time.map(ms);
            if let Some((slow, percent)) = setup.slow {
                window = window.slow(ms(slow), percent as f64 / 100.0);
            }
            config = config.window(window);
        }
        config
    }
}

#[derive(Clone, Copy, Debug)]
struct Call {
    at: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    generation: u32,
    admitted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Throttled(Option<u64>),
    Unknown,
}

/// Times are milliseconds since the script began.
#[derive(Debug)]
struct Model {
    setup: Setup,
    origin: u64,
    now: u64,
    state: State,
    mode: Mode,
    generation: u32,
    in_a_row: u32,
    live: u32,
    succeeded: u32,
    until: u64,
    step: u32,
    calls: VecDeque<Call>,
    opened: u64,
    refused: u64,
    late: u64,
}

impl Model {
    fn new(setup: Setup, origin: u64) -> Self {
        Self {
            setup,
            origin,
            now: 0,
            state: State::Closed,
            mode: Mode::Automatic,
            generation: 0,
            in_a_row: 0,
            live: 0,
            succeeded: 0,
            until: 0,
            step: 0,
            calls: VecDeque::new(),
            opened: 0,
            refused: 0,
            late: 0,
        }
    }

    fn enter(&mut self, state: State, mode: Mode) {
        self.generation += 1;
        (self.state, self.mode) = (state, mode);
        (self.in_a_row, self.live, self.succeeded) = (0, 0, 0);
        if state == State::Closed && mode != Mode::Disabled {
            self.calls.clear();
            self.step = 0;
        }
    }

    fn wait(&self, step: u32) -> u64 {
        (self.setup.cooldown << step.min(20)).min(self.setup.cap)
    }

    fn open(&mut self) {
        self.until = self.now + self.wait(self.step);
        self.step += 1;
        self.opened += 1;
        self.enter(State::Open, Mode::Automatic);
    }

    fn open_throttled(&mut self, pause: u64) {
        let step = self.step.saturating_sub(1);
        self.until = self.now + self.wait(step).max(pause.min(self.setup.cap));
        self.step = step + 1;
        self.opened += 1;
        self.enter(State::Open, Mode::Automatic);
    }

    fn acquire(&mut self) -> Result<Held, (State, u64)> {
        let result = self.try_acquire();
        self.refused += u64::from(result.is_err());
        result
    }

    fn try_acquire(&mut self) -> Result<Held, (State, u64)> {
        if self.mode == Mode::ForcedOpen {
            return Err((State::Open, self.setup.cooldown));
        }
        if self.state == State::Open {
            if self.now < self.until {
                return Err((State::Open, self.until - self.now));
            }
            self.enter(State::HalfOpen, Mode::Automatic);
        }
        if self.state == State::HalfOpen {
            if self.live + self.succeeded >= self.setup.probes {
                if self.now < self.until {
                    return Err((State::HalfOpen, self.half_open_wait()));
                }
                self.open();
                return Err((State::Open, self.until - self.now));
            }
            self.live += 1;
            self.until = self.now + self.setup.probe_timeout;
        }
        Ok(Held { generation: self.generation, admitted: self.now })
    }

    fn half_open_wait(&self) -> u64 {
        self.until.saturating_sub(self.now).min(self.setup.cooldown).min(1000)
    }

    fn settle(&mut self, held: Held, end: End) {
        let nothing = matches!(end, End::Unknown | End::Throttled(_));
        if self.state == State::Closed && nothing || self.mode == Mode::Disabled {
            return;
        }
        if held.generation != self.generation {
            self.late += 1;
            return;
        }
        let failed = end == End::Failure;
        let slow = self
            .setup
            .window
            .and_then(|window| window.slow)
            .is_some_and(|(slow, _)| self.now - held.admitted >= slow);
        if self.state == State::HalfOpen {
            return match end {
                End::Unknown => self.live -= 1,
                End::Throttled(pause) => self.open_throttled(pause.unwrap_or(0)),
                End::Success if !slow => {
                    self.live -= 1;
                    self.succeeded += 1;
                    if self.succeeded == self.setup.probes {
                        self.enter(State::Closed, Mode::Automatic);
                    }
                }
                End::Success | End::Failure => self.open(),
            };
        }
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        self.calls.push_back(Call { at: self.now, failed, slow });
        if self.mode == Mode::Automatic && (failed || slow) && self.trips() {
            self.open();
        }
    }

    fn window(&self) -> Vec<Call> {
        let Some(window) = self.setup.window else { return Vec::new() };
        match (window.calls, window.time) {
            (Some(calls), _) => self.calls.iter().rev().take(calls as usize).copied().collect(),
            (_, Some(time)) => {
                let slice = |at: u64| (self.origin + at * 1_000_000) / (time * 100_000);
                let now = slice(self.now);
                self.calls.iter().filter(|call| slice(call.at) + 10 > now).copied().collect()
            }
            _ => unreachable!(),
        }
    }

    fn trips(&self) -> bool {
        let default = if self.setup.window.is_some() { u32::MAX } else { 5 };
        if self.in_a_row >= self.setup.failures.unwrap_or(default) {
            return true;
        }
        let Some(setup) = self.setup.window else { return false };
        let calls = self.window();
        let failures = calls.iter().filter(|call| call.failed).count();
        let slow = calls.iter().filter(|call| call.slow).count();
        let reaches = |count: usize, percent: u64| count * 100 >= calls.len() * percent as usize;
        calls.len() >= setup.minimum as usize
            && (reaches(failures, setup.failure_percent)
                || setup.slow.is_some_and(|(_, percent)| reaches(slow, percent)))
    }

    fn force(&mut self, mode: Mode) {
        let state = if mode == Mode::ForcedOpen { State::Open } else { State::Closed };
        let fresh_start = (state, mode) == (State::Closed, Mode::Automatic);
        if (self.state, self.mode) != (state, mode) || fresh_start {
            self.enter(state, mode);
        }
    }

    fn retry_after(&self) -> u64 {
        match (self.state, self.mode) {
            (State::Closed, _) => 0,
            (State::Open, Mode::ForcedOpen) => self.setup.cooldown,
            (State::Open, _) => self.until.saturating_sub(self.now),
            (State::HalfOpen, _) if self.live + self.succeeded < self.setup.probes => 0,
            (State::HalfOpen, _) => self.half_open_wait(),
        }
    }
}

struct Real {
    clock: Arc<ManualClock>,
    breaker: Arc<Breaker<Arc<ManualClock>>>,
    held: Vec<OwnedPermit<Arc<ManualClock>>>,
}

impl Real {
    fn compare(&self, model: &Model) -> Result<(), TestCaseError> {
        let seen = self.breaker.snapshot();
        prop_assert_eq!(seen.state, model.state);
        prop_assert_eq!(seen.mode, model.mode);
        prop_assert_eq!(seen.generation, model.generation);
        prop_assert_eq!(seen.failures, model.in_a_row, "failures in a row");
        prop_assert_eq!(seen.probes, model.live, "live probes");
        prop_assert_eq!(seen.probes_succeeded, model.succeeded);
        prop_assert_eq!(seen.retry_after, ms(model.retry_after()));
        prop_assert_eq!(seen.opened, model.opened);
        prop_assert_eq!(seen.refused, model.refused);
        prop_assert_eq!(seen.late, model.late, "late verdicts");
        prop_assert_eq!(seen.window.is_some(), model.setup.window.is_some());
        // A window is emptied when the breaker closes, so until then it is what it was when it opened.
        if let (Some(seen), State::Closed) = (seen.window, model.state)
            && model.mode != Mode::Disabled
        {
            let calls = model.window();
            prop_assert_eq!(seen.calls as usize, calls.len());
            prop_assert_eq!(seen.failures as usize, calls.iter().filter(|c| c.failed).count());
            prop_assert_eq!(seen.slow as usize, calls.iter().filter(|c| c.slow).count());
        }
        Ok(())
    }
}

fn check(setup: Setup, ops: &[Op]) -> Result<(), TestCaseError> {
    let clock = Arc::new(ManualClock::new());
    let breaker = Breaker::with_clock(setup.config(), Arc::clone(&clock)).expect("valid");
    let mut model = Model::new(setup, clock.now().as_nanos());
    let mut real = Real { clock, breaker: Arc::new(breaker), held: Vec::new() };
    let mut held = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        step(*op, &mut model, &mut held, &mut real)
            .and_then(|()| real.compare(&model))
            .map_err(|error| TestCaseError::fail(format!("step {number}, {op:?}: {error}")))?;
    }
    Ok(())
}

fn step(
    op: Op,
    model: &mut Model,
    held: &mut Vec<Held>,
    real: &mut Real,
) -> Result<(), TestCaseError> {
    let (place, end) = match op {
        Op::Acquire => {
            match (model.acquire(), real.breaker.try_acquire_owned()) {
                (Ok(expected), Ok(permit)) => {
                    held.push(expected);
                    real.held.push(permit);
                }
                (Err((state, wait)), Err(refused)) => {
                    prop_assert_eq!(refused.state, state);
                    prop_assert_eq!(refused.retry_after, ms(wait));
                }
                (expected, seen) => {
                    return Err(TestCaseError::fail(format!("{expected:?} but {seen:?}")));
                }
            }
            return Ok(());
        }
        Op::Advance(millis) => {
            model.now += millis;
            real.clock.advance(ms(millis));
            return Ok(());
        }
        Op::Force(mode) => {
            model.force(mode);
            match mode {
                Mode::Automatic => real.breaker.reset(),
                Mode::ForcedOpen => real.breaker.force_open(),
                Mode::ForcedClosed => real.breaker.force_closed(),
                Mode::Disabled => real.breaker.disable(),
            }
            return Ok(());
        }
        Op::Success(place) => (place, End::Success),
        Op::Failure(place) => (place, End::Failure),
        Op::Throttled(place, pause) => (place, End::Throttled(pause)),
        Op::Drop(place) => (place, End::Unknown),
    };
    if held.is_empty() {
        return Ok(());
    }
    let place = place % held.len();
    model.settle(held.remove(place), end);
    let permit = real.held.remove(place);
    match end {
        End::Success => permit.success(),
        End::Failure => permit.failure(),
        End::Throttled(pause) => permit.throttled(pause.map(Duration::from_millis)),
        End::Unknown => drop(permit),
    }
    Ok(())
}

fn op() -> impl Strategy<Value = Op> {
    let place = 0..4_usize;
    prop_oneof![
        12 => Just(Op::Acquire),
        5 => place.clone().prop_map(Op::Success),
        8 => place.clone().prop_map(Op::Failure),
        1 => (place.clone(), proptest::option::of(1..3_000_u64))
            .prop_map(|(place, pause)| Op::Throttled(place, pause)),
        2 => place.prop_map(Op::Drop),
        6 => prop_oneof![1..50_u64, 50..1_500_u64].prop_map(Op::Advance),
        1 => prop_oneof![
            3 => Just(Mode::Automatic),
            1 => Just(Mode::ForcedOpen),
            1 => Just(Mode::ForcedClosed),
            1 => Just(Mode::Disabled),
        ].prop_map(Op::Force),
    ]
}

fn windowed() -> impl Strategy<Value = Windowed> {
    let kind = prop_oneof![
        (1..8_u32).prop_map(|calls| (Some(calls), None)),
        (1..40_u64).prop_map(|tens| (None, Some(tens * 10))),
    ];
    let slow = proptest::option::of((1..60_u64, 1..=100_u64));
    (kind, 1..8_u32, 1..=100_u64, slow).prop_map(
        |((calls, time), minimum, failure_percent, slow)| Windowed {
            calls,
            time,
            minimum: calls.map_or(minimum, |calls| minimum.min(calls)),
            failure_percent,
            slow,
        },
    )
}

fn setup() -> impl Strategy<Value = Setup> {
    (
        proptest::option::of(1..5_u32),
        20..1_500_u64,
        1..10_u64,
        1..4_u32,
        20..2_000_u64,
        proptest::option::weighted(0.7, windowed()),
    )
        .prop_map(|(failures, cooldown, times, probes, probe_timeout, window)| Setup {
            failures,
            cooldown,
            cap: cooldown * times,
            probes,
            probe_timeout,
            window,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_step_does_what_the_model_says(
        setup in setup(),
        ops in proptest::collection::vec(op(), 1..250),
    ) {
        check(setup, &ops)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever the clock does, no refusal tells to wait for longer than the cap, and whoever waits
    /// for as long as told from there on passes.
    #[test]
    fn open_never_lasts_longer_than_its_cap_on_any_clock(
        times in proptest::collection::vec(0..u64::MAX / 2, 1..100),
    ) {
        let config = Config::default().failures(1).cooldown(ms(100)).max_cooldown(ms(400)).jitter(0.5);
        let breaker = Breaker::new(config).unwrap();
        for nanos in times {
            let now = Instant::from_nanos(nanos);
            let now = match breaker.try_acquire_at(now) {
                Ok(permit) => { permit.failure_at(now); continue }
                Err(refused) => {
                    prop_assert!(refused.retry_after > Duration::ZERO);
                    prop_assert!(refused.retry_after <= ms(400));
                    now + refused.retry_after
                }
            };
            let permit = breaker.try_acquire_at(now);
            prop_assert!(permit.is_ok(), "{permit:?}");
            permit.unwrap().failure_at(now);
        }
    }
}
