//! Calls that wait for their answer, by our own ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use toolweir_core::{Call, Client, Error, Kind, Method, Notification, Peer, RawJson};

use super::Owner;
use crate::version::is_modern;

/// How soon after its first question a call may ask more before it is taken to stand still. The questions of one call are
/// written together, and nobody answers one of them sooner.
const ASKS_ON: Duration = Duration::from_millis(20);

/// The id of no call: ours begin at 1.
const NO_CALL: u64 = 0;

/// The calls in flight on one connection.
#[derive(Debug)]
pub(super) struct Waiting {
    table: Mutex<Table>,
    cap: usize,
    /// The one client that the connection is for, where it is for one alone.
    owner: Option<Origin>,
}

#[derive(Debug, Default)]
struct Table {
    calls: HashMap<u64, Entry>,
    ended: Option<Error>,
}

#[derive(Debug)]
struct Entry {
    answer: oneshot::Sender<Result<RawJson, Error>>,
    origin: Option<Origin>,
    sent: bool,
    /// How many questions its client has not answered yet, and since when there are any.
    questions: usize,
    asked: Option<Instant>,
    /// Of a subscription, which stays for as long as the connection and is nobody's call.
    standing: Option<Acknowledges>,
}

/// Tells that a subscription is acknowledged; nothing to tell where it is already.
type Acknowledges = Option<oneshot::Sender<()>>;

/// What a subscription waits for.
#[derive(Debug)]
pub(super) struct Standing {
    /// It comes when the subscription ends.
    pub(super) answer: oneshot::Receiver<Result<RawJson, Error>>,
    /// `None` once it has come.
    pub(super) acknowledgement: Option<oneshot::Receiver<()>>,
}

impl Entry {
    fn new(
        answer: oneshot::Sender<Result<RawJson, Error>>,
        origin: Option<Origin>,
        standing: Option<Acknowledges>,
    ) -> Self {
        Self { answer, origin, sent: false, questions: 0, asked: None, standing }
    }

    /// Whether its modern client has been asked, and nothing goes on before it answers.
    fn stands_still(&self) -> bool {
        let version =
            self.origin.as_ref().and_then(|origin| origin.client.protocol_version.as_deref());
        self.asked.is_some_and(|since| since.elapsed() >= ASKS_ON) && version.is_some_and(is_modern)
    }
}

/// The latest call, where all are one client's.
fn latest_of_one<'a>(mut calls: impl Iterator<Item = (u64, &'a Origin)>) -> Option<(u64, Origin)> {
    let mut latest = calls.next()?;
    for call in calls {
        if !Arc::ptr_eq(&call.1.client, &latest.1.client) {
            return None;
        }
        if call.0 > latest.0 {
            latest = call;
        }
    }
    Some((latest.0, latest.1.clone()))
}

/// A question to a call's client.
#[derive(Debug)]
pub(super) struct Asking {
    waiting: Arc<Waiting>,
    id: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(entry) = self.waiting.table().calls.get_mut(&self.id) {
            entry.questions = entry.questions.saturating_sub(1);
            if entry.questions == 0 {
                entry.asked = None;
            }
        }
    }
}

/// Whose call it is, and the way back to them.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) client: Arc<Client>,
    pub(super) peer: Option<Arc<dyn Peer>>,
    /// The caller's own progress token, which ours stands for.
    pub(super) token: Option<RawJson>,
}

impl Origin {
    pub(super) fn of(call: &Call, token: Option<RawJson>) -> Self {
        Self { client: call.client.clone(), peer: call.peer.clone(), token }
    }

    /// The same, where the server may have a question or a word for the caller.
    ///
    /// A probe causes nothing, and neither does what is asked on nobody's behalf to know the server: it must not make it
    /// doubtful whose call a message belongs to.
    pub(super) fn caused(call: &Call, token: Option<RawJson>) -> Option<Self> {
        const PROBES: [Method; 2] = [Method::PING, Method::DISCOVER];
        const OWN: [Method; 7] = [
            Method::TOOLS_LIST,
            Method::PROMPTS_LIST,
            Method::RESOURCES_LIST,
            Method::RESOURCE_TEMPLATES_LIST,
            Method::RESOURCES_SUBSCRIBE,
            Method::RESOURCES_UNSUBSCRIBE,
            Method::SET_LEVEL,
        ];
        let causes_nothing =
            PROBES.contains(&call.method) || call.peer.is_none() && OWN.contains(&call.method);
        (!causes_nothing).then(|| Self::of(call, token))
    }

    /// Hands a notification to the caller; progress under the caller's own token.
    pub(super) fn notify(&self, notification: Notification) {
        let Some(peer) = &self.peer else { return };
        if notification.method != Method::PROGRESS {
            super::guarded(|| peer.notify(notification));
            return;
        }
        let (Some(token), Some(params)) = (&self.token, &notification.params) else { return };
        if let Ok(params) = params.edit().set(crate::version::meta::PROGRESS_TOKEN, token).finish()
        {
            super::guarded(|| peer.notify(Notification::new(Method::PROGRESS, Some(params))));
        }
    }
}

/// The token of a progress notification, where it is one of ours.
pub(super) fn progress_token(notification: &Notification) -> Option<u64> {
    notification.params.as_ref()?.member(crate::version::meta::PROGRESS_TOKEN)?.get().ok()
}

impl Waiting {
    pub(super) fn new(cap: usize, owner: Option<&Owner>) -> Self {
        let origin = |owner: &Owner| Origin {
            client: owner.client.clone(),
            peer: Some(owner.peer.clone()),
            token: None,
        };
        Self { table: Mutex::new(Table::default()), cap, owner: owner.map(origin) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a call; refused where the connection has ended or carries too many already.
    pub(super) fn enter(
        &self,
        id: u64,
        origin: Option<Origin>,
    ) -> Result<oneshot::Receiver<Result<RawJson, Error>>, Error> {
        let mut table = self.table();
        if let Some(error) = &table.ended {
            return Err(error.clone().unsent());
        }
        if table.calls.len() >= self.cap
            && table.calls.values().filter(|entry| entry.standing.is_none()).count() >= self.cap
        {
            return Err(
                Error::new(Kind::Overloaded).message(format!("{} calls in flight", self.cap))
            );
        }
        let (answer, receiver) = oneshot::channel();
        table.calls.insert(id, Entry::new(answer, origin, None));
        Ok(receiver)
    }

    /// Enters a subscription; refused where the connection has ended.
    pub(super) fn enter_standing(&self, id: u64) -> Result<Standing, Error> {
        let mut table = self.table();
        if let Some(error) = &table.ended {
            return Err(error.clone());
        }
        let (answer, awaited) = oneshot::channel();
        let (acknowledges, acknowledgement) = oneshot::channel();
        table.calls.insert(id, Entry::new(answer, None, Some(Some(acknowledges))));
        Ok(Standing { answer: awaited, acknowledgement: Some(acknowledgement) })
    }

    /// Notes that the peer has acknowledged a subscription.
    pub(super) fn acknowledge(&self, id: u64) {
        let acknowledges =
            self.table().calls.get_mut(&id).and_then(|entry| entry.standing.as_mut()?.take());
        if let Some(acknowledges) = acknowledges {
            let _ = acknowledges.send(()); // its task may have ended
        }
    }

    /// The same where the peer does not say which one it means: of one alone that is not acknowledged yet.
    pub(super) fn acknowledge_sole(&self) {
        let table = self.table();
        let awaits = |entry: &Entry| matches!(entry.standing, Some(Some(_)));
        let mut open = table.calls.iter().filter(|(_, entry)| awaits(entry)).map(|(id, _)| *id);
        if let (Some(id), None) = (open.next(), open.next()) {
            drop(open);
            drop(table);
            self.acknowledge(id);
        }
    }

    /// Ends a subscription that the peer has cancelled.
    pub(super) fn end_standing(&self, id: u64) {
        let mut table = self.table();
        if table.calls.get(&id).is_some_and(|entry| entry.standing.is_some())
            && let Some(entry) = table.calls.remove(&id)
        {
            let _ = entry.answer.send(Ok(RawJson::EMPTY_OBJECT)); // its task may have ended
        }
    }

    /// Why the connection ended, where it has.
    pub(super) fn ended(&self) -> Option<Error> {
        self.table().ended.clone()
    }

    /// Notes that a call is being written; `false` where nobody waits for it any more.
    pub(super) fn mark_sent(&self, id: u64) -> bool {
        match self.table().calls.get_mut(&id) {
            Some(entry) => {
                entry.sent = true;
                true
            }
            None => false,
        }
    }

    /// Whether somebody waits for this call's answer.
    pub(super) fn awaits(&self, id: u64) -> bool {
        self.table().calls.contains_key(&id)
    }

    /// Takes a call out because its caller left; says whether it had been sent.
    pub(super) fn leave(&self, id: u64) -> Option<bool> {
        self.table().calls.remove(&id).map(|entry| entry.sent)
    }

    /// Answers a call; `false` where nobody waits for it.
    pub(super) fn answer(&self, id: u64, result: Result<RawJson, Error>) -> bool {
        let Some(entry) = self.table().calls.remove(&id) else { return false };
        entry.answer.send(result).is_ok()
    }

    /// Ends all calls, and refuses those to come.
    pub(super) fn end(&self, error: &Error) {
        let calls = {
            let mut table = self.table();
            if table.ended.is_none() {
                table.ended = Some(error.clone());
            }
            std::mem::take(&mut table.calls)
        };
        for entry in calls.into_values() {
            let error = if entry.sent { error.clone().ambiguous() } else { error.clone().unsent() };
            let _ = entry.answer.send(Err(error)); // the caller may have left
        }
    }

    /// The origin of the call with this id.
    pub(super) fn origin(&self, id: u64) -> Option<Origin> {
        self.table().calls.get(&id)?.origin.clone()
    }

    /// The origin of the latest call, where one client alone has calls in flight: then a message that names no call
    /// can only be meant for them.
    ///
    /// A modern client that has been asked something may come back with its answer in minutes, or never. Until then
    /// its call stands still, and does not stand in the way of another call of the same principal.
    ///
    /// On a connection that is for one client alone it is always that one's.
    pub(super) fn sole_origin(&self) -> Option<(u64, Origin)> {
        if let Some(owner) = &self.owner {
            return Some((NO_CALL, owner.clone()));
        }
        let table = self.table();
        let calls = || {
            table.calls.iter().filter_map(|(id, entry)| Some((*id, entry, entry.origin.as_ref()?)))
        };
        let (_, _, first) = calls().next()?;
        if let sole @ Some(_) = latest_of_one(calls().map(|(id, _, origin)| (id, origin))) {
            return sole;
        }
        let principal = &first.client.principal;
        if calls().any(|(_, _, origin)| origin.client.principal != *principal) {
            return None;
        }
        latest_of_one(
            calls()
                .filter(|(_, entry, _)| !entry.stands_still())
                .map(|(id, _, origin)| (id, origin)),
        )
    }

    /// Notes that the call's client is being asked something, until what this returns is dropped.
    pub(super) fn asking(self: &Arc<Self>, id: u64) -> Asking {
        if let Some(entry) = self.table().calls.get_mut(&id) {
            entry.questions += 1;
            entry.asked.get_or_insert_with(Instant::now);
        }
        Asking { waiting: self.clone(), id }
    }

    /// The one call in flight, where there is just one.
    pub(super) fn sole_call(&self) -> Option<u64> {
        let table = self.table();
        let mut ids =
            table.calls.iter().filter(|(_, entry)| entry.standing.is_none()).map(|(id, _)| id);
        match (ids.next(), ids.next()) {
            (Some(id), None) => Some(*id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolweir_core::Principal;

    fn client(principal: &str, version: &str) -> Arc<Client> {
        let mut client = Client::new(Principal::new(principal));
        client.protocol_version = Some(version.into());
        Arc::new(client)
    }

    /// Each call's client, and whether it is being asked; whose call a message that names none is taken for.
    async fn sole(calls: &[(&Arc<Client>, bool)]) -> Option<u64> {
        let waiting = Arc::new(Waiting::new(10, None));
        let mut asking = Vec::new();
        let mut receivers = Vec::new();
        for (id, (client, is_asked)) in (1..).zip(calls) {
            let origin = Origin { client: (*client).clone(), peer: None, token: None };
            receivers.push(waiting.enter(id, Some(origin)).unwrap());
            if *is_asked {
                asking.push(waiting.asking(id));
            }
        }
        tokio::time::advance(ASKS_ON).await;
        waiting.sole_origin().map(|(id, _)| id)
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_names_no_call_is_never_given_to_a_guess() {
        let [one, two] = [(); 2].map(|()| client("p", "2026-07-28"));
        let [old, older] = [(); 2].map(|()| client("p", "2025-11-25"));
        let other = client("q", "2026-07-28");
        assert_eq!(sole(&[]).await, None);
        assert_eq!(sole(&[(&one, false)]).await, Some(1));
        assert_eq!(sole(&[(&one, true)]).await, Some(1));
        assert_eq!(sole(&[(&one, false), (&one, false), (&one, true)]).await, Some(3));
        assert_eq!(sole(&[(&one, false), (&two, false)]).await, None);
        assert_eq!(sole(&[(&one, true), (&two, false)]).await, Some(2), "the first stands still");
        assert_eq!(sole(&[(&one, true), (&two, true)]).await, None);
        assert_eq!(sole(&[(&one, true), (&other, false)]).await, None, "of another principal");
        assert_eq!(sole(&[(&one, true), (&two, false), (&old, false)]).await, None);
        assert_eq!(
            sole(&[(&old, true), (&older, false)]).await,
            None,
            "sessions stay what they are"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_ends_lets_its_call_count_again() {
        let waiting = Arc::new(Waiting::new(10, None));
        let enter = |id| {
            let client = client("p", "2026-07-28");
            waiting.enter(id, Some(Origin { client, peer: None, token: None })).unwrap()
        };
        let (_one, _two) = (enter(1), enter(2));
        let asking = [waiting.asking(1), waiting.asking(1)];
        tokio::time::advance(ASKS_ON).await;
        assert_eq!(waiting.sole_origin().map(|(id, _)| id), Some(2));
        drop(asking);
        assert!(waiting.sole_origin().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn questions_asked_together_are_one_calls_beside_a_call_that_nobody_came_back_to() {
        let waiting = Arc::new(Waiting::new(10, None));
        let enter = |id| {
            let client = client("p", "2026-07-28");
            waiting.enter(id, Some(Origin { client, peer: None, token: None })).unwrap()
        };
        let sole = || waiting.sole_origin().map(|(id, _)| id);
        let _left = enter(1);
        let _asking = waiting.asking(1);
        tokio::time::advance(ASKS_ON).await;
        let _asks = enter(2);
        let mut questions = Vec::new();
        for _ in 0..3 {
            assert_eq!(sole(), Some(2));
            questions.push(waiting.asking(2));
        }
        tokio::time::advance(ASKS_ON).await;
        assert_eq!(sole(), None, "both stand still");
    }
}
