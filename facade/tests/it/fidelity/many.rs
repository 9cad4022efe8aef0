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
    let ledger = Arc::new(Ledger::default());
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = match number % 4 {
            0 => Client::stdio(&gateway, false).await,
            1 => Client::stdio(&gateway, true).await,
            2 => Client::http(&gateway, false).await,
            _ => Client::http(&gateway, true).await,
        };
        let ledger = ledger.clone();
        let asker = Asker { client: u32::try_from(number).unwrap(), principal: 0 };
        clients.spawn(async move {
            for id in 0..calls() {
                let server = SERVERS[(number / 4 + id) % 4];
                client.gives(&ledger, asker, id, server).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    ledger.at_rest("calls in flight", 0, in_flight(&gateway.orchestrator));
    gateway.end().await;
    let tally = ledger.balances();
    let figure = format!("{CLIENTS} clients, {} calls, {} wrong", tally.answered, tally.violations);
    crate::peer::measured("1", &figure, tally.answered == (CLIENTS * calls()) as u64);
}
