//! Hears that a configuration file may have changed, however that is done: written to, renamed over, or reached through
//! symbolic links of which one is swapped, as in Kubernetes' config maps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How long it must be quiet before a change is looked at: what is written in parts is then written.
const QUIET: Duration = Duration::from_millis(200);
/// How long is waited for that.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How many symbolic links are followed.
const LINKS_MAX: usize = 40;

/// Watches the folders in which something can happen to one file.
pub(crate) struct Watch {
    file: PathBuf,
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    events: mpsc::Receiver<()>,
}

impl Watch {
    pub(crate) fn new(file: &Path) -> notify::Result<Self> {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_read = event.is_ok_and(|event| event.kind.is_access());
            if !is_read {
                let _ = sender.try_send(()); // full: it will be looked at anyway
            }
        })?;
        let file = std::path::absolute(file)?;
        let mut watch = Self { file, watcher, folders: BTreeSet::new(), events };
        watch.follow();
        Ok(watch)
    }

    /// Waits until something happened near the file and it has been quiet since.
    ///
    /// # Cancel safety
    /// What had happened by then may be forgotten.
    pub(crate) async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            return std::future::pending().await; // the watcher has ended: nothing will be heard
        }
        let quiet = async {
            while let Ok(Some(())) = tokio::time::timeout(QUIET, self.events.recv()).await {}
        };
        let _ = tokio::time::timeout(QUIET_MAX, quiet).await;
        self.follow();
    }

    /// Watches where the links lead now.
    fn follow(&mut self) {
        let wanted = folders(&self.file);
        for gone in self.folders.difference(&wanted) {
            let _ = self.watcher.unwatch(gone); // it may not be there any more
        }
        // Those that are known are watched anew: another folder may stand under the same name.
        let watched = wanted.into_iter().filter(|folder| {
            let _ = self.watcher.unwatch(folder);
            let result = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            if let Err(error) = &result {
                tracing::debug!(folder = %folder.display(), %error, "not watched");
            }
            result.is_ok()
        });
        self.folders = watched.collect();
    }
}

/// The folders that hold the file, or a symbolic link on the way to it.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut paths = vec![file.to_owned()];
    let mut links = 0;
    while let Some(path) = paths.pop() {
        folders.extend(path.parent().map(Path::to_owned));
        let mut so_far = PathBuf::new();
        let mut parts = path.components();
        while let Some(part) = parts.next() {
            so_far.push(part);
            let Ok(target) = std::fs::read_link(&so_far) else { continue };
            links += 1;
            if links > LINKS_MAX {
                return folders;
            }
            let folder = so_far.parent().unwrap_or(Path::new("/"));
            folders.insert(folder.to_owned());
            paths.push(folder.join(target).join(parts.as_path()));
            break;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_folder_on_the_way_is_watched() {
        let root = std::env::temp_dir().join(format!("toolweir-watch-{}", std::process::id()));
        let root_of = |path: &str| root.join(path);
        for folder in ["mount/..2024", "real", "loop"] {
            std::fs::create_dir_all(root_of(folder)).unwrap();
        }
        symlink("..2024", root_of("mount/..data")).unwrap();
        symlink("..data/file", root_of("mount/file")).unwrap();
        symlink(root_of("real"), root_of("mount/..2024/deep")).unwrap();
        symlink("b", root_of("loop/a")).unwrap();
        symlink("a", root_of("loop/b")).unwrap();
        let found = folders(&root_of("mount/file"));
        let wanted = ["mount", "mount/..data", "mount/..2024"].map(root_of);
        assert!(wanted.iter().all(|folder| found.contains(folder)), "{found:?}");
        let found = folders(&root_of("mount/..2024/deep/file"));
        assert!(found.contains(&root_of("real")) && found.contains(&root_of("mount/..2024")));
        assert!(!folders(&root_of("loop/a")).is_empty(), "and it ends");
        std::fs::remove_dir_all(root).unwrap();
    }
}
