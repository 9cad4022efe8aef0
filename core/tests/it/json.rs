//! Raw JSON keeps its bytes, walks what serde_json reads, and shows no value.

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use toolweir_core::{CacheKey, Call, InvalidJson, Method, Principal, RawJson, Reply};

/// White space that JSON allows.
fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

/// Numbers in every spelling, also ones that no float holds.
fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,4})?"
}

/// A string as it is written: plain, escaped, and with lone surrogates.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z{}\\[\\],: é漢😀]",
        Just(r#"\""#.to_owned()),
        "\\\\[\\\\/bfnrt]",
        "\\\\u[0-9a-fA-F]{4}"
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Any value as it is written, with odd spacing.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        string(),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let item = (space(), inner, space()).prop_map(|(a, b, c)| a + &b + &c).boxed();
        let member = (space(), string(), space(), item.clone())
            .prop_map(|(a, key, b, item)| format!("{a}{key}{b}:{item}"));
        prop_oneof![
            prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

fn raw(text: &str) -> RawJson {
    RawJson::new(text.to_owned()).expect("the text is JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_byte_stays(before in space(), text in value(), after in space()) {
        let json = raw(&format!("{before}{text}{after}"));
        prop_assert_eq!(json.as_str(), &text);
        prop_assert_eq!(json.as_bytes(), text.as_bytes());
        prop_assert_eq!(json.len(), text.len());
        prop_assert_eq!(&RawJson::of(&json).unwrap(), &json);
        prop_assert_eq!(json.get::<RawJson>().unwrap(), json);
    }

    #[test]
    fn a_value_within_another_stays_too(outer in space(), text in value()) {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            params: &'a serde_json::value::RawValue,
        }
        let bytes = Bytes::from(format!("{{{outer}\"params\":{outer}{text}{outer}}}"));
        let envelope: Envelope<'_> = serde_json::from_slice(&bytes).unwrap();
        let within = RawJson::within(&bytes, envelope.params);
        prop_assert_eq!(within.as_str(), &text);
        let json = RawJson::new(bytes.clone()).unwrap();
        prop_assert_eq!(&json.part(json.parts::<Envelope<'_>>().unwrap().params), &within);
        let at = within.as_bytes().as_ptr() as usize - bytes.as_ptr() as usize;
        prop_assert!(at < bytes.len(), "the bytes are shared, not copied");
    }

    #[test]
    fn items_are_those_that_were_written(
        items in prop::collection::vec((space(), value(), space()), 0..6),
    ) {
        let texts: Vec<String> = items.iter().map(|(a, b, c)| format!("{a}{b}{c}")).collect();
        let json = raw(&format!("[{}]", texts.join(",")));
        let found: Vec<RawJson> = json.items().map(|item| item.to_json()).collect();
        let written: Vec<RawJson> = items.iter().map(|(_, text, _)| raw(text)).collect();
        prop_assert_eq!(found, written);
        prop_assert_eq!(json.members().count(), 0);
    }

    #[test]
    fn members_are_those_that_were_written(
        members in prop::collection::vec((space(), "[a-z\"\\\\\n]{0,4}", space(), value()), 0..6),
    ) {
        let write = |(a, key, b, value): &(String, String, String, String)| {
            format!("{a}{}{b}:{a}{value}{b}", serde_json::to_string(key).unwrap())
        };
        let texts: Vec<String> = members.iter().map(write).collect();
        let json = raw(&format!("{{{}}}", texts.join(",")));
        let found: Vec<(String, RawJson)> =
            json.members().map(|it| (it.key.into_owned(), it.value.to_json())).collect();
        let written: Vec<(String, RawJson)> =
            members.iter().map(|(_, key, _, value)| (key.clone(), raw(value))).collect();
        prop_assert_eq!(found, written);
    }

    /// Against the plain model of an object: a list of keys and values.
    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else(
        values in prop::collection::vec((space(), value()), 5),
        present in prop::collection::vec(any::<bool>(), 5),
        set in 0..5_usize,
        removed in 0..5_usize,
        new in value(),
    ) {
        prop_assume!(set != removed);
        let keys = ["a", "b", "c", "d", "e"];
        let mut model: Vec<(&str, &str)> = Vec::new();
        let mut texts = Vec::new();
        for (index, (space, value)) in values.iter().enumerate().filter(|(index, _)| present[*index]) {
            model.push((keys[index], value));
            texts.push(format!("{space}\"{}\"{space}:{space}{value}{space}", keys[index]));
        }
        let json = raw(&format!("{{{}}}", texts.join(",")));
        let edited = json.edit().set(keys[set], &raw(&new)).remove(keys[removed]).finish().unwrap();
        match model.iter_mut().find(|(key, _)| *key == keys[set]) {
            Some(member) => member.1 = &new,
            None => model.push((keys[set], &new)),
        }
        model.retain(|(key, _)| *key != keys[removed]);
        RawJson::new(edited.to_bytes()).unwrap();
        let found: Vec<(String, String)> = edited
            .members()
            .map(|it| (it.key.into_owned(), it.value.to_json().as_str().to_owned()))
            .collect();
        let expected: Vec<(String, String)> =
            model.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        match RawJson::new(bytes) {
            Ok(json) => prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(json.as_bytes()).is_ok()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn what_is_not_one_value_is_refused() {
    for text in
        ["", " ", "{", "1 2", "{} x", "01", "'a'", "{a:1}", "[1,]", "\u{feff}{}", "nul", "\"\n\""]
    {
        assert!(matches!(RawJson::new(text), Err(InvalidJson::Syntax(_))), "{text:?}");
    }
    assert!(RawJson::new(&b"\"\xff\""[..]).is_err(), "not UTF-8");
}

#[test]
fn debug_shows_the_size_only() {
    let secret = raw(r#"{"token":"hunter2"}"#);
    let key = CacheKey {
        group: "github".into(),
        principal: Some(Principal::local()),
        text: secret.as_str().into(),
    };
    let call = Call::new(Method::TOOLS_CALL, Some(secret.clone()));
    let shown = [
        format!("{secret:?}"),
        format!("{call:?}"),
        format!("{:?}", Reply::new(secret.clone())),
        format!("{key:?}"),
        format!("{:?}", secret.members().collect::<Vec<_>>()),
    ];
    assert_eq!(shown[0], "RawJson(19 bytes)");
    for shown in shown {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// serde_json's text for a value of the wrong shape quotes the value, which may be a secret.
#[test]
fn a_value_of_the_wrong_shape_is_not_quoted() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[expect(dead_code, reason = "only its type matters")]
        count: u32,
    }
    for text in [r#"{"count":"hunter2"}"#, r#"{"hunter2":1}"#, r#""hunter2""#] {
        let error = raw(text).get::<Shape>().unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(
            error.to_string().contains("not of the expected shape at line 1 column "),
            "{error}"
        );
    }
    let missing = raw("{}").get::<Shape>().unwrap_err();
    assert_eq!(missing.to_string(), "not valid JSON: missing field `count` at line 1 column 2");
}

/// However much looks like nesting in strings or stands side by side, and where exactly the limit is.
#[test]
fn depth_is_that_of_the_deepest_value() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let beside = format!("[{}]", vec![nested(3); 500].join(","));
    let in_a_string = format!(r#"{{"a":"{}\"{{"}}"#, "[{".repeat(500));
    for (text, depth) in [
        ("7".to_owned(), 0),
        (nested(1), 1),
        (nested(100), 100),
        (nested(120), 120),
        (beside, 4),
        (in_a_string, 1),
        (format!(r#"{{"a":"[","b":{}}}"#, nested(2)), 3),
    ] {
        let json = RawJson::new(text.clone()).unwrap();
        assert!(json.is_within_depth(depth), "{text}");
        assert!(depth == 0 || !json.is_within_depth(depth - 1), "{text}");
    }
}
