//! Calls, their answers, and what comes between.

use proptest::prelude::*;
use toolweir_core::{Client, Principal};

use super::*;
use crate::peer::json::{any_json, in_one_line};

#[tokio::test]
async fn answers_out_of_order_reach_their_calls() {
    let server = stdio("legacy");
    within(server.connect(soon())).await.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { value(&server, "reverse", json!({ "of": 20 })).await })
        })
        .collect();
    let mut ids = Vec::new();
    for call in calls {
        ids.push(within(call).await.unwrap().as_u64().unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn answers_that_nobody_awaits_are_dropped() {
    let server = stdio("legacy");
    let say = [
        "{\"jsonrpc\":\"2.0\",\"id\":999999,\"result\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":\"$ID\",\"result\":2}\n", // ours are numbers
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"x\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":3}\n{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":4}\n",
    ];
    for _ in 0..3 {
        assert_eq!(value(&server, "say", json!({ "say": say })).await, 3);
    }
    assert_eq!(value(&server, "seen", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_servers_own_error_passes_unchanged() {
    let error = call(&stdio("legacy"), "no such", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol { code: -32602 });
    let object = error.rpc().unwrap().as_str();
    assert!(object.contains(r#""data":{"kept":1e+22}"#) || object.contains("1e22"), "{object}");
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline_and_the_server_is_told() {
    let server = stdio("legacy");
    within(server.connect(soon())).await.unwrap();
    let call = tool("hold", json!({})).deadline(TokioClock.now() + Duration::from_millis(100));
    let error = within(server.call(&call)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, false));
    cancelled(&seen(&server).await);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let server = stdio("legacy");
    within(server.connect(soon())).await.unwrap();
    let held = tool("hold", json!({}));
    let mut future = Box::pin(server.call(&held));
    // The other call's answer shows that the first one has been written.
    tokio::select! {
        biased;
        _ = &mut future => panic!("`hold` never answers"),
        () = async { seen(&server).await; } => {}
    }
    drop(future);
    cancelled(&seen(&server).await);
}

/// The last held call, and after it the notice that it is cancelled.
fn cancelled(seen: &[Value]) {
    let [held, notice] = seen else { panic!("{seen:?}") };
    assert_eq!(notice["method"], "notifications/cancelled");
    assert_eq!(notice["params"]["requestId"], held["id"]);
}

#[tokio::test]
async fn two_thousand_notes_of_progress_come_in_order_before_the_result() {
    let server = stdio("legacy");
    let caller = Arc::new(Caller::default());
    let params = r#"{"name":"burst","arguments":{"count":2000},"_meta":{"progressToken":"mine"}}"#;
    let call = Call::new(Method::TOOLS_CALL, Some(RawJson::new(params).unwrap()))
        .target("burst")
        .peer(caller.clone());
    within(server.call(&call)).await.unwrap();
    let heard = caller.heard();
    assert_eq!(heard.len(), 2000);
    for (index, (method, params)) in heard.iter().enumerate() {
        assert_eq!(method, "notifications/progress");
        assert_eq!(*params, json!({ "progressToken": "mine", "progress": index + 1 }));
    }
}

const LOG: &str =
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":1}}\n";
const DONE: &str = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n";

fn client(name: &str) -> Arc<Client> {
    Arc::new(Client::new(Principal::new(name)))
}

#[tokio::test]
async fn a_log_message_reaches_the_one_client_that_it_can_be_meant_for() {
    let server = stdio("legacy");
    let (one, two) = (Arc::new(Caller::default()), Arc::new(Caller::default()));
    let say = |caller: &Arc<Caller>, name: &str| {
        tool("say", json!({ "say": [LOG, DONE] })).client(client(name)).peer(caller.clone())
    };
    within(server.call(&say(&one, "one"))).await.unwrap();
    assert_eq!(one.heard().len(), 1);

    let held = tool("hold", json!({})).client(client("two")).peer(two.clone());
    let mut held = Box::pin(server.call(&held));
    tokio::select! {
        biased;
        _ = &mut held => panic!("`hold` never answers"),
        () = async {
            seen(&server).await; // `hold` has been written
            within(server.call(&say(&one, "one"))).await.unwrap();
        } => {}
    }
    assert_eq!((one.heard().len(), two.heard().len()), (1, 0));
}

/// As 2025-03-26 lets a server write.
#[tokio::test]
async fn several_messages_in_one_line_are_each_taken() {
    let server = stdio("legacy");
    let caller = Arc::new(Caller::default());
    let batch = format!("[{}, 7, {}]\n", LOG.trim_end(), DONE.trim_end());
    let say = tool("say", json!({ "say": [batch] })).client(client("one")).peer(caller.clone());
    assert_eq!(within(server.call(&say)).await.unwrap().result, RawJson::EMPTY_OBJECT);
    assert_eq!(caller.heard(), [("notifications/message".to_owned(), json!({ "data": 1 }))]);
}

#[tokio::test]
async fn a_servers_question_goes_to_the_client_whose_call_it_works_on() {
    let server = stdio("legacy");
    let ask = |params: Value| tool("ask", params).client(client("one"));
    let answer = async |call: Call| -> Value {
        within(server.call(&call)).await.unwrap().result.get().unwrap()
    };
    let caller = || Arc::new(Caller::default());
    let sampling = json!({ "method": "sampling/createMessage", "params": { "a": 1 } });
    let refused = json!({ "method": "elicitation/create", "params": { "refuse": 1 } });

    let answered = answer(ask(sampling.clone()).peer(caller())).await;
    assert_eq!(answered["id"], "q1");
    assert_eq!(answered["result"], json!({ "answered": "sampling/createMessage" }));
    assert!(answer(ask(refused).peer(caller())).await["error"]["code"].is_i64());
    // No way back to the caller: refused, not left unanswered.
    assert!(answer(ask(sampling.clone())).await["error"]["code"].is_i64());
    let ping = json!({ "method": "ping" });
    assert_eq!(answer(ask(ping)).await["result"], json!({}));
    let other = json!({ "method": "nonsense/x" });
    assert_eq!(answer(ask(other)).await["error"]["code"], -32601);

    let held = tool("hold", json!({})).client(client("two"));
    let mut held = Box::pin(server.call(&held));
    tokio::select! {
        biased;
        _ = &mut held => panic!("`hold` never answers"),
        () = async {
            seen(&server).await;
            let answered = answer(ask(sampling).peer(caller())).await;
            assert_eq!(answered["error"]["code"], -32600, "never guessed");
        } => {}
    }
}

#[tokio::test]
async fn what_a_server_says_unasked_reaches_its_subscribers() {
    let server = stdio("legacy");
    let listener = Listener::at(&server);
    let changed = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n";
    call(&server, "say", json!({ "say": [changed, DONE] })).await.unwrap();
    assert_eq!(listener.heard(), ["connected 2025-11-25", "notifications/tools/list_changed"]);
}

/// Through the server and back, byte for byte; only line ends between tokens may become spaces.
#[test]
fn bytes_pass_unchanged_in_both_directions() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = stdio("legacy");
    proptest!(ProptestConfig::with_cases(128), |(arguments in any_json(), extra in any_json())| {
        let params = format!(r#"{{"x":{extra}, "name":"echo","arguments":{arguments}}}"#);
        let call = Call::new(Method::TOOLS_CALL, Some(RawJson::new(params.clone()).unwrap()))
            .target("echo");
        let reply = runtime.block_on(within(server.call(&call))).unwrap();
        prop_assert_eq!(reply.result.as_str(), in_one_line(&params));
    });
    runtime.block_on(server.close(soon()));
}

/// The probe's own place among the calls made it look as if two clients had calls in flight.
#[tokio::test]
async fn a_health_probe_takes_no_log_message_away() {
    let server = stdio("legacy");
    within(server.connect(soon())).await.unwrap();
    call(&server, "mute", json!({})).await.unwrap(); // pings stay unanswered
    let mut probe = Box::pin(server.probe(soon()));
    let caller = Arc::new(Caller::default());
    let say = tool("say", json!({ "say": [LOG, DONE] })).client(client("one")).peer(caller.clone());
    tokio::select! {
        biased;
        _ = &mut probe => panic!("the ping is never answered"),
        () = async {
            seen(&server).await; // the ping has been written
            within(server.call(&say)).await.unwrap();
        } => {}
    }
    assert_eq!(caller.heard().len(), 1);
}

/// Panics at everything that it is told or asked.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Peer for Broken {
    fn notify(&self, _: Notification) {
        panic!("a bug in a caller's part");
    }

    async fn request(&self, _: Method, _: Option<RawJson>, _: Instant) -> Result<RawJson, Error> {
        panic!("a bug in a caller's part");
    }
}

/// It ended the task that reads, and with it every call in flight.
#[tokio::test]
async fn a_caller_whose_part_panics_costs_no_other_call() {
    let server = stdio("legacy");
    within(server.connect(soon())).await.unwrap();
    let process = server.process_id();
    let say = tool("say", json!({ "say": [LOG, DONE] })).peer(Arc::new(Broken));
    assert!(within(server.call(&say)).await.is_ok());
    let ask = tool("ask", json!({ "method": "roots/list" })).peer(Arc::new(Broken));
    let answered: Value = within(server.call(&ask)).await.unwrap().result.get().unwrap();
    assert_eq!(answered["error"]["code"], -32603);
    assert_eq!(server.process_id(), process);
}

/// It was ignored, and the server waited for ever; one with an id like ours failed our call.
#[tokio::test]
async fn a_servers_question_of_a_wrong_shape_is_refused() {
    let server = stdio("legacy");
    let ask = json!({ "method": "roots/list", "params": null });
    assert_eq!(value(&server, "ask", ask).await["error"]["code"], -32600);
    let mine =
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"method\":\"roots/list\",\"params\":null}\n".to_owned();
    assert_eq!(value(&server, "say", json!({ "say": [mine, DONE] })).await, json!({}));
}

/// A server's lists were read anew beside a client's call: two callers seemed to have calls in flight, so that what the server
/// asked the client was refused.
#[tokio::test(start_paused = true)]
async fn a_list_read_on_nobodys_behalf_makes_no_question_doubtful() {
    let server =
        StdioServer::over("peer", crate::peer::server::streams("legacy"), Options::default());
    within(server.connect(soon())).await.unwrap();
    let client = Arc::new(Client::new(Principal::local()));
    let start = |call: Call| {
        let server = server.clone();
        tokio::spawn(async move { server.call(&call).await })
    };
    let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" }).to_string();
    let end = crate::peer::script::response("$ID", "{}");
    let say = json!([
        { "do": "held", "with": 1 }, { "do": "frame", "with": question }, { "do": "frame", "with": end },
    ]);
    let of_client = |call: Call| call.client(client.clone()).peer(Arc::new(Caller::default()));
    let saying = start(of_client(tool("say", json!({ "say": say }))));
    tokio::time::sleep(Duration::from_millis(1)).await; // it is on its way
    let listing = start(Call::new(Method::TOOLS_LIST, None));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!listing.is_finished() && !saying.is_finished(), "both are in flight");
    let holding = start(of_client(tool("hold", json!({}))));
    within(saying).await.unwrap().unwrap();
    within(listing).await.unwrap().unwrap();
    let answer = json!({ "jsonrpc": "2.0", "id": "q", "result": { "answered": "roots/list" } });
    within(async {
        while !seen(&server).await.contains(&answer) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    holding.abort();
}
