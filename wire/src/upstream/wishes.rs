//! What a modern server is asked to tell of: the resources and tasks whose changes somebody wants.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use toolweir_core::{Call, Error, Instant, Kind, RawJson, Reply, ServerInfo};

use super::until;
use crate::version::{Era, MODERN, TASKS, meta, own_identity};

/// How many resources may be subscribed to at one server, and how many tasks may be watched.
const WISHES_MAX: usize = 1_024;
/// How long a subscription waits for the stream that carries it. Servers acknowledge a stream before they tell anything on
/// it; one that never does is taken at its word.
pub(super) const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);

/// The resources and tasks whose changes are wanted. They outlive a connection.
#[derive(Debug)]
pub(super) struct Wishes {
    uris: Mutex<Table>,
    tasks: Mutex<Table>,
    /// Counts the changes.
    changed: watch::Sender<u64>,
    /// Up to which of them the stream carries what is wanted.
    carried: watch::Sender<u64>,
}

type Table = BTreeMap<String, Wish>;

#[derive(Debug, Default)]
struct Wish {
    /// How many callers wait until the stream carries it.
    waiting: usize,
    /// One of them was told that it does.
    is_kept: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        let (changed, carried) = (watch::Sender::new(1), watch::Sender::new(0));
        Self { uris: Mutex::default(), tasks: Mutex::default(), changed, carried }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wishes {
    /// Takes `resources/subscribe` and `resources/unsubscribe` in the place of a modern server, which knows the
    /// subscription's stream only, and what asks for news of tasks, which no server knows; `None` for every other call.
    pub(super) fn take(&self, call: &Call, era: Era) -> Option<Result<Wished<'_>, Error>> {
        let (is_wished, table) = match call.method.as_str() {
            "resources/subscribe" => (true, &self.uris),
            "resources/unsubscribe" => (false, &self.uris),
            "toolweir/tasks/watch" => (true, &self.tasks),
            "toolweir/tasks/unwatch" => (false, &self.tasks),
            _ => return None,
        };
        let is_task = std::ptr::eq(table, &raw const self.tasks);
        if era == Era::Legacy {
            // A legacy server tells of tasks unasked, where it does.
            return is_task.then_some(Ok(Wished(None)));
        }
        let member = call.method.target_member().unwrap_or_default();
        let name = call.target.as_deref().map(str::to_owned).or_else(|| {
            let name = call.params.as_ref()?.member(member)?;
            name.string().map(std::borrow::Cow::into_owned)
        });
        let Some(name) = name else {
            let text = format!("`{member}` is missing");
            return Some(Err(Error::new(Kind::InvalidRequest).message(text)));
        };
        let mut wishes = lock(table);
        if !is_wished {
            if wishes.remove(&name).is_some() {
                self.change();
            }
            return Some(Ok(Wished(None)));
        }
        if !wishes.contains_key(&name) {
            if wishes.len() >= WISHES_MAX {
                let what =
                    if is_task { "tasks are watched" } else { "resources are subscribed to" };
                let text = format!("{WISHES_MAX} {what} at this server");
                return Some(Err(Error::new(Kind::Overloaded).message(text)));
            }
            self.change();
        }
        wishes.entry(name.clone()).or_default().waiting += 1;
        let change = *self.changed.borrow();
        Some(Ok(Wished(Some(Held { wishes: self, table, name, change, is_kept: false }))))
    }

    /// Notes a change; the table that has changed is still locked.
    fn change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells when there are others.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A stream carries what was wanted at this change.
    pub(super) fn carry(&self, change: u64) {
        self.carried.send_modify(|carried| *carried = change.max(*carried));
    }

    /// No stream carries anything any more.
    pub(super) fn lose(&self) {
        self.carried.send_replace(0);
    }

    /// The params of `subscriptions/listen`; `None` where there is nothing to hear.
    pub(super) fn params(&self, info: &ServerInfo) -> Option<RawJson> {
        let mut notifications = serde_json::Map::new();
        for (list, key) in [
            ("tools", "toolsListChanged"),
            ("prompts", "promptsListChanged"),
            ("resources", "resourcesListChanged"),
        ] {
            if info.tells_of(list) {
                notifications.insert(key.to_owned(), true.into());
            }
        }
        let mut capabilities = serde_json::json!({});
        for (wishes, key) in [(&self.uris, "resourceSubscriptions"), (&self.tasks, "taskIds")] {
            let wishes: Vec<String> = lock(wishes).keys().cloned().collect();
            if !wishes.is_empty() {
                notifications.insert(key.to_owned(), wishes.into());
            }
        }
        if notifications.contains_key("taskIds") {
            capabilities = serde_json::json!({ "extensions": { TASKS: {} } });
        }
        (!notifications.is_empty()).then(|| {
            RawJson::from(serde_json::json!({
                "notifications": notifications,
                "_meta": {
                    meta::VERSION: MODERN,
                    meta::CAPABILITIES: capabilities,
                    meta::CLIENT_INFO: own_identity(),
                },
            }))
        })
    }
}

/// What was taken in a server's place, and is not answered yet.
pub(super) struct Wished<'a>(Option<Held<'a>>);

impl Wished<'_> {
    /// Answers it: a subscription once the server tells of the resource, or is taken to.
    ///
    /// # Cancel safety
    /// Dropping the future takes the wish back, where nobody else has it.
    pub(super) async fn answer(self, deadline: Option<Instant>) -> Result<Reply, Error> {
        if let Some(mut held) = self.0 {
            let mut carried = held.wishes.carried.subscribe();
            let carried = carried.wait_for(|carried| *carried >= held.change);
            until(deadline, async {
                Ok(tokio::time::timeout(ACKNOWLEDGED_WITHIN, carried).await.is_ok())
            })
            .await?;
            held.is_kept = true;
        }
        Ok(Reply::new(RawJson::EMPTY_OBJECT))
    }
}

/// A wish whose caller waits.
struct Held<'a> {
    wishes: &'a Wishes,
    table: &'a Mutex<Table>,
    name: String,
    change: u64,
    is_kept: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut table = lock(self.table);
        let Some(wish) = table.get_mut(&self.name) else { return }; // given up meanwhile
        wish.waiting = wish.waiting.saturating_sub(1);
        wish.is_kept |= self.is_kept;
        if wish.waiting == 0 && !wish.is_kept {
            table.remove(&self.name);
            self.wishes.change();
        }
    }
}
