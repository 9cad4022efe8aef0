//! Groups: what is invalidated together, by counting epochs.
//!
//! Every entry notes the epochs of its groups as they were *before* its fetch began, and is valid only while they
//! still are. Invalidating a group is one addition, whatever is stored or being fetched at that moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One group's epoch.
#[derive(Debug, Default)]
pub(crate) struct Group(AtomicU64);

impl Group {
    pub(crate) fn epoch(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A group's epoch as it was when a fetch began.
#[derive(Debug)]
pub(crate) struct Mark {
    group: Arc<Group>,
    epoch: u64,
}

impl Mark {
    pub(crate) fn is_current(&self) -> bool {
        self.group.epoch() == self.epoch
    }
}

/// All groups that any entry or fetch belongs to.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<Arc<str>, Arc<Group>>,
    /// Looking for unused groups pays only once this many are known.
    sweep_at: usize,
}

/// Below this many groups nobody looks for unused ones.
const SWEEP_FROM: usize = 256;

impl Groups {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the present epochs of the groups of these names.
    pub(crate) fn mark(&self, names: &[Arc<str>]) -> Box<[Mark]> {
        if names.is_empty() {
            return Box::default();
        }
        let mut table = self.lock();
        names
            .iter()
            .map(|name| {
                let group = table.group(name);
                Mark { epoch: group.epoch(), group }
            })
            .collect()
    }

    /// Ends the epoch of the group of this name.
    pub(crate) fn invalidate(&self, name: &str) {
        if let Some(group) = self.lock().groups.get(name) {
            group.advance();
        }
    }

    /// Ends the epoch of every group whose name begins so.
    pub(crate) fn invalidate_prefix(&self, prefix: &str) {
        for (name, group) in &self.lock().groups {
            if name.starts_with(prefix) {
                group.advance();
            }
        }
    }

    /// How many groups are known.
    pub(crate) fn len(&self) -> usize {
        self.lock().groups.len()
    }
}

impl Table {
    fn group(&mut self, name: &Arc<str>) -> Arc<Group> {
        if let Some(group) = self.groups.get(name) {
            return group.clone();
        }
        if self.groups.len() >= self.sweep_at.max(SWEEP_FROM) {
            // A group that only this table holds has no entry and no fetch: forgetting its epoch revives nothing.
            self.groups.retain(|_, group| Arc::strong_count(group) > 1);
            self.sweep_at = self.groups.len() * 2;
        }
        let group = Arc::<Group>::default();
        self.groups.insert(name.clone(), group.clone());
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn a_mark_ends_with_its_group_only() {
        let groups = Groups::default();
        let marks = groups.mark(&names(&["github", "github tools", "slack"]));
        groups.invalidate("github");
        let current: Vec<_> = marks.iter().map(Mark::is_current).collect();
        assert_eq!(current, [false, true, true]);
        groups.invalidate_prefix("git");
        let current: Vec<_> = marks.iter().map(Mark::is_current).collect();
        assert_eq!(current, [false, false, true]);
        assert!(groups.mark(&names(&["github"]))[0].is_current());
    }

    #[test]
    fn unused_groups_are_forgotten() {
        let groups = Groups::default();
        let kept = groups.mark(&names(&["kept"]));
        for number in 0..100_000 {
            groups.mark(&names(&[&format!("g{number}")]));
        }
        assert!(groups.len() <= SWEEP_FROM, "{}", groups.len());
        groups.invalidate("kept");
        assert!(!kept[0].is_current());
    }

    #[test]
    fn groups_in_use_are_kept_however_many() {
        let groups = Groups::default();
        let marks: Vec<_> = (0..2_000).map(|n| groups.mark(&names(&[&format!("g{n}")]))).collect();
        groups.invalidate_prefix("g");
        assert!(marks.iter().all(|marks| !marks[0].is_current()));
    }

    /// Where many are in use, it looks for the others each time that twice as many are known.
    #[test]
    fn many_in_use_keep_no_others_for_long() {
        let groups = Groups::default();
        let mark = |kind: &str, number: u32| groups.mark(&names(&[&format!("{kind}{number}")]));
        let kept: Vec<_> = (0..300).map(|number| mark("kept", number)).collect();
        let counts = (0..2_000).map(|number| {
            mark("unused", number);
            groups.len()
        });
        let counts: Vec<usize> = counts.collect();
        // The first look, at 256, found all in use, so the next came at 512; it left 300.
        assert_eq!(counts[..213].last_chunk(), Some(&[511, 512, 301]));
        assert_eq!(counts[..513].last_chunk(), Some(&[599, 600, 301]));
        assert!(counts.iter().all(|count| *count <= 600));
        drop(kept);
        (0..2_000).for_each(|number| drop(mark("unused", number)));
        assert!(groups.len() <= SWEEP_FROM, "{}", groups.len());
    }
}
