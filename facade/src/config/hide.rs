//! Which parts of a file must not be shown beside a mistake.

use std::ops::Range;

use jsonc_parser::tokens::Token;
use jsonc_parser::{Scanner, ScannerOptions};

/// As loose as can be: what is hidden must not depend on the file being right.
const LOOSE: ScannerOptions = ScannerOptions {
    allow_single_quoted_strings: true,
    allow_hexadecimal_numbers: true,
    allow_unary_plus_numbers: true,
    allow_bare_decimal_point_numbers: true,
    allow_non_finite_numbers: true,
    allow_extended_string_escapes: true,
};

/// Objects in which every value is a secret.
const SECRET_OBJECTS: [&str; 3] = ["env", "headers", "http_headers"];
/// A key with one of these in it has a secret as its value.
const SECRET_KEYS: [&str; 6] =
    ["token", "secret", "password", "authorization", "apikey", "api_key"];

/// The bytes of all values that look like secrets: those in `env` and `headers`, of keys such as `token`, and URLs with
/// credentials. Works on tokens alone, so that a file that is no JSON gives nothing away either.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut scanner = Scanner::new(text, &LOOSE);
    let mut secrets = Vec::new();
    let mut within: Vec<bool> = Vec::new();
    let (mut last, mut key) = (String::new(), String::new());
    let mut after_colon = false;
    loop {
        let token = scanner.scan();
        let start = scanner.token_start();
        let is_secret = after_colon
            && (within.last() == Some(&true) || SECRET_KEYS.iter().any(|word| key.contains(word)));
        let token = match token {
            Ok(Some(token)) => token,
            Ok(None) => break,
            Err(_) if is_secret => {
                // Not even a token: all that follows on the line.
                let rest = text.get(start..).unwrap_or_default();
                secrets.push(start..start + rest.find('\n').unwrap_or(rest.len()));
                break;
            }
            Err(_) => break,
        };
        let end = scanner.token_end();
        match &token {
            Token::OpenBrace => {
                within.push(is_secret || after_colon && SECRET_OBJECTS.contains(&key.as_str()));
            }
            Token::CloseBrace => drop(within.pop()),
            Token::Colon => key = std::mem::take(&mut last),
            Token::String(string)
                if is_secret || (string.contains("://") && string.contains('@')) =>
            {
                secrets.push(start + 1..end.saturating_sub(1).max(start + 1));
            }
            Token::Word(_) | Token::Number(_) if is_secret => secrets.push(start..end),
            Token::String(string) => last = string.to_lowercase(),
            Token::Word(word) => last = word.to_lowercase(),
            _ => {}
        }
        after_colon = matches!(token, Token::Colon);
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_their_keys() {
        for (text, hidden) in [
            (r#"{"env":{"A":"x","B":1},"args":["y"]}"#, vec!["x", "1"]),
            (r#"{"Headers":{"A":'x'},"headers":{"B":x }}"#, vec!["x", "x"]),
            (r#"{"token":"x","apiKey":"y","other":"z"}"#, vec!["x", "y"]),
            (r#"{"url":"http://u:p@h","url":"http://h"}"#, vec!["http://u:p@h"]),
            (r#"{"env":{"A":{"B":"x"}}}"#, vec!["x"]),
            ("{\"token\":\"x\\u12\ny", vec!["\"x\\u12"]),
            ("{env:{A:\"x\" \"token\"", vec!["x"]),
        ] {
            let found: Vec<_> = secrets(text).into_iter().map(|bytes| &text[bytes]).collect();
            assert_eq!(found, hidden, "{text}");
        }
    }
}
