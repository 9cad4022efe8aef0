//! Much at once, and one that hangs.

use toolweir::core::{Call, Clock, TokioClock};

use super::*;
use crate::peer::Stopped;
use crate::peer::script::{self, Step};

const COUNT: usize = 2_000;

/// All written in one go, with the result behind them.
#[tokio::test]
async fn two_thousand_notes_of_progress_come_in_order_before_the_result_every_time() {
    let gateway = Gateway::start().await;
    for mut client in gateway.clients().await {
        for server in SERVERS {
            let way = format!("modern client: {}, server: {server}", client.is_modern);
            let params = format!(r#""arguments":{{"count":{COUNT}}}"#);
            let answer = client
                .call("1", &format!("{server}__burst"), &params, r#""progressToken":"mine""#)
                .await;
            assert_eq!(answer.len(), COUNT + 1, "{way}: {:?}", answer.last());
            for (number, note) in (1..).zip(&answer[..COUNT]) {
                let expected = format!(r#"{{"progressToken":"mine","progress":{number}}}"#);
                assert_eq!(note.member("params").unwrap().to_json().as_str(), expected, "{way}");
            }
            last(&answer, "result");
        }
    }
    gateway.end().await;
}

/// The one who asks beside another that hangs, or does not read.
const BESIDE: Asker = Asker { client: 1, principal: 0 };

/// The clock stands still: nothing that the others wait for may be a matter of time.
#[tokio::test]
async fn a_hundred_calls_beside_a_hung_one_take_no_time_at_all() {
    let (gateway, ledger) = (Gateway::start().await, Ledger::default());
    for (hung, others) in [(0, 3), (1, 2), (2, 0), (3, 1)] {
        for server in SERVERS {
            let mut hanging = gateway.clients().await.into_iter().nth(hung).unwrap();
            let tool = format!("{server}__hold");
            let mut hangs = Box::pin(hanging.call("1", &tool, r#""arguments":{}"#, ""));
            // The one that hangs is at the server before the others begin.
            let seen = async {
                let mut client = gateway.clients().await.into_iter().nth(others).unwrap();
                for _ in 0..3 {
                    client.call("0", &format!("{server}__echo"), "", "").await;
                }
            };
            tokio::select! {
                answer = &mut hangs => panic!("`hold` never answers: {answer:?}"),
                () = seen => {}
            }
            let clock = Stopped::new();
            let begun = TokioClock.now();
            let all = async {
                let mut client = gateway.clients().await.into_iter().nth(others).unwrap();
                for number in 0..100 {
                    client.gives(&ledger, BESIDE, number, server).await;
                }
            };
            tokio::select! {
                biased;
                _ = &mut hangs => panic!("`hold` never answers"),
                () = all => {}
            }
            assert_eq!(TokioClock.now(), begun, "{server}");
            drop(clock);
            tokio::time::resume();
        }
    }
    gateway.end().await;
    ledger.balances();
}

/// Each of them asked for a list, however many came.
#[tokio::test(start_paused = true)]
async fn a_storm_of_changes_asks_for_two_lists_a_second() {
    let server = StdioServer::over("s", streams("legacy"), Options::default());
    let member = Member::new("s", Arc::new(server)).rate_limit(None);
    let orchestrator = Orchestrator::builder().member(member).start().unwrap();
    orchestrator.ready(Duration::from_secs(20)).await;
    let call = |name: &str, arguments: serde_json::Value| {
        Call::tool(name, &RawJson::from(arguments)).unwrap()
    };
    let lists = async || {
        let seen = orchestrator.call(&call("s__seen", serde_json::json!({}))).await.unwrap();
        seen.result.as_str().matches("tools/list\\").count()
    };
    let before = lists().await;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let begun = TokioClock.now();
    for _ in 0..100 {
        let storm = Step::Burst(changed.to_owned(), 1_000, script::response("$ID", "{}"));
        orchestrator.call(&call("s__say", serde_json::json!({ "say": [storm] }))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(TokioClock.now() - begun < Duration::from_millis(1_100));
    let lists = lists().await - before;
    orchestrator.shutdown(Duration::from_secs(5)).await;
    let figure = format!("100,000 notifications in a second, {lists} lists fetched");
    crate::peer::measured("15", &figure, (1..=3).contains(&lists));
}

/// What it does not read waits for it alone, and no longer than its connection may stand still.
#[tokio::test]
async fn a_client_that_reads_nothing_slows_nobody() {
    let (gateway, ledger) = (Gateway::start().await, Ledger::default());
    for kind in 0..4 {
        for server in SERVERS {
            let mut deaf = gateway.clients().await.into_iter().nth(kind).unwrap();
            let clock = Stopped::new();
            let begun = TokioClock.now();
            let unread =
                deaf.begin(&format!("{server}__burst"), r#""arguments":{"count":20000}"#).await;
            let mut client = gateway.clients().await.into_iter().nth(kind).unwrap();
            for number in 0..20 {
                client.gives(&ledger, BESIDE, number, server).await;
            }
            assert_eq!(TokioClock.now(), begun, "{server}");
            drop((clock, unread));
            tokio::time::resume();
        }
    }
    gateway.end().await;
    ledger.balances();
}
