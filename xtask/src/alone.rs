//! `cargo xtask alone`: each README's example in a project of its own, which depends on that one crate.
//!
//! Inside this workspace another crate may turn on what an example needs; in a stranger's project none does.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Failure;
use crate::command::{Cargo, timed};
use crate::table::{Align, layout};
use crate::tidy;
use crate::workspace::{Package, Workspace};

/// What an example may use beside its crate: the name in the code, and the line of the manifest.
const OTHERS: [(&str, &str); 4] = [
    ("tokio::", r#"tokio = { version = "1", features = ["macros", "rt"] }"#),
    ("serde_json::", r#"serde_json = "1""#),
    ("async_trait", r#"async-trait = "0.1""#),
    ("toolweir_core::", r#"toolweir-core = { path = "{root}/core" }"#),
];

/// Builds and runs them, and prints a table; whether every example ran.
///
/// # Errors
/// Fails where a README has no example, a project cannot be written or cargo cannot be started.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Failure> {
    let sizes = tidy::sizes(workspace)?;
    let mut rows = Vec::new();
    let mut good = true;
    for package in workspace.packages.iter().filter(|package| package.is_product()) {
        let folder = workspace.target.join("alone").join(&package.folder);
        project(workspace, package, &folder)?;
        let command = Cargo::new("run --quiet --manifest-path")
            .arg(folder.join("Cargo.toml").display().to_string())
            .arg("--target-dir")
            .arg(workspace.target.join("alone").join("target").display().to_string());
        eprintln!("   {command}");
        let (ran, took) = timed(|| command.run(&workspace.root));
        let ran = ran?;
        good &= ran;
        let size = sizes.iter().find(|(name, ..)| *name == package.name);
        let (crates, budget) =
            size.map_or((String::new(), String::new()), |(_, crates, budget)| {
                (crates.to_string(), budget.map_or_else(String::new, |budget| budget.to_string()))
            });
        let word = if ran { "ran" } else { "FAILED" };
        let seconds = format!("{:.1} s", took.as_secs_f64());
        rows.push(vec![package.name.clone(), crates, budget, word.to_owned(), seconds]);
    }
    println!("\n{}", layout(&HEAD, &rows));
    Ok(good)
}

const HEAD: [(&str, Align); 5] = [
    ("package", Align::Left),
    ("crates", Align::Right),
    ("budget", Align::Right),
    ("example", Align::Left),
    ("time", Align::Right),
];

/// Writes the project; a file that would stay the same is left alone, so that nothing is built twice.
fn project(workspace: &Workspace, package: &Package, folder: &Path) -> Result<(), Failure> {
    let readme = workspace.root.join(&package.folder).join("README.md");
    let text =
        fs::read_to_string(&readme).map_err(|error| format!("{}: {error}", readme.display()))?;
    let example =
        example(&text).ok_or_else(|| format!("{}: no example in Rust", readme.display()))?;
    fs::create_dir_all(folder.join("src"))?;
    // The versions that the workspace was tested with.
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock"))?;
    if !folder.join("Cargo.lock").is_file() {
        fs::write(folder.join("Cargo.lock"), lock)?;
    }
    write(&folder.join("Cargo.toml"), &manifest(package, &workspace.root, &example))?;
    write(&folder.join("src").join("main.rs"), &program(&example))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn manifest(package: &Package, root: &Path, example: &str) -> String {
    let (name, folder, root) = (&package.name, &package.folder, root.display().to_string());
    let mut text = format!(
        "[workspace]\n\n[package]\nname = \"alone\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         {name} = {{ path = \"{root}/{folder}\", default-features = false }}\n"
    );
    for (used, line) in OTHERS {
        if example.contains(used) && !line.starts_with(name) {
            let _ = writeln!(text, "{}", line.replace("{root}", &root));
        }
    }
    text
}

/// The first example in Rust that is meant to run, its hidden lines shown.
fn example(readme: &str) -> Option<String> {
    let mut lines = readme.lines().skip_while(|line| line.trim() != "```rust").skip(1).peekable();
    lines.peek()?;
    let shown = |line: &str| match line.strip_prefix("# ") {
        Some(hidden) => format!("{hidden}\n"),
        None => format!("{line}\n"),
    };
    Some(lines.take_while(|line| line.trim() != "```").map(shown).collect())
}

/// The program that rustdoc makes of an example, too.
fn program(example: &str) -> String {
    if example.contains("fn main()") {
        return example.to_owned();
    }
    let result = if example.trim_end().ends_with("(())") {
        " -> Result<(), impl std::fmt::Debug>"
    } else {
        ""
    };
    let ends = if result.is_empty() { "" } else { ".unwrap()" };
    format!("fn main() {{\nfn example(){result} {{\n{example}}}\nexample(){ends};\n}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# x\n\n```toml\na = 1\n```\n\n```rust\nuse x::X;\n# use tokio::spawn;\nX::new()?;\n# Ok::<(), x::E>(())\n```\n\n```rust\nno();\n```\n";

    #[test]
    fn the_first_example_becomes_a_program() {
        let example = example(README).expect("there is one");
        assert_eq!(example, "use x::X;\nuse tokio::spawn;\nX::new()?;\nOk::<(), x::E>(())\n");
        let program = program(&example);
        assert!(program.contains("fn example() -> Result<(), impl std::fmt::Debug> {\nuse x::X;"));
        assert!(program.ends_with("example().unwrap();\n}\n"), "{program}");
        assert_eq!(super::program("fn main() {}\n"), "fn main() {}\n");
        assert!(super::program("go();\n").ends_with("go();\n}\nexample();\n}\n"));
        assert_eq!(super::example("# x\n\n```toml\n```\n"), None);
    }

    #[test]
    fn it_depends_on_the_crate_and_on_what_the_example_names() {
        let mut package: Package = serde_json::from_value(serde_json::json!({
            "name": "toolweir-x", "version": "0.1.0", "manifest_path": "/repo/x/Cargo.toml",
            "rust_version": null, "description": null, "readme": null, "dependencies": [], "targets": [],
        }))
        .expect("the shape of cargo's own output");
        package.folder = "x".into();
        let manifest = manifest(&package, Path::new("/repo"), "use tokio::spawn;");
        let dependencies = manifest.split("[dependencies]\n").nth(1).expect("it has them");
        assert_eq!(
            dependencies,
            "toolweir-x = { path = \"/repo/x\", default-features = false }\n\
             tokio = { version = \"1\", features = [\"macros\", \"rt\"] }\n"
        );
    }
}
