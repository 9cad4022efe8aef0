//! Much at once, and one that hangs.

use toolweir::core::{Clock, TokioClock};

use super::*;
use crate::peer::Stopped;

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

/// The clock stands still: nothing that the others wait for may be a matter of time.
#[tokio::test]
async fn a_hundred_calls_beside_a_hung_one_take_no_time_at_all() {
    let gateway = Gateway::start().await;
    for (hung, others) in [(0, 0), (1, 1), (2, 2), (3, 3), (0, 2), (3, 1)] {
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
                    let answer =
                        client.call(&number.to_string(), &format!("{server}__echo"), "", "").await;
                    assert_eq!(last(&answer, "id"), number.to_string());
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
}
