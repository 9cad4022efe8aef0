//! What runs on this machine, as Linux tells it.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::MARK;

/// A process that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    group: u32,
    /// When it was started: with it, an id means one process for good.
    pub(super) started: u64,
}

impl Process {
    /// Reads `/proc/ID/stat`; `None` where it has ended, waited for or not.
    pub(super) fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X");
        let group = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        (!is_over).then_some(Self { id, group, started })
    }

    fn has(&self, mark: &str) -> bool {
        let wanted = format!("{MARK}={mark}");
        fs::read(format!("/proc/{}/environ", self.id))
            .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    }

    /// Signals this process, and no other that was given its id meanwhile.
    pub(super) fn signal(&self, signal: Signal) {
        let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw) else { return };
        let handle = pidfd_open(id, PidfdFlags::empty());
        if Self::read(self.id).is_none_or(|now| now.started != self.started) {
            return; // what the handle means is another
        }
        let _ = match handle {
            Ok(handle) => pidfd_send_signal(handle, signal),
            Err(_) => kill_process(id, signal), // a kernel before 5.3
        };
    }
}

/// All that have the mark, or belong to one of these groups.
pub(super) fn left(groups: &HashMap<u32, u64>, mark: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = std::process::id();
    let is_ours = |process: &Process| {
        let group =
            groups.get(&process.group).is_some_and(|started| is_group(process.group, *started));
        group || process.has(mark)
    };
    ids.filter(|id| *id != own).filter_map(Process::read).filter(is_ours).collect()
}

/// Whether the group is the one whose leader was started then. While a group has members its number is given to no
/// other process, so that a leader which is gone proves nothing against it.
fn is_group(group: u32, started: u64) -> bool {
    Process::read(group).is_none_or(|leader| leader.started == started || started == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_by_its_start() {
        let this = Process::read(std::process::id()).unwrap();
        assert!(this.started > 0 && this.group > 0);
        assert!(is_group(this.id, this.started) && !is_group(this.id, this.started + 1));
        assert!(!this.has("nobody"));
        assert_eq!(Process::read(u32::MAX), None);
    }

    #[test]
    fn an_id_that_another_has_now_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::read(child.id()).unwrap();
        Process { started: process.started + 1, ..process }.signal(Signal::KILL);
        assert_eq!(Process::read(child.id()), Some(process), "it was another's");
        process.signal(Signal::KILL);
        assert!(!child.wait().unwrap().success());
    }
}
