//! Picks for one purpose, made by one owner.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use toolweir_core::Instant;

use crate::attempt::Attempt;
use crate::router::Router;
use crate::table::{Table, Wanted};

/// [`Router::pick`] for one set of capabilities, bound once: for a worker that asks for the same again and again.
///
/// It keeps the table of servers that it last saw, with the capabilities looked up in it, and looks only whether there is a new
/// one. Each worker makes its own.
///
/// ```
/// use toolweir_router::Router;
///
/// let router = Router::default();
/// router.add("eu", ["github"]);
/// let mut picker = router.picker(["github"]);
/// let attempt = picker.pick().ok_or("nobody")?;
/// # drop(attempt);
/// # Ok::<(), &str>(())
/// ```
pub struct Picker<'r> {
    router: &'r Router,
    table: Cache<&'r ArcSwap<Table>, Arc<Table>>,
    capabilities: Box<[Arc<str>]>,
    /// The capabilities, and the version of the table that they were looked up in.
    wanted: (u64, Wanted),
}

impl<'r> Picker<'r> {
    pub(crate) fn new(
        router: &'r Router,
        table: &'r ArcSwap<Table>,
        capabilities: Box<[Arc<str>]>,
    ) -> Self {
        let mut table = Cache::new(table);
        let seen: &Arc<Table> = table.load();
        let wanted = (seen.version, seen.resolve(&capabilities));
        Self { router, table, capabilities, wanted }
    }

    /// Begins a call at the best server that has all of the capabilities; `None` where there is none.
    #[must_use]
    pub fn pick(&mut self) -> Option<Attempt> {
        self.pick_at(self.router.now())
    }

    /// [`pick`](Self::pick) at `now`.
    #[inline]
    #[must_use]
    pub fn pick_at(&mut self, now: Instant) -> Option<Attempt> {
        let table = self.table.load();
        if table.version != self.wanted.0 {
            self.wanted = (table.version, table.resolve(&self.capabilities));
        }
        self.router.pick_in(table, &self.wanted.1, now)
    }
}

impl fmt::Debug for Picker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker").field("capabilities", &self.capabilities).finish_non_exhaustive()
    }
}
