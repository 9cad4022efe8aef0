//! A second server is asked where the first takes longer than it usually does.
//!
//! Only for calls that read, only at a server that is its equal, and only within a budget: "The Tail at Scale" (Dean
//! and Barroso, 2013) has the 95th percentile for the delay and a few percent for the budget.

use std::sync::Arc;
use std::time::Duration;

use toolweir_core::{Call, Clock, Error, Freshness, Reply, TokioClock};

use super::Orchestrator;
use crate::endpoint::{Endpoint, Turn};
use crate::policy;

/// A call is not slow before that, whatever it usually takes.
const SOONEST: Duration = Duration::from_millis(5);
/// What is usual is known from so many calls on.
const KNOWN: u64 = 20;

/// What came of one server, or of two.
pub(super) struct Hedged {
    pub(super) result: Result<Reply, Error>,
    /// Both were asked.
    pub(super) both: bool,
}

impl Orchestrator {
    /// The answer of `endpoint`; or of `other`, where the first takes longer than usual and the second is sooner.
    ///
    /// # Cancel safety
    /// Whichever is not needed any more is cancelled at its server.
    pub(super) async fn hedged(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Call,
        other: Option<&Arc<Endpoint>>,
        call_for: &impl Fn(&Endpoint) -> Result<Call, Error>,
    ) -> Hedged {
        let first = self.answer(endpoint, call, Turn::default());
        let other = other.filter(|_| policy::hedge(call).allowed);
        let Some(other) = other else { return Hedged { result: first.await, both: false } };
        tokio::pin!(first);
        tokio::select! {
            biased;
            result = &mut first => return Hedged { result, both: false },
            () = self.slow(endpoint, call) => {}
        }
        let at_other = call_for(other).ok().filter(|call| policy::hedge(call).allowed);
        let Some(at_other) = at_other.filter(|_| endpoint.hedges.withdraw(TokioClock.now())) else {
            return Hedged { result: first.await, both: false };
        };
        tracing::debug!(
            server = &*endpoint.name,
            other = &*other.name,
            "slow: another is asked too"
        );
        let second = self.answer(other, &at_other, Turn::default());
        tokio::pin!(second);
        let result = tokio::select! {
            result = &mut first => match result {
                Ok(reply) if is_fresh(&reply) => Ok(reply),
                result => match second.await {
                    Ok(reply) if is_fresh(&reply) => Ok(reply),
                    _ => result,
                },
            },
            result = &mut second => match result {
                Ok(reply) if is_fresh(&reply) => Ok(reply),
                // What the first says tells more, unless it is worse.
                result => match first.await {
                    Err(error) => result.map_err(|_| error),
                    Ok(reply) => Ok(reply),
                },
            },
        };
        Hedged { result, both: true }
    }

    /// Ends when the call takes longer than 95 in 100 of its kind did at this server.
    async fn slow(&self, endpoint: &Endpoint, call: &Call) {
        let started = TokioClock.now();
        tokio::time::sleep(SOONEST).await;
        let operation = match call.target.as_deref() {
            Some(tool) if call.method == toolweir_core::Method::TOOLS_CALL => tool,
            _ => call.method.as_str(),
        };
        let usual = self.0.metrics.operation_statistics(&endpoint.name, operation);
        let Some(usual) = usual.filter(|usual| usual.total_operations >= KNOWN) else {
            return std::future::pending().await;
        };
        let usual = Duration::from_secs_f64((usual.p95_duration_ms / 1e3).clamp(0.0, 1e6));
        tokio::time::sleep_until((started + usual).into_std().into()).await;
    }
}

/// Whether no better reply need be waited for.
fn is_fresh(reply: &Reply) -> bool {
    reply.freshness != Freshness::Stale
}
