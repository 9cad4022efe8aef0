//! What is read takes time in proportion to its size, whatever its shape.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;

/// A shape's name, and a text of it of about so many bytes.
type Shape = (&'static str, fn(usize) -> String);

/// Result after result: shapes that a reader may take more than one look at.
const SHAPES: [Shape; 6] = [
    ("deep arrays", |size| {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        format!("[{}]", vec![deep.as_str(); size / 201].join(","))
    }),
    ("one name over and over", |size| format!("{{{}}}", vec![r#""a":1"#; size / 6].join(","))),
    ("many names", |size| {
        let members: Vec<_> = (0..size / 12).map(|number| format!("\"{number:07}\":1")).collect();
        format!("{{{}}}", members.join(","))
    }),
    ("one number", |size| "7".repeat(size)),
    ("escapes", |size| format!("\"{}\"", r"\u00e9".repeat(size / 6))),
    ("opened and not closed", |size| "[{\"id\":".repeat(size / 7)),
];

/// A server that answers the last of its calls with whatever `text` is, as an answer of the right id.
fn answering(text: Arc<str>) -> StdioServer {
    let open = move || {
        let (near, far) = tokio::io::duplex(1 << 20);
        let text = text.clone();
        tokio::spawn(async move {
            let (input, mut output) = tokio::io::split(far);
            let mut lines = BufReader::new(input).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let message: Value = serde_json::from_str(&line).unwrap();
                let id = message["id"].to_string();
                let result = match message["method"].as_str() {
                    Some("server/discover") => {
                        r#"{"supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"private"}"#
                    }
                    Some("tools/call") => &*text,
                    _ => continue,
                };
                // In three pieces: what is measured is not how this end copies them into one.
                let (head, tail) = (format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#), "}\n");
                for piece in [&*head, result, tail] {
                    if output.write_all(piece.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(tokio::io::split(near))
    };
    let mut limits = Limits::default();
    limits.depth = 128;
    StdioServer::over("peer", open, Options::default().limits(limits))
}

/// The processor's time that this thread has had, as Linux tells it.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// The processor's time that five answers of this shape and size take, both ends together.
fn time_of(shape: fn(usize) -> String, size: usize) -> Duration {
    let text: Arc<str> = shape(size).into();
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().build();
    builder.unwrap().block_on(async {
        let server = answering(text.clone());
        within(server.connect(soon())).await.unwrap();
        let begun = processor_time();
        for _ in 0..5 {
            match call(&server, "x", json!({})).await {
                Ok(reply) => assert_eq!(reply.size(), text.len()),
                Err(error) => assert_eq!(error.kind(), Kind::InvalidReply, "{error:?}"),
            }
        }
        processor_time() - begun
    })
}

/// How long 5 MB may take, as released.
const ENOUGH: Duration = Duration::from_millis(50);

/// FAULTS 7: ten times the size takes about ten times as long. Only a full run looks at the time, and at that of the
/// processor, which others on the machine hardly lengthen; a release build tells how long it is.
#[test]
fn ten_times_the_size_takes_ten_times_as_long() {
    if !crate::peer::full() {
        for (_, shape) in SHAPES {
            time_of(shape, 50_000);
        }
        return;
    }
    let (mut worst, mut longest) = ((0.0, ""), (Duration::ZERO, ""));
    for (name, shape) in SHAPES {
        let least = |size| (0..3).map(|_| time_of(shape, size)).min().unwrap();
        let (small, large) = (least(500_000), least(5_000_000));
        let ratio = large.as_secs_f64() / small.as_secs_f64().max(1e-3);
        worst = if ratio > worst.0 { (ratio, name) } else { worst };
        longest = longest.max((large / 5, name));
    }
    if cfg!(debug_assertions) {
        let (ratio, name) = worst;
        let figure = format!("5 MB take {ratio:.1} times as long as 0.5 MB at most ({name})");
        return crate::peer::measured("7", &figure, ratio <= 20.0);
    }
    // The caches and pages that 5 MB need count for more here than a reader that takes a second look.
    let (time, name) = longest;
    let figure = format!("as released, {:.1} ms at most ({name})", time.as_secs_f64() * 1_000.0);
    crate::peer::told("7", &figure, time < ENOUGH);
}
