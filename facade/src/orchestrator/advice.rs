//! What may be called instead of what failed.

use std::sync::Arc;

use toolweir_breaker::State;
use toolweir_core::{Call, Error, Kind as ErrorKind, Method, ServerId};

use super::Orchestrator;
use super::resolve::Aim;
use crate::catalogue::shown;
use crate::endpoint::{Endpoint, Status};
use crate::policy;
use crate::pools::Way;

/// So many names are given.
const MOST: usize = 3;

impl Orchestrator {
    /// The error, with the names that may be called instead: of the pools that the tool is in, and of the other members'
    /// own tools where these take the same arguments. None where the call may have been carried out and must not be again.
    pub(super) fn advised(&self, aim: &Aim, error: Error) -> Error {
        let may_be_repeated = error.is_unsent()
            || matches!(error.kind(), ErrorKind::Throttled { .. })
            || policy::repeat(&aim.call).allowed;
        // A pool's own members have been tried already.
        let is_own = aim.call.method == Method::TOOLS_CALL && aim.pooled.is_none();
        if !is_own || !may_be_repeated || !is_the_servers_fault(&error) {
            return error;
        }
        let names = self.equivalents(&aim.call, &aim.ids());
        error.instead(names)
    }

    /// Other names for `call`, which `failed` could not answer.
    fn equivalents(&self, call: &Call, failed: &[ServerId]) -> Vec<Arc<str>> {
        let Some(tool) = &call.target else { return Vec::new() };
        let view = self.view();
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut owns: Vec<Arc<str>> = Vec::new();
        for (name, pooled) in view.catalogue.pooled() {
            let is_own = |way: &&Way| failed.contains(&way.server) && way.how.tool == *tool;
            let Some(own) = pooled.ways.iter().find(is_own) else { continue };
            let others = pooled.ways.iter().filter(|way| !failed.contains(&way.server));
            for other in others {
                let Some(endpoint) = view.endpoint(other.server).filter(|it| is_ready(it)) else {
                    continue;
                };
                if !names.contains(name) {
                    names.push(name.clone());
                }
                let is_same = own.how.is_plain() && other.how.is_plain();
                if is_same && !pooled.hides_members {
                    owns.push(shown(&endpoint.settings.prefix, &other.how.tool));
                }
            }
        }
        for own in owns {
            if !names.contains(&own) {
                names.push(own); // two pools may have the same members
            }
        }
        names.truncate(MOST);
        names
    }
}

/// Whether another server may fare better.
fn is_the_servers_fault(error: &Error) -> bool {
    error.rpc().is_none()
        && matches!(
            error.kind(),
            ErrorKind::CircuitOpen { .. }
                | ErrorKind::RateLimited { .. }
                | ErrorKind::ToolRateLimited { .. }
                | ErrorKind::UserRateLimited { .. }
                | ErrorKind::Overloaded
                | ErrorKind::Unreachable
                | ErrorKind::Disconnected
                | ErrorKind::Timeout
                | ErrorKind::InvalidReply
                | ErrorKind::Throttled { .. }
                | ErrorKind::Status { .. }
        )
}

fn is_ready(endpoint: &Endpoint) -> bool {
    let breaker = endpoint.settings.breakers.server.as_ref();
    breaker.is_none_or(|breaker| breaker.state() == State::Closed)
        && matches!(endpoint.status(), Status::Up(_) | Status::Resting)
}
