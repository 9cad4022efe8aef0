//! This process's end of the pipe.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::unix::pipe;
use tokio::process::Command;

use super::{MARK, run};

/// How often it is started again where it was ended by somebody else.
const STARTS_MAX: u32 = 3;

/// Ends children that would outlive this process where it is killed.
///
/// Given to a [`Program`](crate::Program), it is started with the first child; clones share one. It needs a program that
/// calls [`Watchdog::run`], usually this very one under a hidden command. Where it cannot be started a warning is
/// logged, and children are served all the same. Without one, children whose parent was killed end only when they
/// notice that their input has ended.
///
/// ```no_run
/// use toolweir_wire::{Program, Watchdog};
///
/// if std::env::args().nth(1).as_deref() == Some("watchdog") {
///     let mark = std::env::args().nth(2).unwrap_or_default();
///     Watchdog::run(std::io::stdin(), &mark); // ends with whoever started it
///     return Ok(());
/// }
/// let watchdog = Watchdog::new(std::env::current_exe()?, ["watchdog"]);
/// let program = Program::new("mcp-server-files").watched_by(&watchdog);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Watchdog(Arc<Inner>);

struct Inner {
    program: OsString,
    args: Vec<OsString>,
    /// What marks children of ours.
    mark: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pipe: Option<pipe::Sender>,
    starts: u32,
    /// Process groups, with the times at which their leaders were started.
    groups: HashMap<u32, u64>,
}

impl Watchdog {
    /// A watchdog that `program` runs, with a last argument of ours behind `args`. Nothing is started yet.
    #[must_use]
    pub fn new(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let mut random = [0_u8; 8];
        let _ = getrandom::fill(&mut random); // the process id alone tells ours from most others
        let random = u64::from_ne_bytes(random);
        let inner = Inner {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            mark: format!("{}-{random:016x}", std::process::id()),
            state: Mutex::default(),
        };
        Self(Arc::new(inner))
    }

    /// The watchdog's own side: reads `input` until its end, then ends all children that are left, with what they
    /// started: TERM, and KILL two seconds later. `mark` is the last argument that the process was given.
    ///
    /// Blocks. On Linux it finds what left its process group, too; elsewhere groups are all that it knows.
    pub fn run(input: impl Read, mark: &str) {
        run::run(input, mark);
    }

    /// The variable that marks children.
    pub(in crate::upstream) fn mark(&self) -> (&'static str, &str) {
        (MARK, &self.0.mark)
    }

    /// Makes sure that it runs, before there is anything to watch.
    pub(in crate::upstream) fn start(&self) {
        let mut state = self.state();
        if state.pipe.is_none() {
            self.start_again(&mut state);
        }
    }

    /// Watches over a process group whose leader has just been started and has not been waited for.
    pub(in crate::upstream) fn watch(&self, group: u32) -> Watched {
        let started = run::start_time(group).unwrap_or_default();
        let mut state = self.state();
        state.groups.insert(group, started);
        self.tell(&mut state, &run::begun(group, started));
        drop(state);
        Watched { watchdog: self.clone(), group }
    }

    fn tell(&self, state: &mut State, line: &str) {
        let Some(pipe) = &state.pipe else { return };
        match pipe.try_write(line.as_bytes()) {
            Ok(_) => {}
            // It is far behind: what it misses it finds by its mark.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.start_again(state), // it tells of this one, too
        }
    }

    fn start_again(&self, state: &mut State) {
        state.pipe = None;
        if state.starts >= STARTS_MAX {
            return;
        }
        state.starts += 1;
        match self.spawn() {
            Ok(pipe) => {
                for (group, started) in &state.groups {
                    let _ = pipe.try_write(run::begun(*group, *started).as_bytes());
                }
                state.pipe = Some(pipe);
            }
            Err(error) => {
                tracing::warn!(%error, "no watchdog: where this process is killed, children may outlive it");
            }
        }
    }

    fn spawn(&self) -> io::Result<pipe::Sender> {
        let mut command = std::process::Command::new(&self.0.program);
        // Nothing of this process is held open, and no signal of its terminal or its group arrives there.
        command
            .args(&self.0.args)
            .arg(&self.0.mark)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = Command::from(command).spawn()?;
        let Some(input) = child.stdin.take() else {
            return Err(io::Error::other("a child without a pipe"));
        };
        pipe::Sender::from_owned_fd(input.into_owned_fd()?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("program", &self.0.program).finish_non_exhaustive()
    }
}

/// A process group that is watched over; dropped once it has ended.
#[derive(Debug)]
pub(in crate::upstream) struct Watched {
    watchdog: Watchdog,
    group: u32,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.watchdog.state();
        state.groups.remove(&self.group);
        self.watchdog.tell(&mut state, &run::ended(self.group));
    }
}
