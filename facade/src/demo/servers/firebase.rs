//! Documents, a tree of JSON, and users.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::in_memory::System;
use super::tool::Shape::{Flag, List, Number, Object, Text};
use super::tool::{Answer, Arguments, Effect, Refusal, Tool, may, need};

/// The whole tree's size as text.
const MAX_TREE: usize = 256 * 1024;
const MAX_DEPTH: usize = 32;

/// Demonstrates `firebase-tools` (`mcp`).
pub(super) struct Firebase {
    tree: Value,
    users: Vec<User>,
}

struct User {
    id: &'static str,
    email: &'static str,
    is_disabled: bool,
    claims: Map<String, Value>,
}

impl System for Firebase {
    const KIND: &'static str = "firebase";
    const INSTRUCTIONS: &'static str =
        "A tree with `gauges` in it, read as the collection `gauges` too, and two users.";
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "firestore_query_collection",
            description: "Get the documents of a collection that fit all filters",
            effect: Effect::Reads,
            parameters: &[
                need("collection_path", Text, "Path of the collection, such as `gauges`"),
                need(
                    "filters",
                    List,
                    "Each `{field, op, compare_value}`; op EQUAL, NOT_EQUAL, LESS_THAN or GREATER_THAN",
                ),
                may("order", Object, "`{orderBy, orderByDirection}`"),
                may("limit", Number, "How many at most; 10 by default"),
            ],
            run: Firebase::query,
        },
        Tool {
            name: "realtimedatabase_get_data",
            description: "Get the data at a path of the tree",
            effect: Effect::Reads,
            parameters: &[need("path", Text, "Path, such as `/gauges/north`")],
            run: Firebase::get,
        },
        Tool {
            name: "realtimedatabase_set_data",
            description: "Set the data at a path of the tree; `null` removes it",
            effect: Effect::Sets,
            parameters: &[
                need("path", Text, "Path, such as `/gauges/north`"),
                need("data", Text, "The data as JSON text"),
            ],
            run: Firebase::set,
        },
        Tool {
            name: "auth_get_users",
            description: "Get users, all or those named",
            effect: Effect::Reads,
            parameters: &[
                may("uids", List, "Identifiers of users"),
                may("emails", List, "E-mail addresses of users"),
                may("limit", Number, "How many at most"),
            ],
            run: Firebase::get_users,
        },
        Tool {
            name: "auth_update_user",
            description: "Disable a user, or set a claim",
            effect: Effect::Sets,
            parameters: &[
                need("uid", Text, "Identifier of the user"),
                may("disabled", Flag, "Whether the user is kept out"),
                may("claim", Object, "`{key, value}`"),
            ],
            run: Firebase::update_user,
        },
    ];

    fn new() -> Self {
        let user = |id, email| User { id, email, is_disabled: false, claims: Map::new() };
        Self {
            tree: json!({"gauges": {
                "north": {"level": 2.4, "unit": "m", "ok": true},
                "south": {"level": 1.1, "unit": "m", "ok": true},
            }}),
            users: vec![user("u1", "ada@river.example"), user("u2", "bo@river.example")],
        }
    }
}

impl Firebase {
    fn query(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let path = arguments.text("collection_path");
        let filters: Vec<Filter<'_>> =
            arguments.list("filters").iter().map(Filter::read).collect::<Result<_, _>>()?;
        let collection = segments(path)?
            .into_iter()
            .try_fold(&self.tree, |tree, segment| tree.get(segment))
            .and_then(Value::as_object);
        let mut documents: Vec<Value> = collection
            .into_iter()
            .flatten()
            .filter(|(_, document)| filters.iter().all(|filter| filter.fits(document)))
            .filter_map(|(name, document)| {
                let mut shown = document.as_object()?.clone();
                shown.insert(
                    "__path__".to_owned(),
                    json!(format!("{}/{name}", path.trim_matches('/'))),
                );
                Some(Value::Object(shown))
            })
            .collect();
        if let Some(order) = arguments.value("order") {
            let field = order["orderBy"].as_str().unwrap_or_default();
            documents.sort_by(|a, b| compare(&a[field], &b[field]).unwrap_or(Ordering::Equal));
            if order["orderByDirection"] == "DESCENDING" {
                documents.reverse();
            }
        }
        let limit = arguments.value("limit").map_or(10, |_| arguments.count("limit", 100));
        documents.truncate(limit);
        Ok(Answer::json(&json!({"documents": documents})))
    }

    fn get(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let found = segments(arguments.text("path"))?
            .into_iter()
            .try_fold(&self.tree, |tree, segment| tree.get(segment));
        Ok(Answer::json(found.unwrap_or(&Value::Null)))
    }

    fn set(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let path = arguments.text("path");
        let data: Value = serde_json::from_str(arguments.text("data"))
            .map_err(|error| Refusal::new(format!("`data` must be JSON text: {error}")))?;
        let segments = segments(path)?;
        let Some((last, above)) = segments.split_last() else {
            return Err(Refusal::new("`path` must name a part of the tree"));
        };
        let mut changed = self.tree.clone(); // so that a refusal changes nothing
        let mut place = &mut changed;
        for segment in above {
            place = object(place).entry(*segment).or_insert(Value::Null);
        }
        if data.is_null() {
            object(place).remove(*last);
        } else {
            object(place).insert((*last).to_owned(), data);
        }
        if changed.to_string().len() > MAX_TREE {
            return Err(Refusal::new(format!("the tree holds at most {MAX_TREE} bytes")));
        }
        self.tree = changed;
        Ok(Answer::text(format!("Data successfully set at {path}")))
    }

    fn get_users(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let (ids, emails) = (arguments.list("uids"), arguments.list("emails"));
        let is_wanted = |user: &&User| {
            let named = |names: &[Value], own| names.iter().any(|name| name == own);
            (ids.is_empty() && emails.is_empty())
                || named(ids, user.id)
                || named(emails, user.email)
        };
        let limit = arguments.count("limit", 100);
        let users: Vec<Value> =
            self.users.iter().filter(is_wanted).take(limit).map(User::json).collect();
        Ok(Answer::json(&json!({"users": users})))
    }

    fn update_user(&mut self, arguments: &Arguments<'_>) -> Result<Answer, Refusal> {
        let id = arguments.text("uid");
        let user = self.users.iter_mut().find(|user| user.id == id);
        let user = user.ok_or_else(|| Refusal::new(format!("user-not-found: {id}")))?;
        if let Some(claim) = arguments.value("claim") {
            let key = claim["key"].as_str().ok_or_else(|| Refusal::new("`claim` needs a `key`"))?;
            if user.claims.len() >= 20 && !user.claims.contains_key(key) {
                return Err(Refusal::new("a user has at most 20 claims"));
            }
            user.claims.insert(key.to_owned(), claim["value"].clone());
        }
        user.is_disabled = arguments.flag("disabled").unwrap_or(user.is_disabled);
        Ok(Answer::json(&user.json()))
    }
}

impl User {
    fn json(&self) -> Value {
        json!({
            "uid": self.id, "email": self.email, "disabled": self.is_disabled, "claims": self.claims,
        })
    }
}

struct Filter<'a> {
    field: &'a str,
    op: &'a str,
    wanted: &'a Value,
}

impl<'a> Filter<'a> {
    fn read(filter: &'a Value) -> Result<Self, Refusal> {
        let wrong = || Refusal::new("each filter needs `field`, `op` and `compare_value`");
        let field = filter["field"].as_str().ok_or_else(wrong)?;
        let op = filter["op"].as_str().ok_or_else(wrong)?;
        let values = filter["compare_value"].as_object().ok_or_else(wrong)?;
        let wanted = values.values().next().ok_or_else(wrong)?;
        match op {
            "EQUAL" | "NOT_EQUAL" | "LESS_THAN" | "GREATER_THAN" => Ok(Self { field, op, wanted }),
            _ => Err(Refusal::new(format!("this demonstration does not know the operator {op}"))),
        }
    }

    fn fits(&self, document: &Value) -> bool {
        let order = document.get(self.field).and_then(|value| compare(value, self.wanted));
        match self.op {
            "EQUAL" => order == Some(Ordering::Equal),
            "NOT_EQUAL" => order.is_some_and(Ordering::is_ne),
            "LESS_THAN" => order == Some(Ordering::Less),
            _ => order == Some(Ordering::Greater),
        }
    }
}

/// Orders two values of one type.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn segments(path: &str) -> Result<Vec<&str>, Refusal> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.len() > MAX_DEPTH {
        return Err(Refusal::new(format!("a path has at most {MAX_DEPTH} parts")));
    }
    Ok(segments)
}

/// The value as an object; what was no object is replaced, as in the real tree.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}
