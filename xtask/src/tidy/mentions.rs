//! Documents name only files that exist.

use super::{Sources, Violation};

/// Checks the links and the paths in every tracked Markdown file.
pub(super) fn check(sources: &Sources) -> Vec<Violation> {
    let mut violations = Vec::new();
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        sources.has(path) || sources.0.keys().any(|known| known.starts_with(&folder))
    };
    for (document, text) in sources.texts().filter(|(path, _)| path.ends_with(".md")) {
        let home = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in text.lines().enumerate() {
            let links = links(line).filter_map(|link| resolve(home, link));
            let paths = paths(line, sources).map(str::to_owned);
            let mut missing: Vec<String> =
                links.chain(paths).filter(|path| !exists(path)).collect();
            missing.dedup();
            for path in missing {
                violations.push(Violation::new(
                    format!("{document}:{}", number + 1),
                    format!("names `{path}`, which does not exist or is not tracked"),
                    "correct the path, or add the file",
                ));
            }
        }
    }
    violations
}

/// Targets of the Markdown links in a line that look like files: `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target.split(['#', ' ']).next().unwrap_or_default());
    targets.filter(|target| {
        let elsewhere =
            target.contains("://") || target.contains("::") || target.starts_with("mailto:");
        let last = target.rsplit('/').next().unwrap_or_default();
        !elsewhere && (target.contains('/') || last.contains('.') || last.starts_with("LICENSE"))
    })
}

/// A link's target seen from the root; `None` where it leads out of the repository.
fn resolve(home: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = home.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Paths written in a line from the root, such as `core/src/time.rs`: a known folder first, an extension last.
fn paths<'a>(line: &'a str, sources: &Sources) -> impl Iterator<Item = &'a str> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_./-<>{}*$@:…".contains(c);
    let words = line.split(move |c: char| !part(c)).map(|word| word.trim_end_matches(['.', ':']));
    let words = words.map(|word| word.strip_prefix("./").unwrap_or(word));
    words.filter(|word| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c));
        let Some((top, rest)) = word.split_once('/').filter(|_| plain) else { return false };
        let folder = format!("{top}/");
        let last = rest.rsplit('/').next().unwrap_or_default();
        let has_extension = last.rsplit_once('.').is_some_and(|(stem, extension)| {
            !stem.is_empty() && extension.starts_with(|c: char| c.is_ascii_lowercase())
        });
        has_extension && !top.is_empty() && sources.0.keys().any(|known| known.starts_with(&folder))
    })
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{sources, told};
    use super::*;

    #[test]
    fn missing_files_are_told_with_their_lines() {
        let sources = sources(&[
            (
                "README.md",
                "See [the map](ARCHITECTURE.md), [none](docs/none.md#top) and [ours](core/src/).\n\
                 `core/src/time.rs` and `core/src/gone.rs`.\n\
                 toolweir serve --config examples/real.jsonc\n",
            ),
            ("ARCHITECTURE.md", ""),
            ("core/src/time.rs", ""),
            ("core/README.md", "[up](../README.md) [gone](../GONE.md) [`Call`](crate::Call)\n"),
            ("examples/other.jsonc", ""),
        ]);
        assert_eq!(
            told(&check(&sources)),
            [
                "README.md:1: names `docs/none.md`, which does not exist or is not tracked",
                "README.md:2: names `core/src/gone.rs`, which does not exist or is not tracked",
                "README.md:3: names `examples/real.jsonc`, which does not exist or is not tracked",
                "core/README.md:1: names `GONE.md`, which does not exist or is not tracked",
            ]
        );
    }

    #[test]
    fn what_only_looks_like_a_path_is_left_alone() {
        let sources = sources(&[
            (
                "README.md",
                "`tools/call`, `core/src/*.rs`, `core/<name>.rs`, https://docs.example/core/x.rs,\n\
                 `target/criterion/x.json`, core/1.88, [`Server::call`], [a](https://a.example/b.md)\n",
            ),
            ("core/src/lib.rs", ""),
        ]);
        assert_eq!(told(&check(&sources)), [""; 0]);
    }
}
