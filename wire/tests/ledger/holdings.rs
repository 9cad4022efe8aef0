//! What a process holds, as Linux tells it.

use std::fmt;
use std::fs;

/// Memory, descriptors, children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Its memory now, in KiB.
    pub(crate) memory: u64,
    /// The most that it ever had, in KiB.
    pub(crate) peak: u64,
    pub(crate) descriptors: u64,
    /// Its children, zombies among them.
    pub(crate) children: u64,
}

impl Holdings {
    /// Those of a process that may be looked at; `None` where it is not there.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches("kB").trim().parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
        Some(Self {
            memory: kib("VmRSS:")?,
            peak: kib("VmHWM:")?,
            descriptors,
            children: children(process),
        })
    }
}

fn children(process: u32) -> u64 {
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let parent = |entry: fs::DirEntry| -> Option<u32> {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name stands in brackets and may have any letter: what follows the last bracket is fixed.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    all.flatten().filter_map(parent).filter(|parent| *parent == process).count() as u64
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, descriptors, children, .. } = self;
        write!(f, "{memory} KiB, {descriptors} descriptors, {children} children")
    }
}
