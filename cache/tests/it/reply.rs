//! MCP replies: whose they are, and how long they are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{advance, sleep};
use toolweir_cache::{Config, ReplyCache};
use toolweir_core::{
    CacheKey, Error, Fetch, Freshness, Kind, Lookup, Principal, RawJson, Reply, Scope, Store,
    TokioClock,
};

use crate::support::MS;

fn cache(config: Config) -> ReplyCache {
    ReplyCache::with_clock(config, TokioClock).unwrap()
}

fn key(principal: Option<&str>, text: &str) -> CacheKey {
    CacheKey { group: "github".into(), principal: principal.map(Principal::new), text: text.into() }
}

fn lookup(principal: Option<&str>) -> Lookup {
    Lookup::new(key(principal, "tools/list")).ttl(100 * MS)
}

fn reply(text: &str, change: impl FnOnce(&mut Reply)) -> Reply {
    let mut reply = Reply::new(RawJson::of(text).unwrap());
    change(&mut reply);
    reply
}

fn public(text: &str) -> Reply {
    reply(text, |reply| reply.scope = Scope::Public)
}

fn ready(result: Result<Reply, Error>) -> Fetch {
    Box::pin(async move {
        sleep(10 * MS).await;
        result
    })
}

async fn ask(cache: &ReplyCache, lookup: Lookup, answer: Reply) -> (String, Freshness) {
    let reply = cache.get_or_fetch(lookup, ready(Ok(answer))).await.unwrap();
    (reply.result.get().unwrap(), reply.freshness)
}

fn got(text: &str, freshness: Freshness) -> (String, Freshness) {
    (text.to_owned(), freshness)
}

use Freshness::{Cached, Coalesced, Fetched};

#[tokio::test(start_paused = true)]
async fn replies_are_kept_for_their_own_time_or_the_lookups() {
    let ms = |millis: Option<u64>| millis.map(Duration::from_millis);
    for (own, asked, kept_for) in [
        (Some(30), Some(100), 30),
        (Some(200), Some(100), 200),
        (None, Some(100), 100),
        (Some(30), None, 30),
        (None, None, 0),
        (Some(0), Some(100), 0),
    ] {
        let cache = cache(Config::default());
        let mut lookup = Lookup::new(key(Some("ann"), "k"));
        lookup.ttl = ms(asked);
        let answer = reply("x", |reply| reply.ttl = ms(own));
        assert_eq!(ask(&cache, lookup.clone(), answer).await, got("x", Fetched));
        if kept_for > 0 {
            advance(Duration::from_millis(kept_for - 1)).await;
            assert_eq!(ask(&cache, lookup.clone(), public("y")).await, got("x", Cached));
            advance(MS).await;
        }
        assert!(cache.get(&lookup.key).is_none(), "{own:?}, {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_stored_is_not() {
    for answer in [
        reply("x", |reply| reply.is_error = true),
        reply("x", |reply| reply.input_required = true),
        reply("x", |reply| (reply.is_error, reply.scope) = (true, Scope::Public)),
        reply("x", |reply| reply.ttl = Some(Duration::ZERO)),
    ] {
        let cache = cache(Config::default());
        for _ in 0..2 {
            let seen = ask(&cache, lookup(Some("ann")), answer.clone()).await;
            assert_eq!(seen, got("x", Fetched));
        }
        assert_eq!(cache.stats().entries, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_shared_as_they_are_and_not_stored() {
    let cache = cache(Config::default());
    let error = || Error::new(Kind::Protocol { code: -32001 }).server("github");
    let ask = || cache.get_or_fetch(lookup(Some("ann")), ready(Err(error())));
    let (one, other) = tokio::join!(ask(), ask());
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(error.kind(), Kind::Protocol { code: -32001 });
        assert_eq!(error.server_name(), Some("github"));
    }
    assert_eq!((cache.stats().entries, cache.stats().failures), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_fetch_is_an_internal_error() {
    let cache = cache(Config::default());
    let fetch: Fetch = Box::pin(async { panic!("the server's adapter is broken") });
    let error = cache.get_or_fetch(lookup(None), fetch).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(cache.stats().in_flight, 0);
}

/// Who had waited for a reply that turned out to be another's fetches alone, and a panic of that fetch went through
/// to the caller, where in a shared flight it was an error.
#[tokio::test(start_paused = true)]
async fn a_panic_of_a_fetch_alone_is_an_error() {
    let cache = cache(Config::default());
    let broken: Fetch = Box::pin(async { panic!("the server's adapter is broken") });
    let (first, second) = tokio::join!(
        cache.get_or_fetch(lookup(None), ready(Ok(reply("private", |_| ())))),
        cache.get_or_fetch(lookup(None), broken),
    );
    assert_eq!(first.unwrap().freshness, Fetched);
    assert_eq!(second.unwrap_err().kind(), Kind::Internal);
    assert_eq!((cache.stats().failures, cache.stats().in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn private_replies_stay_with_their_principal() {
    let cache = cache(Config::default());
    let private = |text| reply(text, |_| ());
    assert_eq!(ask(&cache, lookup(Some("ann")), private("ann's")).await, got("ann's", Fetched));
    assert_eq!(ask(&cache, lookup(Some("bob")), private("bob's")).await, got("bob's", Fetched));
    assert_eq!(ask(&cache, lookup(None), private("nobody's")).await, got("nobody's", Fetched));
    assert_eq!(ask(&cache, lookup(Some("ann")), private("?")).await, got("ann's", Cached));
    assert_eq!(ask(&cache, lookup(Some("bob")), private("?")).await, got("bob's", Cached));
    assert_eq!(ask(&cache, lookup(None), private("again")).await, got("again", Fetched));
    let stale = cache.stale(&key(Some("eve"), "tools/list"));
    assert!(stale.is_none() && cache.stale(&key(None, "tools/list")).is_none());
}

#[tokio::test(start_paused = true)]
async fn private_replies_are_not_shared_in_flight_either() {
    let cache = cache(Config::default());
    let ask = |principal, text| ask(&cache, lookup(principal), reply(text, |_| ()));
    let seen = tokio::join!(ask(None, "one"), ask(None, "two"), ask(Some("ann"), "ann's"));
    assert_eq!(seen, (got("one", Fetched), got("two", Fetched), got("ann's", Fetched)));
    let seen = tokio::join!(ask(Some("bob"), "bob's"), ask(Some("bob"), "?"));
    assert_eq!(seen, (got("bob's", Fetched), got("bob's", Coalesced)));
}

#[tokio::test(start_paused = true)]
async fn a_question_back_belongs_to_the_call_that_got_it() {
    let cache = cache(Config::default());
    let question = |text| reply(text, |reply| reply.input_required = true);
    let ask = |text| ask(&cache, lookup(Some("ann")), question(text));
    let seen = tokio::join!(ask("one"), ask("two"));
    assert_eq!(seen, (got("one", Fetched), got("two", Fetched)));
}

#[tokio::test(start_paused = true)]
async fn public_replies_are_for_all() {
    let cache = cache(Config::default());
    assert_eq!(ask(&cache, lookup(Some("ann")), public("all's")).await, got("all's", Fetched));
    for principal in [Some("ann"), Some("bob"), None] {
        assert_eq!(ask(&cache, lookup(principal), public("?")).await, got("all's", Cached));
        assert_eq!(cache.get(&key(principal, "tools/list")).unwrap().freshness, Cached);
    }
    cache.invalidate("github");
    let seen = tokio::join!(
        ask(&cache, lookup(None), public("new")),
        ask(&cache, lookup(None), public("?"))
    );
    assert_eq!(seen, (got("new", Fetched), got("new", Coalesced)));
}

#[tokio::test(start_paused = true)]
async fn a_group_is_forgotten_with_what_is_being_fetched() {
    let cache = cache(Config::default());
    let fetches = Arc::new(AtomicUsize::new(0));
    let ask = |text: &'static str| {
        let (cache, fetches) = (cache.clone(), fetches.clone());
        let fetch: Fetch = Box::pin(async move {
            fetches.fetch_add(1, Ordering::SeqCst);
            sleep(50 * MS).await;
            Ok(public(text))
        });
        tokio::spawn(async move { cache.get_or_fetch(lookup(Some("ann")), fetch).await })
    };
    let before = ask("before");
    sleep(10 * MS).await;
    cache.invalidate("slack");
    cache.invalidate("github");
    let after = ask("after");
    assert_eq!(before.await.unwrap().unwrap().result.as_str(), r#""before""#);
    assert!(cache.get(&lookup(Some("ann")).key).is_none());
    assert_eq!(after.await.unwrap().unwrap().result.as_str(), r#""after""#);
    assert!(cache.get(&lookup(Some("bob")).key).is_some());
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
}

/// Once a principal is refused, nothing that it had of that server is served, in time or late.
#[tokio::test(start_paused = true)]
async fn an_authorization_error_drops_what_the_principal_had() {
    let cache = cache(Config::default().stale_if_error(1_000 * MS));
    let at = |principal, text| Lookup::new(key(Some(principal), text)).ttl(100 * MS);
    for (principal, text) in [("ann", "one"), ("ann", "two"), ("bob", "one")] {
        ask(&cache, at(principal, text), reply("x", |_| ())).await;
    }
    advance(100 * MS).await;
    let refusal = Error::new(Kind::Status { status: 403 });
    let result = cache.get_or_fetch(at("ann", "one"), ready(Err(refusal))).await;
    assert_eq!(result.unwrap_err().kind(), Kind::Status { status: 403 });
    let left = [("ann", "one"), ("ann", "two"), ("bob", "one")]
        .map(|(principal, text)| cache.stale(&at(principal, text).key).is_some());
    assert_eq!(left, [false, false, true]);
    let outage = Error::new(Kind::Unreachable);
    let result = cache.get_or_fetch(at("bob", "one"), ready(Err(outage))).await;
    assert_eq!(result.unwrap().freshness, Freshness::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_stored_reply_says_what_is_left_of_its_time() {
    let cache = cache(Config::default().stale_if_error(1_000 * MS));
    let lookup = || lookup(Some("ann"));
    let own = || ready(Ok(reply("x", |reply| reply.ttl = Some(60 * MS))));
    // What is fetched, or shared while it is, has all of it.
    let (one, other) =
        tokio::join!(cache.get_or_fetch(lookup(), own()), cache.get_or_fetch(lookup(), own()));
    let told = |reply: &Reply| (reply.freshness, reply.ttl.map(|ttl| ttl.as_millis()));
    assert_eq!(told(&one.unwrap()), (Fetched, Some(60)));
    assert_eq!(told(&other.unwrap()), (Coalesced, Some(60)));
    advance(25 * MS).await;
    assert_eq!(told(&cache.get(&lookup().key).unwrap()), (Cached, Some(35)));
    let hit = cache.get_or_fetch(lookup(), own()).await.unwrap();
    assert_eq!(told(&hit), (Cached, Some(35)));
    advance(40 * MS).await;
    assert_eq!(told(&cache.stale(&lookup().key).unwrap()), (Freshness::Stale, Some(0)));
    // What has no time of its own, but the lookup's, says nothing.
    cache.clear();
    let plain = || ready(Ok(reply("x", |_| ())));
    for freshness in [Fetched, Cached] {
        let reply = cache.get_or_fetch(lookup(), plain()).await.unwrap();
        assert_eq!(told(&reply), (freshness, None));
        advance(MS).await;
    }
}
