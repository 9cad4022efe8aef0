//! "Did you mean".

use std::collections::HashSet;

/// So many are named.
const MOST: usize = 3;

/// Those of `known` that are most like `word`, the likest first; none where none is.
pub(crate) fn names<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Vec<&'k str> {
    let own = pairs(word);
    let mut likest: Vec<(f64, &str)> = known
        .filter_map(|name| {
            // A tool is often asked for without its server.
            let bare = name.split_once("__").map_or(name, |(_, bare)| bare);
            let likeness = likeness(&own, &pairs(name)).max(likeness(&own, &pairs(bare)));
            (likeness >= 0.6).then_some((likeness, name))
        })
        .collect();
    likest.sort_by(|a, b| b.0.total_cmp(&a.0));
    likest.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// The letters and digits of a word, two by two.
fn pairs(word: &str) -> HashSet<(char, char)> {
    let letters: Vec<char> =
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    letters.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// From 0, no pair in common, to 1, all of them (Dice's coefficient).
fn likeness(a: &HashSet<(char, char)>, b: &HashSet<(char, char)>) -> f64 {
    let pairs = a.len() + b.len();
    if pairs == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a name has few letters")]
    let share = 2.0 * a.intersection(b).count() as f64 / pairs as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_missing_servers_are_recognised() {
        let known = ["hub__create_issue", "hub__list_issues", "chat__post_message"];
        for (word, expected) in [
            ("hub__creat_isue", vec!["hub__create_issue"]),
            ("create_issue", vec!["hub__create_issue"]),
            ("postMessage", vec!["chat__post_message"]),
            ("weather", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(names(word, known.into_iter()), expected, "{word}");
        }
    }
}
