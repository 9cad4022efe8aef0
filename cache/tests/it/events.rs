//! What a listener hears.

use std::sync::{Arc, Mutex};

use tokio::time::advance;
use toolweir_cache::{Cache, Config, Event};
use toolweir_core::{Error, Kind, TokioClock};

use crate::support::{MS, Numbers, Source, key};

type Heard = Arc<Mutex<Vec<String>>>;

fn listened(config: Config) -> (Numbers, Heard) {
    let heard = Heard::default();
    let cache = Cache::builder(config).clock(TokioClock).listener({
        let heard = heard.clone();
        move |event: &Event<'_, String>| {
            let text = match event {
                Event::Began { key } => format!("began {key}"),
                Event::Stored { key, bytes } => format!("stored {key} {}", *bytes > 0),
                Event::Failed { key, failure } => format!("failed {key}: {failure}"),
                Event::Stale { key } => format!("stale {key}"),
                Event::Refused { key } => format!("refused {key}"),
                Event::Evicted { key } => format!("evicted {key}"),
                Event::Invalidated { group, prefix } => format!("invalidated {group} {prefix}"),
                other => format!("{other:?}"),
            };
            heard.lock().unwrap().push(text);
        }
    });
    (cache.build().unwrap(), heard)
}

fn take(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut *heard.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_event_is_heard_once() {
    let config = Config::default().ttl(10 * MS).stale_if_error(10 * MS).max_waiters(1);
    let (cache, heard) = listened(config.stale_while_revalidate(5 * MS));
    let source = Source::default();
    let (one, two) = tokio::join!(
        cache.get_or_fetch(key("k"), source.ask(1, MS)),
        cache.get_or_fetch(key("k"), source.ask(2, MS)),
    );
    assert!(one.is_ok() && two.is_err());
    assert_eq!(take(&heard), ["began k", "refused k", "stored k true"]);
    assert_eq!(cache.get("k"), Some(1));
    assert_eq!(cache.get_or_fetch(key("k"), source.ask(1, MS)).await.unwrap(), 1);
    assert_eq!(take(&heard), Vec::<String>::new(), "hits are counted only");
    for wait in [10, 6] {
        advance(wait * MS).await;
        let failing = async { Err::<u64, _>(Error::new(Kind::Unreachable)) };
        assert_eq!(cache.get_or_fetch(key("k"), failing).await.unwrap(), 1);
        let began = if wait == 10 { 0 } else { 1 };
        assert_eq!(take(&heard)[began..], ["failed k: fetch failed", "stale k"]);
    }
    cache.invalidate("g");
    cache.invalidate_prefix("h");
    cache.clear();
    assert_eq!(take(&heard), ["invalidated g false", "invalidated h true", "invalidated  true"]);
}

#[test]
fn evictions_are_heard_of() {
    let (cache, heard) = listened(Config::default().max_entries(10));
    (0..100_u64).for_each(|number| cache.insert(number.to_string(), number));
    let kept = cache.stats().entries as usize;
    let evicted = take(&heard).iter().filter(|event| event.starts_with("evicted")).count();
    assert_eq!(evicted, 100 - kept);
    cache.remove("99");
    cache.insert(key("98"), 1);
    cache.insert(key("98"), 2);
    cache.clear();
    assert!(
        take(&heard).iter().all(|event| !event.starts_with("evicted")),
        "not what is removed or replaced"
    );
}

/// A listener that panics takes nothing with it.
#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_harms_no_call() {
    let cache: Numbers = Cache::builder(Config::default())
        .listener(|_: &Event<'_, String>| std::panic::resume_unwind(Box::new("broken")))
        .build()
        .unwrap();
    let fetched = cache.get_or_fetch(key("k"), Source::default().ask(1, MS)).await;
    assert_eq!((fetched.unwrap(), cache.get("k")), (1, Some(1)));
    cache.clear();
}
