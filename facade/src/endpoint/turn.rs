//! What a call has waited for, so that it need not ask for it again.

use std::sync::Arc;

use toolweir_core::{Call, Error, Instant, Kind, Principal};
use toolweir_ratelimit::Place;

use super::Endpoint;
use super::limits::Beside;

/// What a call holds of a server's limits before it is made; dropped, a place goes to the next.
#[derive(Default)]
pub(crate) struct Turn {
    /// The server's own rate limit has been charged.
    pub(super) charged: bool,
    /// What was taken of the tool's and the user's limits meanwhile.
    pub(super) beside: Option<Beside>,
    /// One of the places for calls in flight.
    pub(super) place: Option<Place<Principal>>,
}

impl Endpoint {
    /// Waits for a turn at the limits, for so long as each allows and until the call's deadline at most.
    ///
    /// The lines of those who wait for a place are one a principal, and take turns: whoever sends much waits behind
    /// its own calls.
    ///
    /// # Errors
    /// Fails where the turn would come too late, or too many wait.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line.
    pub(crate) async fn turn(self: &Arc<Self>, call: &Call) -> Result<Turn, Error> {
        let deadline = call.deadline.unwrap_or(Instant::FAR_FUTURE);
        let mut turn = Turn::default();
        turn.wait_for_server(self, call, deadline).await?;
        if let Some(gate) = &self.settings.gate {
            let place = gate.enter_by(&call.client.principal, deadline).await;
            turn.place = Some(place.map_err(|refusal| self.refused(refusal.into()))?);
        }
        Ok(turn)
    }

    /// Whether `error` is the word of a limit of ours at this server, so that waiting for a turn may help.
    pub(crate) fn has_turns_for(&self, error: &Error) -> bool {
        match error.kind() {
            Kind::RateLimited { .. } => self.settings.limits.server.is_some(),
            Kind::Overloaded => self.settings.gate.is_some(),
            _ => false,
        }
    }

    /// The place that the call holds or that is free now; none where there is no bound.
    pub(super) fn place(
        &self,
        turn: &mut Turn,
        now: Instant,
    ) -> Result<Option<Place<Principal>>, Error> {
        match (turn.place.take(), &self.settings.gate) {
            (None, Some(gate)) => {
                gate.try_enter_at(now).map(Some).map_err(|refusal| self.refused(refusal.into()))
            }
            (place, _) => Ok(place),
        }
    }
}
