//! What servers listed, kept on disk, so that a gateway that is started again lists it before they are there.
//!
//! One file a server, named for how it is reached; a server that is reached in another way is another. No secret goes in:
//! the name is made of what stands in the configuration before variables are replaced, of `env` and `headers` of the names
//! alone, and a list in which a secret value occurs is not kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use toolweir_core::{RawJson, ServerInfo};

use super::item::Kind;
use super::listing::Listing;

/// The form of the files; those of another are not read.
const VERSION: &str = "1";
/// The largest file that is kept or read.
const LARGEST: usize = 8 << 20;
/// How many files are kept; beyond, those that were written longest ago go.
const FILES_MAX: usize = 256;

/// A folder of lists.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

/// One server's place there.
#[derive(Debug)]
pub(crate) struct Place {
    shelf: Arc<Shelf>,
    file: PathBuf,
    server: Arc<str>,
    secrets: Vec<String>,
    /// Of what is on disk, so that the same is not written again.
    written: AtomicU64,
}

impl Shelf {
    /// The lists in `folder`, which is made when there is something to keep.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The place of the server that is reached as `identity` says.
    pub(crate) fn place(
        self: &Arc<Self>,
        server: Arc<str>,
        identity: &str,
        secrets: Vec<String>,
    ) -> Place {
        let file = self.folder.join(format!("{:032x}.json", fingerprint(identity.as_bytes())));
        Place { shelf: self.clone(), file, server, secrets, written: AtomicU64::new(0) }
    }

    /// Removes the oldest files where there are too many.
    fn tidy(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".json"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_unstable();
        let surplus = files.len().saturating_sub(FILES_MAX);
        for (_, file) in &files[..surplus] {
            fs::remove_file(file)?;
        }
        Ok(())
    }
}

impl Place {
    /// What is kept there; nothing where it cannot be read, which is told of unless there is just no file.
    pub(crate) fn load(&self) -> Option<(Listing, ServerInfo)> {
        let bytes = match read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return self.ignored(&error.to_string()),
        };
        self.written.store(short(&bytes), Ordering::Relaxed);
        match parse(bytes) {
            Some(kept) => Some(kept),
            None => self.ignored("it is no such list, or of another version"),
        }
    }

    fn ignored<T>(&self, why: &str) -> Option<T> {
        let file = self.file.display();
        tracing::warn!(server = &*self.server, %file, why, "a kept list is ignored");
        None
    }

    /// Keeps the lists. Blocks.
    pub(crate) fn keep(&self, listing: &Listing, info: &ServerInfo) {
        let Some(bytes) = write(listing, info) else { return };
        if bytes.len() > LARGEST || self.written.load(Ordering::Relaxed) == short(&bytes) {
            return;
        }
        if self.secrets.iter().any(|secret| holds(&bytes, secret)) {
            tracing::debug!(
                server = &*self.server,
                "a secret occurs in its lists: they are not kept"
            );
            return;
        }
        match self.replace(&bytes) {
            Ok(()) => self.written.store(short(&bytes), Ordering::Relaxed),
            Err(error) => {
                let folder = self.shelf.folder.display();
                tracing::warn!(server = &*self.server, %folder, %error, "its lists cannot be kept");
            }
        }
    }

    /// Writes beside the file and takes its name, so that nobody ever reads half of it.
    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.shelf.folder)?;
        let beside = self.file.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &self.file)
        };
        write().inspect_err(|_| drop(fs::remove_file(&beside)))?;
        self.shelf.tidy()
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

fn write(listing: &Listing, info: &ServerInfo) -> Option<Vec<u8>> {
    let protocol = RawJson::of(&*info.protocol_version).ok()?;
    let instructions = RawJson::of(&info.instructions).ok()?;
    let mut bytes = format!(
        r#"{{"version":{VERSION},"protocolVersion":{},"identity":{},"capabilities":{},"instructions":{}"#,
        protocol.as_str(),
        info.identity.as_str(),
        info.capabilities.as_str(),
        instructions.as_str(),
    )
    .into_bytes();
    for kind in Kind::ALL {
        bytes.extend_from_slice(format!(r#","{}":["#, kind.member()).as_bytes());
        for (index, item) in listing.of(kind).iter().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(item.json.as_bytes());
        }
        bytes.push(b']');
    }
    bytes.push(b'}');
    Some(bytes)
}

fn parse(bytes: Vec<u8>) -> Option<(Listing, ServerInfo)> {
    let kept = RawJson::new(bytes).ok()?;
    let member = |name: &str| kept.member(name).map(|part| part.to_json());
    if member("version")?.as_str() != VERSION {
        return None;
    }
    let mut info = ServerInfo::new(member("identity")?, member("capabilities")?);
    info.protocol_version = member("protocolVersion")?.get::<String>().ok()?.into();
    info.instructions = member("instructions")?.get().ok()?;
    let listing = Listing::read(|kind| member(kind.member()))?;
    Some((listing, info))
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    secret.len() >= 4 && bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
}

/// FNV-1a with 128 bits: the same on every machine and in every release, and no secret is in it.
fn fingerprint(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

fn short(bytes: &[u8]) -> u64 {
    u64::try_from(fingerprint(bytes) >> 64).unwrap_or_default() | 1 // 0: nothing is there
}

#[cfg(test)]
mod tests {
    use super::super::item::Item;
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = format!("toolweir-shelf-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(folder))
        }

        fn place(&self, identity: &str, secrets: &[&str]) -> Place {
            let secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
            Arc::new(Shelf::new(&self.0)).place("s".into(), identity, secrets)
        }

        fn files(&self) -> Vec<PathBuf> {
            let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
            entries.flatten().map(|entry| entry.path()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn listing(tools: &[&str]) -> Listing {
        let item = |name: &&str| {
            let json = serde_json::json!({ "name": name, "annotations": { "readOnlyHint": true } });
            Item::read(Kind::Tool, RawJson::from(json)).unwrap()
        };
        Listing::with_tools(tools.iter().map(item).collect())
    }

    #[test]
    fn what_is_kept_comes_back_in_its_order() {
        use std::os::unix::fs::MetadataExt;
        let folder = Folder::new("order");
        let place = folder.place("a", &[]);
        assert!(place.load().is_none());
        let (kept, mut info) = (listing(&["z", "a", "\u{e9}"]), ServerInfo::default());
        info.instructions = Some("with \"care\"".to_owned());
        info.protocol_version = "2025-11-25".into();
        place.keep(&kept, &info);
        let (read, read_info) = folder.place("a", &[]).load().unwrap();
        assert_eq!(read, kept);
        assert_eq!(read_info.instructions, info.instructions);
        assert_eq!(read_info.protocol_version, info.protocol_version);
        assert!(folder.place("b", &[]).load().is_none(), "another way is another server");
        let [file] = &folder.files()[..] else { panic!("one file, and none beside it") };
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder.0).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_same_is_not_written_again() {
        let folder = Folder::new("same");
        let place = folder.place("a", &[]);
        place.keep(&listing(&["x"]), &ServerInfo::default());
        fs::remove_file(&folder.files()[0]).unwrap();
        place.keep(&listing(&["x"]), &ServerInfo::default());
        assert!(folder.files().is_empty());
        place.keep(&listing(&["y"]), &ServerInfo::default());
        assert_eq!(folder.files().len(), 1);
    }

    #[test]
    fn a_broken_file_is_no_list() {
        let folder = Folder::new("broken");
        let place = folder.place("a", &[]);
        place.keep(&listing(&["x"]), &ServerInfo::default());
        let file = &folder.files()[0];
        let whole = fs::read(file).unwrap();
        for cut in 0..whole.len() {
            fs::write(file, &whole[..cut]).unwrap();
            assert!(place.load().is_none(), "{cut} bytes of {}", whole.len());
        }
        let other = String::from_utf8(whole).unwrap().replace("\"version\":1", "\"version\":2");
        fs::write(file, other).unwrap();
        assert!(place.load().is_none());
        fs::write(file, vec![b' '; LARGEST + 1]).unwrap();
        assert!(place.load().is_none());
    }

    #[test]
    fn no_secret_is_kept() {
        let folder = Folder::new("secret");
        folder.place("a", &["hunter2"]).keep(&listing(&["say_hunter2"]), &ServerInfo::default());
        assert!(folder.files().is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let folder = Folder::new("many");
        for server in 0..FILES_MAX + 5 {
            folder.place(&server.to_string(), &[]).keep(&listing(&["x"]), &ServerInfo::default());
        }
        assert_eq!(folder.files().len(), FILES_MAX);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_no_failure() {
        let folder = Folder::new("file");
        fs::write(&folder.0, "a file").unwrap();
        let place = folder.place("a", &[]);
        place.keep(&listing(&["x"]), &ServerInfo::default());
        assert!(place.load().is_none());
        fs::remove_file(&folder.0).unwrap();
    }
}
