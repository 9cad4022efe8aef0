//! `key=value` as JSON.

use serde_json::{Map, Value};
use toolweir::core::RawJson;

use super::failure::Failure;

/// The arguments as one object.
pub(crate) fn object(pairs: &[String], json: Option<&str>) -> Result<RawJson, Failure> {
    if let Some(json) = json {
        let raw = RawJson::new(json.to_owned())
            .map_err(|error| Failure::usage(format!("--tool-args-json: {error}")))?;
        if !raw.is_object() {
            return Err(Failure::usage(
                "--tool-args-json: expected a JSON object, such as {\"key\": 1}",
            ));
        }
        return Ok(raw);
    }
    let mut object = Map::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::usage(format!("`{pair}`: expected KEY=VALUE")))?;
        if object.insert(key.to_owned(), coerced(value)).is_some() {
            return Err(Failure::usage(format!("`{key}` is given twice")));
        }
    }
    Ok(RawJson::from(Value::Object(object)))
}

/// JSON where the text reads as such, else the text itself.
fn coerced(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_where_they_read_as_such() {
        let pairs =
            ["n=3", "t=true", "s=a b", "o={\"x\":[1]}", "e=", "u=http://a/?b=c"].map(String::from);
        assert_eq!(
            object(&pairs, None).unwrap().get::<Value>().unwrap(),
            serde_json::json!({"n": 3, "t": true, "s": "a b", "o": {"x": [1]}, "e": "", "u": "http://a/?b=c"}),
        );
        assert_eq!(object(&["novalue".to_owned()], None).unwrap_err().exit, 2);
        assert_eq!(object(&["a=1".to_owned(), "a=2".to_owned()], None).unwrap_err().exit, 2);
        assert_eq!(object(&[], Some("[1]")).unwrap_err().exit, 2);
    }
}
