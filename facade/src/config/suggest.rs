//! "Did you mean".

/// The one of `known` that `word` was probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = plain(word)?;
    let distances = known.iter().filter_map(|candidate| {
        let other = plain(candidate)?;
        let distance = distance(&word, &other);
        let cut_short = word.len() >= 3 && other.starts_with(&word);
        (cut_short || distance <= other.len().max(word.len()) / 3).then_some((distance, *candidate))
    });
    distances.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Small letters only, so that `max_wait_ms` is as near to `maxWaitMs` as can be; nothing for what is too long to be a slip.
fn plain(word: &str) -> Option<Vec<char>> {
    (word.len() <= 40).then(|| {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    })
}

/// How many letters to add, drop, change or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["failures", "cooldownMs", "maxWaitMs", "ttlMs", "url"];
        for (word, meant) in [
            ("failure", Some("failures")),
            ("fialures", Some("failures")),
            ("cooldown_ms", Some("cooldownMs")),
            ("MAXWAITMS", Some("maxWaitMs")),
            ("ttl", Some("ttlMs")),
            ("ttlms", Some("ttlMs")),
            ("urls", Some("url")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }
}
