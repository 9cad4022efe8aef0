//! Watches two servers, one of which fails for a while: `cargo run -p toolweir-metrics --example watch`.

use std::time::Duration;

use toolweir_metrics::{AlertEvent, Operation, Recorder};

fn main() -> Result<(), serde_json::Error> {
    let recorder = Recorder::default();
    recorder.add_sink(|event: &AlertEvent| match event {
        AlertEvent::Raised(alert) => println!("raised   {:?} at {}", alert.kind, alert.server),
        AlertEvent::Resolved(alert) => println!("resolved {:?} at {}", alert.kind, alert.server),
        _ => {}
    });
    for n in 0..400_u64 {
        let down = (100..150).contains(&n);
        recorder.record(Operation {
            name: "create_issue",
            server: "github",
            duration: Duration::from_millis(20 + n * 7 % 40),
            success: !down,
            error: down.then_some("connection refused"),
            ..Operation::default()
        });
        recorder.record(Operation {
            name: "post_message",
            server: "slack",
            duration: Duration::from_millis(if n == 200 { 6_500 } else { 90 }),
            success: true,
            ..Operation::default()
        });
    }
    for server in ["github", "slack"] {
        println!("{server}: {}", serde_json::to_string(&recorder.score(server))?);
    }
    println!("{}", serde_json::to_string_pretty(&recorder.dashboard())?);
    println!("{}", serde_json::to_string_pretty(&recorder.health())?);
    Ok(())
}
