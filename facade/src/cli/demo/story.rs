//! What the demo shows, and checks while it shows it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use toolweir::core::{Error, Freshness, Kind, RawJson, Reply};
use toolweir::{Orchestrator, Readiness};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::source;

/// One request of each type that the default routes know.
const REQUESTS: [(&str, &str); 5] = [
    (
        "repository_management",
        r#"{"action":"create_issue","owner":"river","repo":"weir","title":"The gate sticks"}"#,
    ),
    ("notifications", r#"{"channel":"C0002","text":"The gate sticks; an issue is open."}"#),
    ("documentation", r#"{"page_id":"runbook"}"#),
    ("database", r#"{"action":"get","path":"/gauges/north"}"#),
    ("web_automation", r#"{"url":"https://river.example/"}"#),
];
/// A read, so that it may be asked of another server when the first is gone.
const READ: (&str, &str) =
    ("repository_management", r#"{"action":"list_issues","owner":"river","repo":"weir"}"#);

pub(super) struct Story<'a> {
    orchestrator: &'a Orchestrator,
    output: Output,
    chapter: u32,
}

impl<'a> Story<'a> {
    pub(super) fn new(orchestrator: &'a Orchestrator, output: Output) -> Self {
        Self { orchestrator, output, chapter: 0 }
    }

    /// Shows everything; fails where something does not go as told.
    pub(super) async fn tell(mut self) -> Result<(), Failure> {
        self.servers().await?;
        self.routes().await?;
        self.failover().await?;
        self.breaker().await?;
        self.cache().await
    }

    fn title(&mut self, text: &str) {
        self.chapter += 1;
        self.say(&format!("\n{}. {text}", self.chapter));
    }

    /// The story is for people: with `--json`, stdout is the dashboard's alone.
    fn say(&self, text: &str) {
        if self.output.json { self.output.note(text) } else { self.output.line(text) }
    }

    async fn servers(&mut self) -> Result<(), Failure> {
        self.title(
            "Six MCP servers start: real processes over stdio, five systems, one of them twice",
        );
        let servers = source::wait(self.orchestrator, Duration::from_secs(15), self.output).await;
        expect(
            servers.iter().all(|server| server.health_status == Readiness::Healthy),
            "a server did not start",
        )
    }

    async fn routes(&mut self) -> Result<(), Failure> {
        self.title("Requests are routed by what they need");
        for (request_type, arguments) in REQUESTS {
            let (result, took) = self.route((request_type, arguments)).await?;
            let reply = result?;
            expect(!reply.is_error, &format!("{request_type} failed: {}", reply.result.as_str()))?;
            self.say(&format!("   {request_type} -> {} ({})", server(&reply), millis(took)));
        }
        Ok(())
    }

    async fn failover(&mut self) -> Result<(), Failure> {
        self.title("A server is killed; the next request does not notice");
        let (result, _) = self.route(READ).await?;
        let first = server(&result?);
        let id = self.process(&first)?;
        signal(id, Signal::KILL)?;
        self.say(&format!("   {first} (process {id}) answered, and is killed"));
        let (result, took) = self.route(READ).await?;
        let second = server(&result?);
        self.say(&format!("   the same request -> {second} ({})", millis(took)));
        expect(second != first, "the killed server answered")?;
        let back = self.until(|| self.process(&first).is_ok_and(|new| new != id)).await;
        expect(back, "the killed server did not come back")?;
        self.say(&format!("   {first} is back as process {}", self.process(&first)?));
        Ok(())
    }

    async fn breaker(&mut self) -> Result<(), Failure> {
        self.title("A server freezes; its breaker opens, calls fail at once, and it recovers");
        let request = REQUESTS[2];
        let id = self.process("notion")?;
        signal(id, Signal::STOP)?;
        self.say(&format!("   notion (process {id}) is frozen"));
        let refused = loop {
            let (result, took) = self.route(request).await?;
            let Err(error) = result else {
                signal(id, Signal::CONT)?;
                return Err(Failure::unexpected("the frozen server answered"));
            };
            self.say(&format!("   {} -> {} ({})", request.0, error.kind(), millis(took)));
            match error.kind() {
                Kind::CircuitOpen { retry_after } => break retry_after,
                Kind::Timeout => {}
                _ => {
                    signal(id, Signal::CONT)?;
                    return Err(error.into());
                }
            }
        };
        signal(id, Signal::CONT)?;
        self.say(&format!(
            "   notion is thawed; the breaker lets a probe through in {:.1} s",
            refused.as_secs_f64()
        ));
        tokio::time::sleep(refused).await;
        let (result, took) = self.route(request).await?;
        self.say(&format!("   {} -> {} ({})", request.0, server(&result?), millis(took)));
        let report = self.orchestrator.servers().into_iter().find(|server| server.name == "notion");
        let state = report.and_then(|report| report.breaker).unwrap_or("none");
        self.say(&format!("   notion's breaker is {state}"));
        expect(state == "closed", "the breaker did not close")
    }

    async fn cache(&mut self) -> Result<(), Failure> {
        self.title("A read is remembered until something is written");
        let read = REQUESTS[3];
        let write = ("database", r#"{"action":"set","path":"/gauges/north","data":{"level":4.2}}"#);
        let (first, _) = self.route(read).await?;
        first?;
        for (request, wanted) in
            [(read, Freshness::Cached), (write, Freshness::Fetched), (read, Freshness::Fetched)]
        {
            let (result, took) = self.route(request).await?;
            let reply = result?;
            expect(!reply.is_error, reply.result.as_str())?;
            let from = if reply.freshness == Freshness::Cached { "the cache" } else { "firebase" };
            self.say(&format!("   {} {} <- {from} ({})", request.0, request.1, millis(took)));
            expect(reply.freshness == wanted, "not from where it should be")?;
        }
        Ok(())
    }

    async fn route(
        &self,
        request: (&str, &str),
    ) -> Result<(Result<Reply, Error>, Duration), Failure> {
        let arguments = RawJson::new(request.1.to_owned())
            .map_err(|error| Failure::unexpected(error.to_string()))?;
        let started = source::now();
        let result = self.orchestrator.route(request.0, &arguments).await;
        Ok((result, started.elapsed()))
    }

    fn process(&self, name: &str) -> Result<u32, Failure> {
        let servers = self.orchestrator.servers();
        let id = servers
            .into_iter()
            .find(|server| server.name == name)
            .and_then(|server| server.process_id);
        id.ok_or_else(|| Failure::unexpected(format!("{name} has no process")))
    }

    async fn until(&self, done: impl Fn() -> bool) -> bool {
        let waiting = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.is_ok()
    }
}

fn server(reply: &Reply) -> String {
    reply.server.as_deref().unwrap_or("?").to_owned()
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1e3)
}

fn expect(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure::unexpected(format!("the demo did not go as it should: {otherwise}")))
    }
}

fn signal(process: u32, signal: Signal) -> Result<(), Failure> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| Failure::unexpected("no such process"))?;
    kill_process(id, signal)
        .map_err(|error| Failure::unexpected(format!("process {process}: {error}")))
}
