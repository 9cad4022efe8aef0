//! Programs that are ended whatever happens: each in a group of its own, all of them known.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Failure;
use crate::command::timed;

/// Groups that have been started and not yet ended.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// How long a program gets to end by itself.
const GRACE: Duration = Duration::from_secs(15);
/// How much of a program's output is kept.
const OUTPUT_MAX: u64 = 16 * 1024 * 1024;

/// A program that is ended on drop, and whatever it started in its group with it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    /// Starts `command` as the leader of a new group.
    ///
    /// # Errors
    /// Fails where it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let name = command.get_program().display().to_string();
        let mut groups = groups();
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        groups.push(child.id());
        Ok(Self { child })
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended; `None` if it has not by then.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let mut status = None;
        until(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Ends it: politely, then not.
    pub(crate) fn end(&mut self) -> Option<std::process::ExitStatus> {
        signal("TERM", self.id());
        let status = self.wait(GRACE);
        signal("KILL", self.id());
        let status = status.or_else(|| self.child.wait().ok());
        groups().retain(|group| *group != self.child.id());
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port of loopback that was free a moment ago, and that the system hands out again last.
///
/// # Errors
/// Fails where there is none.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts a server and waits until it listens on `port` of loopback.
///
/// # Errors
/// Fails where it cannot be started, or does not listen within `limit`.
pub(crate) fn listening(
    command: &mut Command,
    port: u16,
    limit: Duration,
) -> Result<Running, Failure> {
    let server = Running::start(command)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    match until(limit, || TcpStream::connect(address).is_ok()) {
        true => Ok(server),
        false => Err(format!("{command:?} does not listen").into()),
    }
}

/// Ends everything on a signal to this program.
///
/// # Errors
/// Fails where signals cannot be received.
pub(crate) fn end_on_signals() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            end_all("stopped by a signal");
        }
    });
    Ok(())
}

/// Ends everything when `limit` is over.
pub(crate) fn end_after(limit: Duration) {
    std::thread::spawn(move || {
        pause(limit);
        end_all(&format!("not done within {} s", limit.as_secs()));
    });
}

/// Runs a command to its end.
///
/// # Errors
/// Fails where it cannot be started, or does not end within `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Output, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command)?;
    let stdout = drain(running.child.stdout.take());
    let stderr = drain(running.child.stderr.take());
    let status = running.wait(limit);
    // What it has left behind ends with it, so that nothing holds the pipes open.
    drop(running);
    let read = |from: mpsc::Receiver<Vec<u8>>| from.recv_timeout(GRACE).unwrap_or_default();
    let (stdout, stderr) = (read(stdout), read(stderr));
    let status = status.ok_or_else(|| {
        format!("not done within {} s: {}", limit.as_secs(), String::from_utf8_lossy(&stderr))
    })?;
    Ok(Output { status, stdout, stderr })
}

fn drain(from: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, all) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            let _ = from.take(OUTPUT_MAX).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    all
}

/// Ends all groups and then this program.
fn end_all(why: &str) -> ! {
    eprintln!("error: {why}; ending what was started");
    // Held until the end: nothing more is started.
    let groups = groups();
    for group in groups.iter() {
        signal("TERM", *group);
    }
    let gone = || groups.iter().all(|group| !Path::new(&format!("/proc/{group}/fd/0")).exists());
    until(Duration::from_secs(10), gone);
    for group in groups.iter() {
        signal("KILL", *group);
    }
    std::process::exit(130)
}

fn groups() -> std::sync::MutexGuard<'static, Vec<u32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a signal to a group.
fn signal(name: &str, group: u32) {
    send(name, &format!("-{group}"));
}

/// Kills one process at once.
pub(crate) fn kill(id: u32) {
    send("KILL", &id.to_string());
}

fn send(name: &str, to: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$0\" -- \"$1\"", name, to]).stdin(Stdio::null());
    let _ = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Waits for so long.
pub(crate) fn pause(time: Duration) {
    let (_sender, never) = mpsc::channel::<()>();
    assert_eq!(never.recv_timeout(time), Err(RecvTimeoutError::Timeout));
}

/// Asks every 50 ms until it holds; whether it did before the time was over.
pub(crate) fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let step = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    loop {
        let (held, took) = timed(&mut holds);
        if held {
            return true;
        }
        if waited >= limit {
            return false;
        }
        pause(step);
        waited += step + took;
    }
}

/// A process of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    parent: u32,
    pub(crate) command: String,
}

/// The processes below `ancestor`, nearest first.
pub(crate) fn below(ancestor: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.id);
            found.push(process.clone());
        }
    }
    found
}

/// The processes that work in `folder` or were started from it.
pub(crate) fn of(folder: &Path) -> Vec<Process> {
    let named = folder.display().to_string();
    let here = |process: &Process| {
        let works = fs::read_link(format!("/proc/{}/cwd", process.id));
        works.is_ok_and(|works| works.starts_with(folder)) || process.command.contains(&named)
    };
    all().into_iter().filter(|process| process.id != std::process::id() && here(process)).collect()
}

fn all() -> Vec<Process> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(read).collect()
}

fn read(id: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in brackets and may have any letter: what follows the last bracket is fixed.
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let (state, parent) = (rest.next()?, rest.next()?.parse().ok()?);
    let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    (state != "Z").then_some(Process { id, parent, command })
}
