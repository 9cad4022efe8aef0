//! A flight in every order in which its waiters and what wakes it can meet: its own source, on loom's lock.

#[path = "../../src/flight.rs"]
mod source;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use source::{Flight, Waiter};

/// Every order of at most two interruptions.
fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

/// A fetch that ends when it is told to, and says when it is dropped.
#[derive(Clone)]
struct Source(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    end: bool,
    dropped: usize,
    waker: Option<Waker>,
}

struct DropTells(Source);

impl Drop for DropTells {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().dropped += 1;
    }
}

impl Source {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Told::default())))
    }

    fn end(&self) {
        let waker = {
            let mut told = self.0.lock().unwrap();
            told.end = true;
            told.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn dropped(&self) -> usize {
        self.0.lock().unwrap().dropped
    }

    fn flight(&self, finisher: Option<source::Finisher<u32>>) -> (Arc<Flight<u32>>, Waiter<u32>) {
        let tells = DropTells(self.clone());
        let work = poll_fn(move |context| {
            let mut told = tells.0.0.lock().unwrap();
            told.waker = Some(context.waker().clone());
            if told.end { Poll::Ready(7) } else { Poll::Pending }
        });
        Flight::begin(Box::pin(work), || 0, finisher)
    }
}

fn poll_once(waiter: &mut Waiter<u32>) -> Poll<u32> {
    Pin::new(waiter).poll(&mut Context::from_waker(Waker::noop()))
}

/// Wherever the one who polls leaves, the other is woken and has the value.
#[test]
fn a_waiter_that_leaves_strands_nobody() {
    check(|| {
        let source = Source::new();
        let (flight, mut leaves) = source.flight(None);
        let stays = flight.join(2).unwrap();
        let ends = source.clone();
        let ending = thread::spawn(move || ends.end());
        let staying = thread::spawn(move || block_on(stays));
        let _ = poll_once(&mut leaves);
        drop(leaves);
        assert_eq!(staying.join().unwrap(), 7);
        ending.join().unwrap();
        assert_eq!(source.dropped(), 1);
    });
}

/// A waiter that was polled once and is held stops nobody.
#[test]
fn a_waiter_that_is_held_stops_nobody() {
    check(|| {
        let source = Source::new();
        let (flight, mut held) = source.flight(None);
        let other = flight.join(2).unwrap();
        let _ = poll_once(&mut held);
        let ending = thread::spawn(move || source.end());
        assert_eq!(block_on(other), 7);
        ending.join().unwrap();
        assert_eq!(poll_once(&mut held), Poll::Ready(7));
    });
}

/// The last one leaves, another comes, the fetch ends: it is dropped once, and whoever came has the value or is told
/// to begin anew.
#[test]
fn joining_a_flight_that_is_left_gives_a_value_or_none() {
    check(|| {
        let source = Source::new();
        let (flight, mut leaves) = source.flight(None);
        let _ = poll_once(&mut leaves);
        let ends = source.clone();
        let ending = thread::spawn(move || ends.end());
        let leaving = thread::spawn(move || drop(leaves));
        if let Ok(joined) = flight.join(2) {
            assert_eq!(block_on(joined), 7);
        }
        leaving.join().unwrap();
        ending.join().unwrap();
        drop(flight);
        assert_eq!(source.dropped(), 1);
    });
}

/// Both leave: one finisher takes over, and finishes.
#[test]
fn one_finisher_takes_over() {
    check(|| {
        let source = Source::new();
        let taken: Arc<Mutex<Vec<Waiter<u32>>>> = Arc::new(Mutex::new(Vec::new()));
        let keeps = taken.clone();
        let finisher = Box::new(move |waiter| keeps.lock().unwrap().push(waiter));
        let (flight, one) = source.flight(Some(finisher));
        let other = flight.join(2).unwrap();
        let leaving = thread::spawn(move || drop(other));
        drop(one);
        leaving.join().unwrap();
        let mut waiters = std::mem::take(&mut *taken.lock().unwrap());
        assert_eq!(waiters.len(), 1);
        source.end();
        assert_eq!(waiters.pop().map(block_on), Some(7));
        assert_eq!(source.dropped(), 1);
    });
}
