//! A call in flight, as observers hear of it: one start, one end, whatever happens.

use std::sync::Arc;

use toolweir_core::{
    Call, CallEnd, CallStart, Clock, Error, Event, Instant, Observer, Outcome, Reply, TokioClock,
};

use super::Endpoint;

/// Ends as abandoned where it is dropped.
pub(super) struct Flight<'a> {
    endpoint: &'a Endpoint,
    call: &'a Call,
    observers: &'a [Arc<dyn Observer>],
    started: Instant,
    ended: bool,
}

impl<'a> Flight<'a> {
    pub(super) fn start(
        endpoint: &'a Endpoint,
        call: &'a Call,
        observers: &'a [Arc<dyn Observer>],
        now: Instant,
    ) -> Self {
        let event = Event::CallStart(CallStart { server: endpoint.as_ref(), call });
        for observer in observers {
            observer.on_event(&event, now);
        }
        Self { endpoint, call, observers, started: now, ended: false }
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn end(mut self, outcome: &Outcome, result: &Result<Reply, Error>, now: Instant) {
        self.ended = true;
        self.tell(*outcome, result.as_ref().map_or(0, Reply::size), result.as_ref().err(), now);
    }

    fn tell(&self, outcome: Outcome, reply_size: usize, error: Option<&Error>, now: Instant) {
        let event = Event::CallEnd(CallEnd {
            server: self.endpoint.as_ref(),
            call: self.call,
            outcome,
            elapsed: now - self.started,
            reply_size,
            error,
        });
        for observer in self.observers {
            observer.on_event(&event, now);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Outcome::Abandoned, 0, None, TokioClock.now());
        }
    }
}
