//! JSON that is well-formed and yet seldom survives a typed model.

use proptest::prelude::*;

/// A value as text: numbers that no float holds, escapes that no string type takes, members in any order and twice, white
/// space of every kind.
pub(crate) fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(
            &[
                "null",
                "true",
                "1e22",
                "-0",
                "-0.0",
                "1E400",
                "1.10",
                r#""\ud800 lone""#,
                r#""\udfff\uD83D""#,
                r#""\u00e9é\/""#,
                r#""<\/script>""#,
                r#""\u0000\b""#,
                r#""""#,
            ][..]
        )
        .prop_map(str::to_owned),
        "-?[1-9][0-9]{0,40}",
        "[0-9]\\.[0-9]{1,30}[eE][+-]?[0-9]{1,3}",
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space()).prop_map(
                |(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))
            ),
            (prop::collection::vec((key(), inner), 0..5), space()).prop_map(|(members, space)| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{space}{key}{space}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Few, so that some stand twice.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(&[r#""a""#, r#""\u0061""#, r#""name""#, r#""_meta""#, r#""id""#][..])
            .prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
    ]
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

/// As a message a line has it: line ends between tokens are spaces.
pub(crate) fn in_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
