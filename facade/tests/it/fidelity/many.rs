//! Many clients that all count the same ids.

use super::*;

const CLIENTS: usize = 200;
/// Calls of each.
fn calls() -> usize {
    if crate::peer::full() { 500 } else { 25 }
}

/// Half of them over stdio, half over HTTP, of both eras, to all servers: each gets its own answers under its own ids.
#[tokio::test]
async fn two_hundred_clients_that_count_alike_get_their_own_answers() {
    let gateway = Gateway::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = match number % 4 {
            0 => Client::stdio(&gateway, false).await,
            1 => Client::stdio(&gateway, true).await,
            2 => Client::http(&gateway, false).await,
            _ => Client::http(&gateway, true).await,
        };
        clients.spawn(async move {
            for id in 0..calls() {
                let server = SERVERS[(number / 4 + id) % 4];
                let nonce = format!("{number}/{id}");
                let params = format!(r#""arguments":{{"it":{{"nonce":"{nonce}"}}}}"#);
                let answer =
                    client.call(&id.to_string(), &format!("{server}__give"), &params, "").await;
                assert_eq!(last(&answer, "id"), id.to_string());
                let result = last(&answer, "result");
                assert!(
                    result.starts_with(&format!(r#"{{"nonce":"{nonce}""#)),
                    "{nonce}: {result}"
                );
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    gateway.end().await;
    let figure = format!("{CLIENTS} clients, {} calls, 0 wrong", CLIENTS * calls());
    crate::peer::measured("1", &figure, true);
}
