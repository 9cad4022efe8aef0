//! A caller with a principal of its own, who asks what others ask too, and stops waiting now and then.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolweir::Orchestrator;
use toolweir::core::{Call, Client, Clock, Principal, RawJson, TokioClock};

use super::{HEALED, SERVERS, TIMEOUT, World};
use crate::ledger::{Asker, End, Scope};
use crate::peer::dice::Dice;

pub(super) struct Reader {
    world: Arc<World>,
    orchestrator: Orchestrator,
    asker: Asker,
    dice: Dice,
    client: Arc<Client>,
}

impl Reader {
    pub(super) fn new(
        world: Arc<World>,
        orchestrator: Orchestrator,
        asker: Asker,
        dice: Dice,
    ) -> Self {
        let client = Arc::new(Client::new(Principal::new(format!("p{}", asker.principal))));
        Self { world, orchestrator, asker, dice, client }
    }

    pub(super) async fn live(mut self) {
        let mut until = Duration::MAX;
        for number in 0_u64.. {
            if self.world.is_healed() && until == Duration::MAX {
                until = self.world.now() + HEALED;
            }
            if self.world.now() >= until {
                return;
            }
            tokio::time::sleep(Duration::from_millis(self.dice.below(2_000) as u64)).await;
            self.read(&number.to_string()).await;
        }
    }

    async fn read(&mut self, id: &str) {
        let nonce = self.world.ledger.asks(self.asker, id, Scope::Private);
        let name = format!("{}__read", SERVERS[self.dice.below(SERVERS.len())]);
        let key = self.dice.below(20);
        let params =
            json!({ "name": name, "arguments": { "key": key }, "_meta": { "mine": nonce } });
        let mut call = Call::tool(&name, &RawJson::EMPTY_OBJECT).unwrap();
        call.params = Some(RawJson::from(params));
        let call = call.client(self.client.clone()).deadline(TokioClock.now() + TIMEOUT);
        self.world.step();
        let begun = self.world.now();
        let patience = if self.dice.one_in(20) { Duration::from_millis(1) } else { 2 * TIMEOUT };
        let ended = tokio::time::timeout(patience, self.orchestrator.call(&call)).await;
        self.world.step();
        let text = match &ended {
            Ok(Ok(reply)) => Some(reply.result.as_str()),
            _ => None,
        };
        let end = match &ended {
            Ok(_) => text.map_or(End::Error, End::Answer),
            Err(_) if patience < TIMEOUT => End::Left,
            Err(_) => return, // the ledger tells that it never ended
        };
        self.world.ledger.ends(self.asker, id, end);
        if !matches!(end, End::Left) {
            self.world.ended(begun, text.is_some());
        }
    }
}
