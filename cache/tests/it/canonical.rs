//! One text for all spellings.

use toolweir_cache::{NoKey, call_key, canonical};
use toolweir_core::{Call, Method, RawJson};

fn text(json: &str) -> Result<String, NoKey> {
    canonical(&RawJson::new(json.to_owned()).unwrap())
}

#[test]
fn spellings_of_the_same_value_have_one_text() {
    for (spelling, expected) in [
        (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        (" { \"b\" :\n1 ,\t\"a\" : 2 } ", r#"{"a":2,"b":1}"#),
        (r#"[ 1 , [ ] , { } , "x" ]"#, r#"[1,[],{},"x"]"#),
        (r#"{"o":{"z":[{"y":1,"x":2}],"a":null}}"#, r#"{"o":{"a":null,"z":[{"x":2,"y":1}]}}"#),
        (r#""\u0041\/\n""#, r#""A/\u000a""#),
        (r#""a \"quoted\" \\ word""#, r#""a \"quoted\" \\ word""#),
        (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
        (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        ("true", "true"),
        (r#"{"":{"":{}}}"#, r#"{"":{"":{}}}"#),
    ] {
        assert_eq!(text(spelling).as_deref(), Ok(expected), "{spelling}");
    }
}

#[test]
fn numbers_stay_as_they_are_written() {
    let spellings = [
        "1",
        "1.0",
        "1e0",
        "-0",
        "0",
        "1e22",
        "10000000000000000000000",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "0.1",
        "0.10",
        "1E22",
        "9007199254740993",
        "9007199254740992",
    ];
    for (index, one) in spellings.iter().enumerate() {
        assert_eq!(text(one).as_deref(), Ok(*one));
        for other in &spellings[index + 1..] {
            assert_ne!(text(&format!("[{one}]")), text(&format!("[{other}]")));
        }
    }
}

#[test]
fn what_has_no_text_is_refused() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for most in [deep(129), long(256 * 1024)] {
        assert_eq!(text(&most), Ok(most));
    }
    for (json, expected) in [
        (r#"{"a":1,"a":1}"#.to_owned(), NoKey::DuplicateKey),
        (r#"{"a":1,"b":2,"\u0061":3}"#.to_owned(), NoKey::DuplicateKey),
        (r#"[{"x":{"a":1,"a":2}}]"#.to_owned(), NoKey::DuplicateKey),
        (r#""\ud800""#.to_owned(), NoKey::InvalidString),
        (r#"{"\ud800":1}"#.to_owned(), NoKey::InvalidString),
        (deep(130), NoKey::TooDeep),
        (deep(200_000 / 2), NoKey::TooDeep),
        (long(256 * 1024 + 1), NoKey::TooLarge),
    ] {
        assert_eq!(text(&json), Err(expected), "{}", &json[..json.len().min(60)]);
    }
}

#[test]
fn a_call_key_leaves_out_what_speaks_of_the_call() {
    let key = |params: &str| {
        let params = RawJson::new(params.to_owned()).unwrap();
        call_key("github", &Call::new(Method::TOOLS_CALL, Some(params)).target("search"))
    };
    let plain = key(r#"{"name":"search","arguments":{"q":"weir"}}"#).unwrap();
    let with_meta =
        key(r#"{"_meta":{"progressToken":7},"arguments":{"q":"weir"},"name":"search"}"#).unwrap();
    assert_eq!(plain, with_meta);
    assert_eq!(&*plain.group, "github");
    let inner = key(r#"{"name":"search","arguments":{"q":"weir","_meta":1}}"#).unwrap();
    assert_ne!(plain, inner);
    for member in ["inputResponses", "requestState"] {
        let params = format!(r#"{{"name":"search","{member}":{{}}}}"#);
        assert_eq!(key(&params), Err(NoKey::Exchange));
    }
    let list = call_key("github", &Call::new(Method::TOOLS_LIST, None)).unwrap();
    let empty = call_key("github", &Call::new(Method::TOOLS_LIST, Some(RawJson::EMPTY_OBJECT)));
    assert_eq!(Ok(list), empty);
}

mod laws {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::text;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Writes `value` with its members in another order, white space everywhere and every string escaped.
    fn respell(value: &Value, turn: usize) -> String {
        let quote = |text: &str| {
            let escapes: String =
                text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{escapes}\"")
        };
        match value {
            Value::String(text) => quote(text),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| respell(item, turn)).collect();
                format!("[ {} ]", items.join(" ,\n"))
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{} :\t{}", quote(name), respell(value, turn)))
                    .collect();
                if !members.is_empty() {
                    let by = turn % members.len();
                    members.rotate_left(by);
                }
                format!("{{\r{} }}", members.join(" , "))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn the_text_means_the_same_and_spelling_does_not_change_it(value in json(), turn in 0..5usize) {
            let plain = text(&value.to_string()).unwrap();
            // Read back, since serde_json's reading of a float is not exact.
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            prop_assert_eq!(read(&plain), read(&value.to_string()));
            prop_assert_eq!(&text(&respell(&value, turn)).unwrap(), &plain);
            prop_assert_eq!(&text(&plain).unwrap(), &plain);
        }

        #[test]
        fn different_values_have_different_texts(one in json(), other in json()) {
            let (one_text, other_text) = (text(&one.to_string()), text(&other.to_string()));
            let (one, other) = (one.to_string(), other.to_string());
            prop_assert_eq!(one_text == other_text, one == other);
        }
    }
}
