//! Any text is a configuration, or gets errors with places inside it; and all of it can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolweir::config::{Config, Problem};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let env = |name: &str| (name == "SET").then(|| "a value".to_owned());
    match Config::from_str(text, "toolweir.jsonc", &env) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| check(text, warning));
            for server in &config.servers {
                let _ = config.policies(server);
            }
            let _ = format!("{config:?}");
        }
        Err(errors) => {
            assert!(!errors.problems().is_empty());
            errors.problems().iter().for_each(|problem| check(text, problem));
            let _ = errors.to_string();
        }
    }
});

fn check(text: &str, problem: &Problem) {
    assert!(!problem.message().is_empty());
    let _ = (problem.render(true), problem.to_string());
    let Some(place) = problem.place() else { return };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line = text.split('\n').nth(place.line - 1).expect("a line of the text");
    assert!(
        (1..=line.chars().count() + 1).contains(&place.column),
        "{place} {}",
        problem.message()
    );
}
