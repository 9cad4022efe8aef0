//! One call, and the servers that it is tried at.

use toolweir_core::{Call, Clock, Error, Instant, Kind, Method, Reply, ServerId, TokioClock};

use super::Orchestrator;
use crate::endpoint::Endpoint;
use crate::policy;

impl Orchestrator {
    /// Tries the servers in turn, until one answers; what `call_for` makes of the request differs between them.
    ///
    /// Moves on only where nothing was sent, or where repeating changes nothing, and only while no server has been
    /// waited for longer than its timeout twice over. Where a limit stood in the way and nobody else could answer,
    /// waits for a turn at it.
    pub(super) async fn dispatch(
        &self,
        servers: Vec<ServerId>,
        deadline: Option<Instant>,
        call_for: impl Fn(&Endpoint) -> Result<Call, Error>,
    ) -> Result<Reply, Error> {
        let started = TokioClock.now();
        let mut failure: Option<Error> = None;
        let mut limited = None;
        for id in servers {
            let Some(endpoint) = self.endpoint(id) else { continue };
            let (error, moves_on) = match call_for(endpoint) {
                Ok(call) => match self.answer(endpoint, &call, false).await {
                    Ok(reply) => return Ok(reply),
                    Err(error) => {
                        let moves_on = moves_on(&error, &call);
                        (error, moves_on)
                    }
                },
                Err(error) => {
                    let moves_on = is_worth_another(&error, &Method::TOOLS_CALL);
                    (error, moves_on)
                }
            };
            let spent = TokioClock.now() - started >= endpoint.settings.timeout * 2;
            if spent || !moves_on {
                return Err(error);
            }
            if matches!(error.kind(), Kind::RateLimited { .. }) && limited.is_none() {
                limited = Some((endpoint, error.clone()));
            }
            tracing::debug!(server = &*endpoint.name, %error, "moving on");
            // A server's own word tells more than ours that it has no such tool.
            if failure.as_ref().is_none_or(|known| known.kind() == Kind::NotFound) {
                failure = Some(error);
            }
        }
        if let Some((endpoint, refusal)) = limited {
            endpoint.turn(deadline).await.map_err(|_| refusal)?;
            return self.answer(endpoint, &call_for(endpoint)?, true).await;
        }
        Err(failure.unwrap_or_else(|| Error::new(Kind::NoServer)))
    }
}

/// Whether another server may be asked after `error`: because nothing was sent, or because repeating is harmless, and
/// where the request itself is not at fault.
fn moves_on(error: &Error, call: &Call) -> bool {
    let decision = if error.is_unsent() { policy::elsewhere(call) } else { policy::repeat(call) };
    is_worth_another(error, &call.method) && decision.allowed
}

fn is_worth_another(error: &Error, method: &Method) -> bool {
    const ANSWERS: [i64; 3] = [-32600, -32601, -32602];
    match error.kind() {
        Kind::Cancelled | Kind::Closed | Kind::InvalidRequest | Kind::TooLarge => false,
        // That one server has no such resource does not say that none has.
        Kind::Protocol { code: -32602 | -32002 } if *method == Method::RESOURCES_READ => true,
        Kind::Protocol { code } => !ANSWERS.contains(&code),
        _ => true,
    }
}
