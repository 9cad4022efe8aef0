//! What must hold of any text.

use proptest::prelude::*;
use toolweir::config::Severity;

use super::read;

/// Pieces that make texts which come far.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "-1",
        "1e999",
        "//",
        "/*",
        "*/",
        "\n",
        "\r",
        "\t",
        "${",
        "}",
        "\"mcpServers\":{",
        "\"s\":{",
        "\"toolweir\":{",
        "\"command\":",
        "\"env\":{",
        "\"headers\":{",
        "\"url\":",
        "\"token\":",
        "\"${TOKEN}\"",
        "\"${NO}\"",
        "\"http://h\"",
        "\"é𝄞\"",
        "\\u0000",
        "\\",
        "\u{feff}",
        "\u{200d}",
        "'",
        "\"breaker\":",
        "\"handlers\":{",
        "\"listen\":",
        "\"0.0.0.0:1\"",
        "\"prefix\":",
        "\"capabilities\":[",
    ];
    prop_oneof![4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Reads `text`, and checks what must hold of any.
fn check(text: &str) {
    let problems = match read(text) {
        Ok((config, warnings)) => {
            assert!(!format!("{config:?}").contains("t0ps3cret"));
            assert!(warnings.iter().all(|warning| warning.severity() == Severity::Warning));
            warnings
        }
        Err(errors) => {
            assert!(errors.problems().iter().any(|problem| problem.severity() == Severity::Error));
            errors.into_problems()
        }
    };
    for problem in problems {
        let shown = problem.to_string();
        let place = problem.place().expect("the text was read");
        assert!(shown.contains(&format!("--> toolweir.jsonc:{place}\n")), "{shown}");
        assert!(shown.contains('^') && shown.contains("= help: "), "{shown}");
        assert!(!shown.contains("t0ps3cret"), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn no_mixture_panics(pieces in prop::collection::vec(piece(), 0..40)) {
        check(&pieces.concat());
    }

    /// A right file with a part cut out or put in is told of, or still right.
    #[test]
    fn no_damage_panics(from in 0usize..900, length in 0usize..30, put in piece()) {
        let text = include_str!("../../broken/values.jsonc");
        let cut: String = text.chars().enumerate().filter(|(at, _)| !(from..from + length).contains(at)).map(|(_, c)| c).collect();
        let middle = (0..=from.min(cut.len())).rev().find(|at| cut.is_char_boundary(*at)).unwrap_or_default();
        check(&format!("{}{put}{}", &cut[..middle], &cut[middle..]));
    }
}
