//! A small process that outlives this one where it is killed, and then ends the children that it had.
//!
//! No signal tells of SIGKILL, so that nobody in this process can see to its children then. The watchdog holds the
//! reading end of a pipe whose writing end only this process has: its end is this process's end, however that came.

mod holder;
#[cfg(target_os = "linux")]
mod processes;
mod run;

pub use self::holder::Watchdog;
pub(super) use self::holder::Watched;

/// The variable by which children, and what they start, are known even where they left their process group.
const MARK: &str = "TOOLWEIR_CHILD_OF";
