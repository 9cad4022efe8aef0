//! Calls carry their target beside their params; hints decide on the worst case.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use toolweir_core::{Call, Client, Hints, Instant, Method, Principal, RawJson};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_name_reaches_the_params_as_it_is(name in any::<String>(), number in any::<i64>()) {
        let arguments = RawJson::from(json!({ "n": number }));
        let call = Call::tool(&name, &arguments).unwrap();
        prop_assert_eq!(call.target.as_deref(), Some(name.as_str()));
        let params: Value = call.params.as_ref().unwrap().get().unwrap();
        prop_assert_eq!(params, json!({ "name": name, "arguments": { "n": number } }));
        prop_assert_eq!(call.size(), call.params.as_ref().unwrap().len());
    }

    #[test]
    fn a_method_is_its_name(name in "[a-z/_]{0,24}") {
        let (borrowed, owned) = (Method::from(name.as_str()), Method::from(name.clone()));
        prop_assert_eq!(borrowed.as_str(), &name);
        prop_assert_eq!(borrowed.to_string(), name);
        prop_assert_eq!(borrowed, owned);
    }
}

#[test]
fn a_name_cannot_reach_out_of_its_string() {
    let name = r#"x","arguments":{"admin":true},"y":""#;
    let call = Call::tool(name, &RawJson::EMPTY_OBJECT).unwrap();
    let params: Value = call.params.unwrap().get().unwrap();
    assert_eq!(params, json!({ "name": name, "arguments": {} }));
}

#[test]
fn a_call_says_what_it_is_told() {
    let client = Arc::new(Client::new(Principal::new("ada")));
    let deadline = Instant::from_nanos(9);
    let call = Call::new(Method::RESOURCES_READ, None)
        .target("file:///a")
        .deadline(deadline)
        .client(client)
        .hints(Hints::read());
    assert_eq!(call.size(), 0);
    assert_eq!(call.target.as_deref(), Some("file:///a"));
    assert_eq!(call.deadline, Some(deadline));
    assert_eq!(call.client.principal.as_str(), "ada");
    assert!(call.hints.is_read_only());
    assert_eq!(Call::new(Method::PING, None).client.principal, Principal::local());
}

#[test]
fn only_what_is_known_to_be_safe_is_repeated() {
    for (read_only, idempotent, repeatable) in [
        (None, None, false),
        (Some(false), None, false),
        (None, Some(false), false),
        (Some(false), Some(true), true),
        (Some(true), Some(false), true),
    ] {
        let mut hints = Hints::default();
        hints.read_only = read_only;
        hints.idempotent = idempotent;
        assert_eq!(hints.is_repeatable(), repeatable, "{hints:?}");
        assert_eq!(hints.is_read_only(), read_only == Some(true), "{hints:?}");
    }
}

#[test]
fn each_method_names_its_target_where_the_protocol_does() {
    for (method, member) in [
        (Method::TOOLS_CALL, Some("name")),
        (Method::PROMPTS_GET, Some("name")),
        (Method::RESOURCES_READ, Some("uri")),
        (Method::RESOURCES_SUBSCRIBE, Some("uri")),
        (Method::RESOURCES_UNSUBSCRIBE, Some("uri")),
        (Method::from("tasks/get"), Some("taskId")),
        (Method::COMPLETE, None),
        (Method::TOOLS_LIST, None),
    ] {
        assert_eq!(method.target_member(), member, "{method}");
    }
}
