//! The watchdog's own end of the pipe, and what it does once that is closed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use rustix::process::Signal;

/// How many groups are kept in mind; more are found by their mark.
const GROUPS_MAX: usize = 10_000;
/// The longest line.
const LINE_MAX: u64 = 64;
/// How long children get after TERM.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long KILL is repeated: what is being started meanwhile shows only then.
const INSISTENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether something is left.
const PAUSE: Duration = Duration::from_millis(20);

/// The line for a new group, whose leader was started then.
pub(super) fn begun(group: u32, started: u64) -> String {
    format!("+{group} {started}\n")
}

/// The line for a group that has ended.
pub(super) fn ended(group: u32) -> String {
    format!("-{group}\n")
}

/// When a process was started, in the kernel's own units; `None` where that cannot be known.
pub(super) fn start_time(process: u32) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return super::processes::Process::read(process).map(|process| process.started);
    #[cfg(not(target_os = "linux"))]
    return None.filter(|_: &u64| process == 0);
}

pub(super) fn run(input: impl Read, mark: &str) {
    let groups = heard(input);
    if !mark.is_empty() || !groups.is_empty() {
        end(&groups, mark);
    }
}

/// The groups that are left when the pipe is closed.
fn heard(input: impl Read) -> HashMap<u32, u64> {
    let mut input = BufReader::new(input);
    let mut groups = HashMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        match input.by_ref().take(LINE_MAX).read_line(&mut line) {
            Ok(1..) => {}
            _ => return groups,
        }
        if let Some(rest) = line.strip_prefix('+') {
            let mut numbers = rest.split_whitespace();
            let group = numbers.next().and_then(|number| number.parse().ok());
            let started = numbers.next().and_then(|number| number.parse().ok());
            if let (Some(group @ 2..), Some(started), true) =
                (group, started, groups.len() < GROUPS_MAX)
            {
                groups.insert(group, started);
            }
        } else if let Some(group) = line.strip_prefix('-') {
            groups.remove(&group.trim_end().parse().unwrap_or_default());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a process of its own, without a runtime")]
fn end(groups: &HashMap<u32, u64>, mark: &str) {
    let mut waited = Duration::ZERO;
    let mut told = std::collections::HashSet::new();
    loop {
        let signal = if waited < PATIENCE { Signal::TERM } else { Signal::KILL };
        let left = signal_all(groups, mark, signal, &mut told);
        if left == 0 || waited >= PATIENCE + INSISTENCE {
            return;
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// Sends the signal to all that is left, TERM once to each; says how many there are.
#[cfg(target_os = "linux")]
fn signal_all(
    groups: &HashMap<u32, u64>,
    mark: &str,
    signal: Signal,
    told: &mut std::collections::HashSet<(u32, u64)>,
) -> usize {
    let left = super::processes::left(groups, mark);
    for process in &left {
        if signal == Signal::KILL || told.insert((process.id, process.started)) {
            process.signal(signal);
        }
    }
    left.len()
}

#[cfg(not(target_os = "linux"))]
fn signal_all(
    groups: &HashMap<u32, u64>,
    _: &str,
    signal: Signal,
    told: &mut std::collections::HashSet<(u32, u64)>,
) -> usize {
    use rustix::process::{Pid, kill_process_group, test_kill_process_group};
    let pid = |group: &u32| Pid::from_raw(i32::try_from(*group).ok()?);
    let left: Vec<u32> = groups
        .keys()
        .copied()
        .filter(|group| pid(group).is_some_and(|pid| test_kill_process_group(pid).is_ok()))
        .collect();
    for group in &left {
        if let Some(pid) = pid(group).filter(|_| signal == Signal::KILL || told.insert((*group, 0)))
        {
            let _ = kill_process_group(pid, signal);
        }
    }
    left.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_not_ended_is_left() {
        let lines =
            [begun(100, 7), begun(200, 8), ended(100), begun(1, 1), "+x\n?\n-\n".to_owned()];
        assert_eq!(heard(lines.concat().as_bytes()), HashMap::from([(200, 8)]));
        let long = format!("+{}", "1".repeat(1_000_000));
        assert!(heard(long.as_bytes()).is_empty());
    }

    #[test]
    fn without_anything_to_do_it_ends_at_once() {
        run(&b""[..], "");
        run(&b""[..], "nobody-has-this-mark");
    }
}
