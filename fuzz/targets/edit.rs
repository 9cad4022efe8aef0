//! Walks over raw JSON and changes of its members, beside a plain reading by serde_json.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use toolweir_core::RawJson;
use toolweir_fuzz::Model;

fuzz_target!(|input: &[u8]| {
    let raw = serde_json::from_slice::<&RawValue>(input).ok().map(RawValue::get);
    let json = RawJson::new(input.to_vec()).ok();
    assert_eq!(json.as_ref().map(RawJson::as_str), raw);
    let Some(json) = json else { return };
    let items: Vec<String> = json.items().map(|item| item.to_json().as_str().to_owned()).collect();
    let plain: Vec<&RawValue> = serde_json::from_str(json.as_str()).unwrap_or_default();
    assert!(items.iter().map(String::as_str).eq(plain.into_iter().map(RawValue::get)));
    let unchanged = json.edit().finish();
    assert_eq!(unchanged.is_ok(), json.is_object());
    let Some(members) = Model::members(json.as_str()) else {
        let _ = json.edit().set("a", &RawJson::NULL).remove("b").finish();
        return;
    };
    let seen: Vec<(String, RawJson)> =
        json.members().map(|it| (it.key.into_owned(), it.value.to_json())).collect();
    let as_text = seen.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    assert!(as_text.eq(members.iter().map(|(name, value)| (name.as_str(), *value))));
    let value = RawJson::new(r#"[1e22,"\ud800"]"#).expect("it is well-formed");
    for name in members.iter().map(|member| member.0.as_str()).chain(["new"]) {
        let first = members.iter().find(|member| member.0 == name).map(|member| member.1);
        assert_eq!(json.member(name).map(|it| it.to_json().as_str().to_owned()).as_deref(), first);
        let others = || members.iter().filter(|member| member.0 != name);
        let is_double = members.len() > others().count() + 1;
        let (set, removed) =
            (json.edit().set(name, &value).finish(), json.edit().remove(name).finish());
        if is_double {
            assert!(set.is_err() && removed.is_err());
            continue;
        }
        let (set, removed) = (set.expect("it is an object"), removed.expect("it is an object"));
        let mut expected: Vec<(String, &str)> = members.clone();
        match expected.iter_mut().find(|member| member.0 == name) {
            Some(member) => member.1 = value.as_str(),
            None => expected.push((name.to_owned(), value.as_str())),
        }
        assert_eq!(Model::members(set.as_str()), Some(expected), "{}", set.as_str());
        let left: Vec<_> = others().cloned().collect();
        assert_eq!(Model::members(removed.as_str()), Some(left), "{}", removed.as_str());
        // There and back again: no byte of the others has moved.
        if let Some(first) = first {
            let first = RawJson::new(first.to_owned()).expect("it is well-formed");
            let back = set.edit().set(name, &first).finish().expect("it is an object");
            assert_eq!(back, json);
        }
    }
});
