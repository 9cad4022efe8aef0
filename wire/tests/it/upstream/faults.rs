//! Servers that break the rules at the worst moment, on a clock that only tests move.

use proptest::prelude::*;

use super::*;
use crate::peer::dice::Dice;
use crate::peer::http::{Answer, Web, honest, modern, result};
use crate::peer::script::{Framing, Names, Step, response};
use crate::peer::server::streams;

/// One that plays `script` in this program.
fn inside(script: &'static str, limits: Limits) -> StdioServer {
    StdioServer::over("peer", streams(script), Options::default().limits(limits))
}

const ERAS: [&str; 2] = ["legacy", "modern"];

/// What a server may write beside what it owes; none of it may end or mislead a call.
const JUNK: [&str; 11] = [
    r#"{"jsonrpc":"2.0","id":999999999,"result":{"n":-1}}"#,
    r#"{"jsonrpc":"2.0","id":18446744073709551616,"result":{"n":-2}}"#,
    r#"{"jsonrpc":"2.0","id":"$0","result":{"n":-3}}"#,
    r#"{"jsonrpc":"2.0","id":"$1","error":{"code":1,"message":"not yours"}}"#,
    r#"{"jsonrpc":"2.0","id":$2.5,"result":{"n":-4}}"#,
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$0,"progress":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"$1"}}"#,
    r#"{"jsonrpc":"2.0","id":$1,"method":"ping"}"#,
    "npm WARN deprecated",
    "",
];

/// What a script does with the answers to three held calls and its own.
#[derive(Clone, Debug)]
enum Deed {
    /// Answers the call of that number; those after the first are of no account.
    Answer(usize),
    /// The same with what is no answer.
    Break(usize),
    Junk(usize),
}

impl Deed {
    fn ends(&self, call: usize) -> bool {
        matches!(self, Self::Answer(it) | Self::Break(it) if *it == call)
    }
}

fn text(deed: &Deed, number: usize) -> String {
    let id = |call: usize| if call == 3 { "$ID".to_owned() } else { format!("${call}") };
    match deed {
        Deed::Answer(call) => response(&id(*call), &format!(r#"{{"call":{call},"n":{number}}}"#)),
        Deed::Break(call) => {
            format!(r#"{{"level":"info","id":{},"text":"a log line"}}"#, id(*call))
        }
        Deed::Junk(which) => JUNK[*which].to_owned(),
    }
}

/// Four calls and a script that answers them in any order, twice or never, between what is none of their answers.
async fn permuted(server: &StdioServer, dice: &mut Dice) -> usize {
    let deeds: Vec<Deed> = (0..4 + dice.below(6))
        .map(|_| match dice.below(12) {
            0..4 => Deed::Junk(dice.below(JUNK.len())),
            4 => Deed::Break(dice.below(4)),
            _ => Deed::Answer(dice.below(4)),
        })
        .collect();
    let mut steps = vec![Step::Held(3)];
    let all: String = deeds.iter().enumerate().map(|(n, deed)| text(deed, n) + "\n").collect();
    match dice.below(3) {
        0 => steps.push(Step::Bytes(all)),
        1 => steps.extend(deeds.iter().enumerate().map(|(n, deed)| Step::Frame(text(deed, n)))),
        _ => {
            let at = dice.below(60);
            let split = |(n, deed)| Step::Split(text(deed, n), at);
            steps.extend(deeds.iter().enumerate().map(split));
        }
    }
    let deadline = TokioClock.now() + Duration::from_secs(30);
    let calls = [
        tool("hold", json!({})),
        tool("hold", json!({})),
        tool("hold", json!({})),
        tool("say", json!({ "say": steps })),
    ]
    .map(|call| call.deadline(deadline));
    let [a, b, c, d] = &calls;
    let ended = tokio::join!(server.call(a), server.call(b), server.call(c), server.call(d));
    let mut unanswered = 0;
    for (call, result) in [ended.0, ended.1, ended.2, ended.3].into_iter().enumerate() {
        let first = deeds.iter().enumerate().find(|(_, deed)| deed.ends(call));
        match (first, result) {
            (Some((n, Deed::Answer(_))), Ok(reply)) => {
                assert_eq!(
                    reply.result.as_str(),
                    format!(r#"{{"call":{call},"n":{n}}}"#),
                    "{deeds:?}"
                );
            }
            (Some((_, Deed::Break(_))), Err(error)) => {
                assert_eq!(error.kind(), Kind::InvalidReply, "{deeds:?}");
            }
            (None, Err(error)) => {
                assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, false), "{deeds:?}");
                assert_eq!(TokioClock.now(), deadline, "{deeds:?}");
                unanswered += 1;
            }
            (_, result) => panic!("{call}: {result:?} of {deeds:?}"),
        }
    }
    unanswered
}

/// Answers out of order, twice, with an unknown id or none, an id as text: matched, or dropped; no call waits for ever.
#[tokio::test(start_paused = true)]
async fn ten_thousand_permuted_scripts_end_every_call() {
    let mut all = 0;
    for (era, seed) in ERAS.into_iter().zip(1..) {
        let server = inside(era, Limits::default());
        server.connect(soon()).await.unwrap();
        let mut dice = Dice::new(seed);
        let mut unanswered = 0;
        for _ in 0..5_000 {
            unanswered += permuted(&server, &mut dice).await;
        }
        assert!((1_000..15_000).contains(&unanswered), "{unanswered} of 20000");
        all += unanswered;
    }
    let figure = format!("10,000 scripts, 40,000 calls: {all} end at their deadline, 0 hang");
    crate::peer::measured("2", &figure, true);
}

/// The slot is freed, the server is told, and the clock says when.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_a_call_its_deadline_and_no_more() {
    let mut latest = Duration::ZERO;
    for era in ERAS {
        let mut limits = Limits::default();
        limits.in_flight = 1;
        let server = inside(era, limits);
        server.connect(soon()).await.unwrap();
        for seconds in [1, 30, 600] {
            let deadline = TokioClock.now() + Duration::from_secs(seconds);
            let error = server.call(&tool("hold", json!({})).deadline(deadline)).await.unwrap_err();
            assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, false));
            latest = latest.max(TokioClock.now() - deadline);
        }
        let seen = seen(&server).await;
        let cancelled = |call: &Value| {
            seen.iter().any(|note| {
                note["method"] == "notifications/cancelled"
                    && note["params"]["requestId"] == call["id"]
            })
        };
        let held: Vec<&Value> = seen.iter().filter(|line| line["method"] == "tools/call").collect();
        assert_eq!(held.len(), 3);
        assert!(held.into_iter().all(cancelled), "{seen:?}");
    }
    let figure = format!("each ends {} ms after its deadline at the latest", latest.as_millis());
    crate::peer::measured("4", &figure, latest <= Duration::from_millis(10));
}

/// The same of one that accepts a connection and takes it no further, wherever it stops.
#[tokio::test]
async fn a_silent_server_over_http_costs_a_call_its_deadline_and_no_more() {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n";
    let event = Step::result("{}");
    let silences = [
        vec![Step::Deaf],
        vec![Step::Bytes("HTTP/1.1 200 O".to_owned()), Step::Deaf],
        vec![Step::Bytes(HEAD.to_owned()), Step::Deaf],
        vec![Step::Bytes(format!("{HEAD}{{\"jsonrpc\"")), Step::Deaf],
        vec![Step::Cut(vec![event.clone()], 0), Step::Deaf],
        vec![Step::Cut(vec![event], 40), Step::Deaf],
        vec![Step::Trickle("x".repeat(1_000), 100), Step::Deaf],
    ];
    for is_modern in [false, true] {
        let mut limits = Limits::default();
        limits.in_flight = 1;
        let web = Web::scripted(is_modern).await;
        let server = web.server_with(|endpoint| endpoint, Options::default().limits(limits));
        within(server.connect(soon())).await.unwrap();
        for (number, silence) in silences.iter().enumerate() {
            let call = tool("say", json!({ "say": silence }));
            let begun = web.of("tools/call").len();
            let deadline = TokioClock.now() + Duration::from_secs(30);
            let call = call.deadline(deadline);
            let mut waits = Box::pin(server.call(&call));
            tokio::select! {
                result = &mut waits => panic!("{number}: {result:?}"),
                () = web.sees("tools/call", begun + 1) => tokio::time::pause(),
            }
            let error = waits.await.unwrap_err();
            tokio::time::resume();
            assert_eq!((error.kind(), error.is_unsent()), (Kind::Timeout, false), "{number}");
            assert!(TokioClock.now() - deadline <= Duration::from_millis(200), "{number}");
            // Its slot is free, and the pool is not wedged.
            assert_eq!(value(&server, "give", json!({ "it": number })).await, number);
        }
        assert_eq!(
            web.of("tools/call").len(),
            2 * silences.len() + usize::from(false),
            "never sent again"
        );
    }
}

/// A connection in the pool whose server has gone without a word, and one that was never accepted.
#[tokio::test]
async fn a_half_open_connection_is_found_by_the_deadline_and_wedges_nothing() {
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = full.local_addr().unwrap();
    let listener = full.listen(1).unwrap(); // takes connections up to its backlog, and accepts none
    let endpoint = Endpoint::new(&format!("http://{address}/mcp")).unwrap();
    let server = HttpServer::new("web", endpoint, Options::default()).unwrap();
    for _ in 0..5 {
        let deadline = TokioClock.now() + Duration::from_millis(30);
        let call = tool("give", json!({ "it": 1 })).deadline(deadline);
        let error = within(server.call(&call)).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Timeout | Kind::Unreachable), "{error:?}");
        assert!(error.is_unsent());
    }
    drop(listener); // and refuses those that wait
    let web = Web::at(address, |seen| modern(seen, |seen| result(seen, &json!(5)))).await;
    let mut tries = 0;
    while let Err(error) = call(&server, "give", json!({})).await {
        tries += 1;
        assert!(error.is_unsent() && tries < 4, "{error:?}");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await; // it pauses between its attempts
        tokio::time::resume();
    }
    drop(web);
}

const LINE: &str = "na\u{ef}ve \u{1f980} caf\u{e9} ";
const LINES: usize = 150;

/// About 4 KiB before the result and within it: events of every kind, line ends of every kind, characters of several
/// bytes.
fn long_answer() -> Vec<Step> {
    let note = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":1}}"#;
    let result = format!(r#"{{"text":"{}"}}"#, LINE.repeat(LINES));
    let data = response("$ID", &result);
    let (head, tail) = data.split_at(data.find("na\u{ef}ve").unwrap() - 10);
    vec![
        Step::Frame(note.to_owned()),
        Step::Bytes(": a comment\r\n\r\nevent: message\r\nretry: 5\r\ndata: ".to_owned()),
        Step::Bytes(format!("{}\r\n\r\n", note.replace("1}}", "2}}"))),
        Step::Frame(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"{}"}}}}"#,
            "x".repeat(900)
        )),
        // The data of one event on two lines.
        Step::Frame(format!("{head}\ndata: {tail}")),
    ]
}

#[tokio::test]
async fn a_stream_of_four_kilobytes_cut_at_every_byte_gives_all_or_nothing() {
    let mut whole = Vec::new();
    let names = Names { id: "100".to_owned(), token: "100".to_owned(), held: Vec::new() };
    for step in long_answer() {
        step.play(&mut whole, Framing::Event, &names).await.unwrap();
    }
    assert!((3_900..4_400).contains(&whole.len()), "{}", whole.len());
    let about = whole.len() + 8; // ids have more digits or fewer
    let mut servers = Vec::new();
    for is_modern in [false, true] {
        let web = Web::start(move |seen| {
            honest(is_modern, seen, |seen| {
                let arguments = seen.json()["params"]["arguments"].take();
                let at = usize::try_from(arguments["at"].as_u64().unwrap()).unwrap();
                let end = if at % 8 < 2 { Step::Reset } else { Step::Close };
                Answer::Play(vec![Step::Cut(long_answer(), at), end])
            })
        })
        .await;
        let server = web.server();
        within(server.connect(soon())).await.unwrap();
        servers.push((web, server));
    }
    let mut cuts = tokio::task::JoinSet::new();
    let (mut next, mut complete, mut heard) = (0, 0, 0);
    while next <= about || !cuts.is_empty() {
        if next <= about && cuts.len() < 16 {
            let server = servers[next % 2].1.clone(); // the eras take turns
            cuts.spawn(async move { cut(&server, next).await });
            next += 1;
            continue;
        }
        let (at, is_complete, notes) = within(cuts.join_next()).await.unwrap().unwrap();
        assert!(!is_complete || at + 10 >= whole.len(), "a result of {at} bytes");
        complete += usize::from(is_complete);
        heard += notes;
    }
    assert!((2..20).contains(&complete), "{complete} of {about}");
    assert!(heard > 2 * 3_000, "notes before the result: {heard}");
    let calls: usize = servers.iter().map(|(web, _)| web.of("tools/call").len()).sum();
    let figure = format!("{calls} cuts, 0 torn frames, {} calls sent again", calls - about - 1);
    crate::peer::measured("10", &figure, calls == about + 1);
}

/// A call whose answer ends at this byte: whether the result came, and how many notes before.
async fn cut(server: &HttpServer, at: usize) -> (usize, bool, usize) {
    let caller = Arc::new(Caller::default());
    let params =
        json!({ "name": "x", "arguments": { "at": at }, "_meta": { "progressToken": "mine" } });
    let call = Call::new(Method::TOOLS_CALL, Some(params.into())).target("x").peer(caller.clone());
    let result = within(server.call(&call)).await;
    let heard = caller.heard();
    let progress = |number: u64| {
        (
            "notifications/progress".to_owned(),
            json!({ "progressToken": "mine", "progress": number }),
        )
    };
    let log = json!({ "level": "info", "data": "x".repeat(900) });
    let all = [progress(1), progress(2), ("notifications/message".to_owned(), log)];
    assert_eq!(heard, all[..heard.len()], "{at}");
    match result {
        Ok(reply) => {
            let text: Value = reply.result.get().unwrap();
            assert_eq!(text, json!({ "text": LINE.repeat(LINES) }), "{at}");
            (at, true, heard.len())
        }
        Err(error) => {
            assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false), "{at}");
            (at, false, heard.len())
        }
    }
}

/// What a server may do with a call, in any order.
fn any_step() -> impl Strategy<Value = Step> {
    let text = prop_oneof![
        Just(response("$ID", "{}")),
        Just(response("999", "{}")),
        prop::sample::select(&JUNK[..]).prop_map(str::to_owned),
        any::<String>(),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|all| all.into_iter().map(char::from).collect()),
    ];
    let text = || text.clone();
    let leaf = prop_oneof![
        4 => text().prop_map(Step::Frame),
        3 => text().prop_map(Step::Bytes),
        2 => (text(), 0..60_usize).prop_map(|(text, at)| Step::Split(text, at)),
        2 => (text(), 0..60_usize).prop_map(|(text, at)| Step::Cut(vec![Step::Frame(text)], at)),
        1 => (text(), 1..3_000_u64).prop_map(|(text, every)| Step::Trickle(text, every)),
        1 => (text(), 1..300_u64, text()).prop_map(|(text, count, last)| Step::Burst(text, count, last)),
        1 => (0..200_000_usize).prop_map(|size| Step::Fill(r#"{"id":$ID,"result":"$FILL"}"#.to_owned(), size)),
        2 => (0..20_000_u64).prop_map(Step::Pause),
    ];
    let last = prop_oneof![Just(Step::Deaf), Just(Step::Close), Just(Step::Reset)];
    prop_oneof![9 => leaf, 1 => last]
}

/// Whatever a server does, over either transport of streams and in either era.
#[test]
fn every_call_ends_by_its_deadline() {
    let scripts = prop::collection::vec(any_step(), 0..8);
    let config =
        ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(script in scripts, is_modern in any::<bool>())| {
        let builder = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        builder.unwrap().block_on(async {
            let mut limits = Limits::default();
            limits.message = 100_000;
            let server = inside(ERAS[usize::from(is_modern)], limits);
            for arguments in [json!({ "say": script }), json!({ "say": [] }), json!({ "say": script })] {
                let deadline = TokioClock.now() + Duration::from_secs(30);
                let result = server.call(&tool("say", arguments).deadline(deadline)).await;
                assert!(TokioClock.now() <= deadline + Duration::from_millis(10), "{result:?}");
            }
            let closed = TokioClock.now() + Duration::from_secs(5);
            server.close(closed).await;
            assert!(TokioClock.now() <= closed + Duration::from_millis(10));
        });
    });
}

/// What cannot be read fails the call whose answer it is, in time, and the next goes on.
#[tokio::test]
async fn a_broken_answer_over_http_fails_its_call_and_no_other() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let whole = [
        "",
        "{",
        "null",
        "[]",
        "7",
        "\u{feff}",
        "<html>busy</html>",
        r#"{"jsonrpc":"2.0","id":$ID}"#,
        r#"{"jsonrpc":"1.0","id":$ID,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"$ID","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":999999,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"id":$ID,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{},"error":{"code":1,"message":"m"}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"Result":{}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"error":"text"}"#,
        r#"[{"jsonrpc":"2.0","id":$ID,"result":{}}]"#,
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"a\":}}",
        &response("$ID", &deep),
    ];
    for is_modern in [false, true] {
        let web = Web::scripted(is_modern).await;
        let server = web.server();
        let held = tool("hold", json!({}));
        let mut held = Box::pin(server.call(&held));
        let broken = async {
            for text in whole {
                let plain = vec![Step::Json(text.to_owned())];
                let streamed = vec![Step::frame(text), Step::Close];
                // On a stream an event that is no message is passed over, and the answer behind it counts.
                let behind = vec![Step::frame(text), Step::result("{\"n\":7}"), Step::Close];
                let error = call(&server, "say", json!({ "say": plain })).await.unwrap_err();
                assert_eq!(
                    (error.kind(), error.is_unsent()),
                    (Kind::InvalidReply, false),
                    "{text}"
                );
                let error = call(&server, "say", json!({ "say": streamed })).await.unwrap_err();
                assert!(
                    matches!(error.kind(), Kind::Disconnected | Kind::InvalidReply),
                    "{text}: {error:?}"
                );
                let reply = call(&server, "say", json!({ "say": behind })).await;
                match reply {
                    Ok(reply) => assert_eq!(reply.result.as_str(), r#"{"n":7}"#, "{text}"),
                    Err(error) => assert_eq!(error.kind(), Kind::InvalidReply, "{text}"),
                }
            }
        };
        tokio::select! {
            biased;
            result = &mut held => panic!("another call's answer was taken: {result:?}"),
            () = broken => {}
        }
        assert_eq!(value(&server, "give", json!({ "it": 7 })).await, 7);
        assert_eq!(web.of("tools/call").len(), 3 * whole.len() + 2, "never sent again");
    }
}
