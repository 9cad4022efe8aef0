//! Files: which is read, and what is said of one that cannot be.

use std::fs;
use std::path::{Path, PathBuf};

use toolweir::config::Config;

/// A directory of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory to write in");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_found_in_their_order() {
    let folder = Folder::new("find");
    let missing = Config::find_in(&folder.0).expect_err("no file");
    assert!(missing.to_string().contains("neither toolweir.jsonc nor .mcp.json"), "{missing}");
    fs::write(folder.0.join(".mcp.json"), r#"{"mcpServers":{"second":{"command":"c"}}}"#).unwrap();
    assert_eq!(Config::find_in(&folder.0).unwrap().0.servers[0].name, "second");
    fs::write(folder.0.join("toolweir.jsonc"), r#"{"mcpServers":{"first":{"command":"c"}}}"#)
        .unwrap();
    assert_eq!(Config::find_in(&folder.0).unwrap().0.servers[0].name, "first");
    fs::write(folder.0.join("toolweir.jsonc"), "{").unwrap();
    let broken =
        Config::find_in(&folder.0).expect_err("the first is broken, the second is not asked");
    assert_eq!(broken.problems()[0].file(), folder.0.join("toolweir.jsonc").display().to_string());
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = Folder::new("load");
    let none = Config::load(folder.0.join("none.jsonc")).expect_err("no file");
    assert!(none.problems()[0].message().starts_with("the file cannot be read"), "{none}");
    assert!(Config::load(&folder.0).is_err());
    fs::write(folder.0.join("latin1.jsonc"), b"{\n\"caf\xe9\": 1}").unwrap();
    let latin1 = Config::load(folder.0.join("latin1.jsonc")).expect_err("not UTF-8");
    assert_eq!(latin1.problems()[0].message(), "the file is not UTF-8, from line 2 on");
}
