//! How many crates a user of ours has to build.

use std::collections::BTreeSet;

use super::Violation;
use crate::Failure;
use crate::command::Cargo;
use crate::table::{Align, layout};
use crate::workspace::Workspace;

/// The most crates in each package's tree: normal dependencies, no default features, itself included.
const BUDGETS: [(&str, usize); 8] = [
    ("toolweir-core", 22),
    ("toolweir-breaker", 28),
    ("toolweir-router", 28),
    ("toolweir-metrics", 28),
    ("toolweir-ratelimit", 48),
    ("toolweir-cache", 38),
    ("toolweir-wire", 110),
    ("toolweir", 130),
];

/// A package's tree beside its budget; `None` where no budget is set for it.
#[derive(Debug)]
pub(super) struct Size {
    package: String,
    folder: String,
    crates: usize,
    budget: Option<usize>,
}

impl Size {
    pub(super) fn into_parts(self) -> (String, usize, Option<usize>) {
        (self.package, self.crates, self.budget)
    }
}

/// Asks cargo for every product's tree.
///
/// # Errors
/// Fails where cargo cannot resolve the tree.
pub(super) fn measure(workspace: &Workspace) -> Result<Vec<Size>, Failure> {
    let products = workspace.packages.iter().filter(|package| package.is_product());
    let size = |package: &crate::workspace::Package| {
        let tree = Cargo::new("tree --locked -e normal --no-default-features --prefix none -p")
            .arg(&package.name)
            .output(&workspace.root)?;
        let budget = BUDGETS.iter().find(|(name, _)| *name == package.name).map(|(_, most)| *most);
        let (package, folder) = (package.name.clone(), package.folder.clone());
        Ok(Size { package, folder, crates: count(&tree), budget })
    };
    products.map(size).collect()
}

/// Distinct crates (name and version) in what `cargo tree --prefix none` prints.
fn count(tree: &str) -> usize {
    let name_and_version = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    tree.lines().filter_map(name_and_version).collect::<BTreeSet<_>>().len()
}

/// The sizes for people.
pub(super) fn table(sizes: &[Size]) -> String {
    let number = |number: Option<usize>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let row =
        |size: &Size| vec![size.package.clone(), size.crates.to_string(), number(size.budget)];
    let rows: Vec<Vec<String>> = sizes.iter().map(row).collect();
    layout(&[("package", Align::Left), ("crates", Align::Right), ("budget", Align::Right)], &rows)
}

/// Which trees are over their budget, or have none.
pub(super) fn check(sizes: &[Size]) -> Vec<Violation> {
    let over = |size: &Size| {
        let place = format!("{}/Cargo.toml", size.folder);
        let (name, crates) = (&size.package, size.crates);
        match size.budget {
            None => Some(Violation::new(
                place,
                format!("`{name}` has no dependency budget"),
                "add one in xtask/src/tidy/budget.rs",
            )),
            Some(budget) if crates > budget => Some(Violation::new(
                place,
                format!("`{name}` builds {crates} crates, and may build {budget}"),
                format!(
                    "see `cargo tree -p {name} -e normal --no-default-features`: turn off default \
                     features, or move the dependency behind a feature"
                ),
            )),
            Some(_) => None,
        }
    };
    sizes.iter().filter_map(over).collect()
}

#[cfg(test)]
mod tests {
    use super::super::made_up::told;
    use super::*;

    #[test]
    fn a_crate_counts_once_and_two_versions_count_twice() {
        let tree = "toolweir-core v0.1.0 (/repo/core)\nserde v1.0.2\nserde_derive v1.0.2 (proc-macro)\n\
                    serde v1.0.2 (*)\nsyn v2.0.1\nsyn v3.0.0\n\n";
        assert_eq!(count(tree), 5);
    }

    #[test]
    fn over_budget_is_told_and_at_budget_is_not() {
        let size = |package: &str, crates, budget| Size {
            package: package.into(),
            folder: package.trim_start_matches("toolweir-").into(),
            crates,
            budget,
        };
        let sizes = [
            size("toolweir-core", 22, Some(22)),
            size("toolweir-wire", 111, Some(110)),
            size("toolweir-new", 1, None),
        ];
        assert_eq!(
            told(&check(&sizes)),
            [
                "wire/Cargo.toml: `toolweir-wire` builds 111 crates, and may build 110",
                "new/Cargo.toml: `toolweir-new` has no dependency budget",
            ]
        );
    }
}
