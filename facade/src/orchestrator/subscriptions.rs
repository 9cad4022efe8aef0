//! Resource subscriptions of all clients, counted: a server hears of the first and of the last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toolweir_core::{Call, Error, Kind, Method, RawJson, Reply};

use super::Orchestrator;
use crate::endpoint::Endpoint;

/// How many resources may be subscribed to at once.
const MAX: usize = 10_000;

/// How often each URI is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<HashMap<Arc<str>, usize>>);

impl Subscriptions {
    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more; says whether it is the first.
    fn add(&self, uri: &Arc<str>) -> Result<bool, Error> {
        let mut table = self.table();
        if table.len() >= MAX && !table.contains_key(uri) {
            return Err(Error::new(Kind::Overloaded)
                .message(format!("{MAX} resources are subscribed to already")));
        }
        let count = table.entry(uri.clone()).or_insert(0);
        *count += 1;
        Ok(*count == 1)
    }

    /// Counts one less; says whether it was the last.
    fn remove(&self, uri: &str) -> bool {
        let mut table = self.table();
        match table.get_mut(uri) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(_) => table.remove(uri).is_some(),
            None => true, // not ours: the server may know better
        }
    }
}

impl Orchestrator {
    /// `resources/subscribe` and `resources/unsubscribe`: passed on where they change what the server must send.
    pub(super) async fn subscription(&self, call: &Call) -> Result<Reply, Error> {
        let uri = call
            .target
            .clone()
            .ok_or_else(|| Error::new(Kind::InvalidRequest).message("`uri` is missing"))?;
        if call.method == Method::RESOURCES_UNSUBSCRIBE {
            return if self.0.subscriptions.remove(&uri) {
                self.forward(call).await
            } else {
                Ok(done())
            };
        }
        if !self.0.subscriptions.add(&uri)? {
            return Ok(done());
        }
        // Where the caller leaves, or the server refuses, the count goes back.
        let mut counted = Counted(Some((&self.0.subscriptions, &uri)));
        let reply = self.forward(call).await?;
        counted.0 = None;
        Ok(reply)
    }

    /// Subscribes again at a server that has come back and knows nothing of before.
    pub(super) async fn resubscribe(&self, endpoint: &Endpoint) {
        let uris: Vec<Arc<str>> = self.0.subscriptions.table().keys().cloned().collect();
        for uri in uris {
            let params = RawJson::from(serde_json::json!({ "uri": &*uri }));
            let call = Call::new(Method::RESOURCES_SUBSCRIBE, Some(params)).target(uri.clone());
            let at_this_server =
                self.resource_servers(&uri).is_some_and(|servers| servers.contains(&endpoint.id));
            if at_this_server
                && let Err(error) = endpoint.call(&call, &self.0.observers, false).await
            {
                tracing::warn!(server = &*endpoint.name, %error, "a subscription could not be renewed");
            }
        }
    }
}

fn done() -> Reply {
    Reply::new(RawJson::EMPTY_OBJECT)
}

struct Counted<'a>(Option<(&'a Subscriptions, &'a str)>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some((subscriptions, uri)) = self.0 {
            subscriptions.remove(uri);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_are_told_apart() {
        let (subscriptions, uri) = (Subscriptions::default(), Arc::from("a:b"));
        assert!(subscriptions.add(&uri).unwrap());
        assert!(!subscriptions.add(&uri).unwrap());
        assert!(!subscriptions.remove(&uri));
        assert!(subscriptions.remove(&uri));
        assert!(subscriptions.table().is_empty());
    }
}
