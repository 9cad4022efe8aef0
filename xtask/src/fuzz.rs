//! `cargo xtask fuzz`: made-up bytes for what reads bytes from strangers, guided by coverage.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::Failure;
use crate::command::{Cargo, output};
use crate::workspace::Workspace;

/// The targets: `fuzz/targets/NAME.rs` each.
const TARGETS: [&str; 8] = ["frame", "sse", "envelope", "header", "edit", "key", "config", "peer"];

/// Coverage as libFuzzer counts it, by the stable compiler: the crates are safe Rust, so that no sanitizer is needed.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// So long each target runs in `cargo xtask ci`, from one seed.
const IN_CI: u64 = 5;
const SEED_IN_CI: u32 = 1;

/// What is fed, and for how long.
///
/// For an hour of one target: `cargo xtask fuzz sse --minutes 60`. What is found is kept in the target directory
/// and goes on from there the next time; `--minimise` takes the smallest part of it that covers as much into
/// `fuzz/corpus`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The targets; all of them where none is named
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
    /// For how long, each [default: 60]
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// The same in minutes
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Begins with this seed, from the committed corpus alone
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Runs this one input of the one target named
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "minutes", "seed"])]
    input: Option<PathBuf>,
    /// Rewrites the committed corpus: the fewest inputs that cover what all of them do
    #[arg(long, conflicts_with_all = ["input", "seconds", "minutes", "seed"])]
    minimise: bool,
}

/// Runs the targets; whether none of them found anything.
///
/// # Errors
/// Fails where they cannot be built or started.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Failure> {
    let named = options.targets.iter().map(String::as_str);
    let targets: Vec<&str> =
        if options.targets.is_empty() { TARGETS.to_vec() } else { named.collect() };
    let seconds = options.minutes.map_or(options.seconds.unwrap_or(60), |minutes| minutes * 60);
    let fuzzer = Fuzzer::build(workspace)?;
    if let Some(input) = &options.input {
        let [target] = targets[..] else {
            return Err("name the one target that --input is for".into());
        };
        return Ok(fuzzer.command(target).arg(input).status()?.success());
    }
    for target in targets {
        if options.minimise {
            fuzzer.minimise(target)?;
        } else if !fuzzer.feed(target, seconds, options.seed)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A few seconds of every target, the same each time.
///
/// # Errors
/// As [`run`].
pub(crate) fn briefly(workspace: &Workspace) -> Result<bool, Failure> {
    let fuzzer = Fuzzer::build(workspace)?;
    for target in TARGETS {
        if !fuzzer.feed(target, IN_CI, Some(SEED_IN_CI))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The programs that were built, and where they keep what they find.
struct Fuzzer {
    sources: PathBuf,
    target: PathBuf,
    programs: PathBuf,
}

impl Fuzzer {
    fn build(workspace: &Workspace) -> Result<Self, Failure> {
        let mut rustc = Command::new("rustc");
        rustc.arg("-vV");
        let about = output(rustc, "rustc -vV")?;
        let host = about.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or("`rustc -vV` names no host")?;
        let target = workspace.target.join("fuzz");
        // Not --locked: a dependency that a crate gains is no reason to stop here.
        // With --target, the flags are for the programs alone and not for what builds them.
        let build = Cargo::new("build --release --manifest-path fuzz/Cargo.toml --target")
            .arg(host)
            .arg("--target-dir")
            .arg(target.display().to_string())
            .env("RUSTFLAGS", FLAGS);
        if !build.run(&workspace.root)? {
            return Err(format!("`{build}` failed; it needs a C++ compiler").into());
        }
        let programs = target.join(host).join("release");
        Ok(Self { sources: workspace.root.join("fuzz"), target, programs })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(self.programs.join(target));
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=4096",
        ]);
        command
    }

    fn committed(&self, target: &str) -> PathBuf {
        self.sources.join("corpus").join(target)
    }

    /// Where the inputs are kept that the target finds by itself.
    fn found(&self, target: &str) -> PathBuf {
        self.target.join("corpus").join(target)
    }

    /// Runs one target; whether it found nothing wrong.
    fn feed(&self, target: &str, seconds: u64, seed: Option<u32>) -> Result<bool, Failure> {
        let crashes = self.target.join("crashes").join(target);
        let log = self.target.join(format!("{target}.log"));
        let found = match seed {
            None => self.found(target),
            Some(_) => empty(self.target.join("fresh").join(target))?,
        };
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&crashes)?;
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}/", crashes.display()));
        if let Some(seed) = seed {
            command.arg(format!("-seed={seed}"));
        }
        let dictionary = self.sources.join("dictionaries").join(format!("{target}.dict"));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command.arg(&found).arg(self.committed(target));
        let succeeded =
            command.stdout(Stdio::null()).stderr(File::create(&log)?).status()?.success();
        let told = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if succeeded {
            println!("{target:<9} {}", last_state(&told));
            return Ok(true);
        }
        eprintln!("{target} found something; the whole of it is in {}\n", log.display());
        eprintln!("{}", what_failed(&told));
        match crash(&told) {
            Some(input) => eprintln!("\nto repeat it: cargo xtask fuzz {target} --input {input}"),
            None => eprintln!("\nit left no input behind"),
        }
        Ok(false)
    }

    /// Replaces the committed corpus by the smallest part of all that is known that covers as much.
    fn minimise(&self, target: &str) -> Result<(), Failure> {
        let (found, committed) = (self.found(target), self.committed(target));
        let least = empty(self.target.join("least").join(target))?;
        fs::create_dir_all(&found)?;
        let mut command = self.command(target);
        command.arg("-merge=1").args([&least, &committed, &found]);
        if !command.stderr(Stdio::null()).status()?.success() {
            return Err(format!("{target}: libFuzzer cannot merge the corpus").into());
        }
        let committed = empty(committed)?;
        let (mut files, mut bytes) = (0, 0);
        for entry in fs::read_dir(&least)? {
            let entry = entry?;
            bytes += fs::copy(entry.path(), committed.join(entry.file_name()))?;
            files += 1;
        }
        println!("{target:<9} {files} inputs, {bytes} bytes");
        Ok(())
    }
}

/// The folder, with nothing in it.
fn empty(folder: PathBuf) -> Result<PathBuf, Failure> {
    if Path::new(&folder).exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// What libFuzzer says at the end: runs, coverage, inputs kept.
fn last_state(told: &str) -> String {
    let done = told.lines().rev().find(|line| line.contains("DONE"));
    done.map_or("done".to_owned(), |line| line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The panic, or what else libFuzzer stopped for, without its progress lines.
fn what_failed(told: &str) -> String {
    let telling = |line: &&str| !line.starts_with(['#', '\t']) && !line.starts_with("INFO:");
    let lines: Vec<&str> = told.lines().filter(telling).collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// The file that libFuzzer wrote the input to.
fn crash(told: &str) -> Option<&str> {
    told.lines().rev().find_map(|line| line.split_once("Test unit written to ")).map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "INFO: Seed: 1\n#2\tINITED cov: 10 ft: 10\nthread panicked at targets/sse.rs:1:1:\nover\n\
        ==1== ERROR: libFuzzer: deadly signal\nartifact_prefix='/t/'; Test unit written to /t/crash-1\n";

    #[test]
    fn a_crash_is_told_with_its_input() {
        assert_eq!(crash(TOLD), Some("/t/crash-1"));
        assert!(what_failed(TOLD).starts_with("thread panicked at targets/sse.rs:1:1:\nover\n"));
        assert_eq!(crash("#9\tDONE cov: 11"), None);
    }

    #[test]
    fn the_end_is_told_in_one_line() {
        let told = "#2\tINITED cov: 1\n#70\tDONE   cov: 11 ft: 12 corp: 2/3b\nDone 70 runs";
        assert_eq!(last_state(told), "#70 DONE cov: 11 ft: 12 corp: 2/3b");
    }

    #[test]
    fn every_target_is_built_and_has_a_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("it is readable");
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for target in TARGETS {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
            let corpus = fs::read_dir(fuzz.join("corpus").join(target)).expect("it is readable");
            assert!(corpus.count() > 0, "{target}");
        }
    }
}
