//! Children: started, lost, started again, ended with all that they began.

use super::*;

/// Whether a process runs; a zombie does not.
fn runs(pid: u64) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !matches!(stat.rsplit(") ").next().and_then(|rest| rest.chars().next()), Some('Z' | 'X'))
}

/// Whether there is such a process at all, even a zombie.
fn exists(pid: u64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn pid(server: &StdioServer) -> u64 {
    server.process_id().unwrap().into()
}

#[tokio::test]
async fn a_crash_fails_the_calls_in_flight_and_the_next_call_starts_it_again() {
    let server = stdio("legacy");
    let listener = Listener::at(&server);
    within(server.connect(soon())).await.unwrap();
    let first = pid(&server);
    let held = tool("hold", json!({}));
    let mut held = Box::pin(server.call(&held));
    tokio::select! {
        biased;
        _ = &mut held => panic!("`hold` never answers"),
        () = async { seen(&server).await; } => {}
    }
    let error = call(&server, "crash", json!({ "words": "out of cheese" })).await.unwrap_err();
    for error in [error, within(held).await.unwrap_err()] {
        assert_eq!((error.kind(), error.is_unsent()), (Kind::Disconnected, false));
        assert_eq!(error.server_name(), Some("peer"));
        // A child's words may hold anything; they are for the operator.
        let text = format!("{error} {error:?}");
        assert!(!text.contains("cheese") && text.contains("exit status: 3"), "{text}");
    }
    listener.hears("disconnected", 1).await;
    let loss = listener.losses.lock().unwrap()[0].to_string();
    assert!(loss.contains("out of cheese") && loss.contains("exit status: 3"), "{loss}");
    assert!(call(&server, "echo", json!({})).await.is_ok());
    assert_ne!(pid(&server), first);
    listener.hears("connected 2025-11-25", 2).await;
    assert_eq!(listener.heard(), ["connected 2025-11-25", "disconnected", "connected 2025-11-25"]);
}

#[tokio::test]
async fn a_large_answer_written_just_before_the_end_is_not_lost() {
    for size in [10, 60_000, 4 << 20] {
        let server = stdio("legacy");
        let reply = call(&server, "large", json!({ "size": size, "leave": true })).await;
        assert_eq!(reply.unwrap().size(), size + 2);
    }
}

#[tokio::test]
async fn what_the_child_started_ends_with_it() {
    for how in ["close", "drop", "crash"] {
        let server = stdio("legacy");
        let grandchild = value(&server, "grandchild", json!({})).await.as_u64().unwrap();
        let child = pid(&server);
        assert!(runs(grandchild) && runs(child));
        match how {
            "close" => within(server.close(soon())).await,
            "drop" => drop(server),
            _ => drop(call(&server, "crash", json!({})).await.unwrap_err()),
        }
        until(|| !runs(grandchild) && !exists(child)).await;
    }
}

#[tokio::test]
async fn a_child_that_ignores_the_closing_of_its_input_is_terminated() {
    let server = stdio("stubborn");
    within(server.connect(soon())).await.unwrap();
    let child = pid(&server);
    // Less than the ladder's own patience: the deadline decides.
    within(server.close(TokioClock.now() + Duration::from_millis(100))).await;
    until(|| !exists(child)).await;
    let error = call(&server, "echo", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Closed, true));
}

#[tokio::test]
async fn dropping_a_server_that_is_being_connected_kills_its_child() {
    // The attempt held the server alive, so the child lived until the limit on connecting.
    let marker = format!("{}", std::process::id());
    let program = Program::new("sh").args(["-c", "sleep 1000; :", &marker]);
    let server = StdioServer::new("peer", program, Options::default());
    let waits = async |wanted: bool| until(|| sleeper(&marker).is_some() == wanted).await;
    let connecting = tokio::spawn({
        let server = server.clone();
        async move { drop(server.connect(soon()).await) }
    });
    waits(true).await;
    connecting.abort();
    let _ = connecting.await;
    drop(server);
    waits(false).await;
}

/// The `sh` that sleeps and carries `marker`.
fn sleeper(marker: &str) -> Option<u64> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid: u64 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (line.contains(&format!("sleep 1000; :\0{marker}\0")) && runs(pid)).then_some(pid)
    })
}

#[tokio::test]
async fn fifty_lives_leave_no_descriptor_and_no_zombie() {
    let before = descriptors();
    let mut children = Vec::new();
    for round in 0..50 {
        let server = stdio("legacy");
        within(server.connect(soon())).await.unwrap();
        children.push(pid(&server));
        if round % 2 == 0 {
            within(server.close(soon())).await;
        }
    }
    // Other tests run beside this one, and may hold a few of their own.
    until(|| descriptors() <= before + 8 && children.iter().all(|pid| !exists(*pid))).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    until(move || metrics.num_alive_tasks() == 0).await;
}

/// FAULTS 12: a tree as `npx` makes it, started and ended over and over, in good order, by being dropped and by a kill
/// from outside.
#[tokio::test]
async fn cycles_of_a_tree_leave_no_process_and_no_descriptor() {
    const ALONE: &str = "TOOLWEIR_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        // In a process of its own: the descriptors and children of other tests come and go.
        let path = module_path!().split_once("::").unwrap().1;
        let name = format!("{path}::cycles_of_a_tree_leave_no_process_and_no_descriptor");
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&alone.stdout);
        let words = String::from_utf8_lossy(&alone.stderr);
        let passed = alone.status.success() && told.contains("1 passed");
        assert!(passed, "{told}{words}");
        let figure =
            format!("{} lives of a tree: 0 zombies, 0 orphans, descriptors as before", cycles());
        crate::peer::measured("12", &figure, passed);
        return;
    }
    let watchdog = Watchdog::new("/bin/sh", ["-c", "exec cat"]); // reads until its input ends, as a watchdog does
    let mut before = None;
    for cycle in 0..=cycles() {
        let tree = tree().watched_by(&watchdog);
        let server = StdioServer::new("peer", tree, Options::default());
        within(server.connect(soon())).await.unwrap();
        let (child, group) = (pid(&server), pid(&server).to_string());
        until(|| group_of(&group).len() >= 4).await;
        match cycle % 3 {
            0 => within(server.close(soon())).await,
            1 => drop(server),
            _ => {
                let kill = ["-9", &group];
                assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
                until(|| !exists(child)).await;
                within(server.close(soon())).await;
            }
        }
        until(|| group_of(&group).is_empty() && !exists(child)).await;
        // The first is for what the process keeps for good, such as the pipe of signals.
        let now = (descriptors(), zombies());
        assert_eq!(*before.get_or_insert(now), now, "after cycle {cycle}");
        assert_eq!(now.1, 0);
    }
}

fn cycles() -> usize {
    if crate::peer::full() { 1_000 } else { 20 }
}

/// A shell, its child that speaks, and two that do not.
fn tree() -> Program {
    let script = "sleep 1000 & (sleep 1000 & exec sleep 1000) & \"$0\" \"$@\"; :";
    let exe = std::env::current_exe().unwrap().display().to_string();
    Program::new("sh")
        .args(["-c", script, &exe, "--exact", "peer::server::process", "--nocapture"])
        .env(crate::peer::server::SCRIPT, "legacy")
}

/// The processes of a group that have not ended.
fn group_of(group: &str) -> Vec<u64> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u64| {
        runs(*id)
            && std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
                let rest = stat.rsplit(") ").next().unwrap_or_default();
                rest.split_whitespace().nth(2) == Some(group)
            })
    })
    .collect()
}

/// How many children of this process have ended and were not waited for.
fn zombies() -> usize {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap();
    let stats = entries
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let is_zombie = |stat: &String| {
        let mut rest = stat.rsplit(") ").next().unwrap_or_default().split_whitespace();
        rest.next() == Some("Z") && rest.next() == Some(&own)
    };
    stats.filter(is_zombie).count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_child_sees_an_allowed_environment_only() {
    let allowed = |name: &str| {
        let few = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];
        let ours =
            ["GIVEN", crate::peer::server::SCRIPT, "TEMP", "TMP", "SSL_CERT_FILE", "SSL_CERT_DIR"];
        few.contains(&name)
            || ours.contains(&name)
            || ["LC_", "XDG_", "NODE_EXTRA_CA_CERTS"].iter().any(|start| name.starts_with(start))
    };
    assert!(std::env::vars().any(|(name, _)| !allowed(&name)), "nothing here could leak");
    let program = program("legacy").env("GIVEN", "value-of-it");
    let server = StdioServer::new("peer", program, Options::default());
    let environment = value(&server, "environment", json!({})).await;
    assert_eq!(environment["GIVEN"], "value-of-it");
    assert!(environment["PATH"].is_string());
    let names = environment.as_object().unwrap().keys();
    let leaked: Vec<_> = names.filter(|name| !allowed(name)).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[tokio::test]
async fn secrets_stay_out_of_debug_and_errors() {
    let secret = "hunter2-canary";
    let program = program("legacy").args([secret]).env("TOKEN", secret);
    let server = StdioServer::new("peer", program.clone(), Options::default());
    assert!(!format!("{server:?} {program:?}").contains("canary"));
    let listener = Listener::at(&server);
    let words = format!("token {secret} was refused");
    call(&server, "crash", json!({ "words": words })).await.unwrap_err();
    listener.hears("disconnected", 1).await;
    let text = format!("{:?}", listener.losses.lock().unwrap());
    assert!(text.contains("was refused") && !text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_child_that_cannot_begin_says_why() {
    let error = call(&stdio("dies"), "echo", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Unreachable, true));
    let text = error.to_string();
    assert!(text.contains("no such database") && text.contains("exit status: 4"), "{text}");
}

/// The attempt was broken off, and its child killed some time after that.
#[tokio::test]
async fn close_waits_for_a_child_that_is_only_beginning() {
    let marker = format!("closing-{}", std::process::id());
    let program = Program::new("sh").args(["-c", "sleep 1000; :", &marker]);
    let server = StdioServer::new("peer", program, Options::default());
    let mut connecting = Box::pin(server.connect(soon()));
    let child = Mutex::new(None);
    tokio::select! {
        biased;
        _ = &mut connecting => panic!("it never answers"),
        () = until(|| {
            *child.lock().unwrap() = sleeper(&marker);
            child.lock().unwrap().is_some()
        }) => {}
    }
    within(server.close(soon())).await;
    assert!(!exists(child.lock().unwrap().unwrap()));
    assert_eq!(within(connecting).await.unwrap_err().kind(), Kind::Closed);
}

#[tokio::test]
async fn a_server_that_leaves_after_the_handshake_never_wedges() {
    // Its end could come before the connection counted as made, and then nobody noticed it any more.
    let server = stdio("leaves");
    let mut unreachable = 0;
    for _ in 0..20 {
        let error = call(&server, "echo", json!({})).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Disconnected | Kind::Unreachable), "{error}");
        unreachable += u32::from(error.kind() == Kind::Unreachable && error.is_unsent());
    }
    // Pauses between its lives: calls fail at once, and may be sent elsewhere.
    assert!(unreachable > 0);
}
