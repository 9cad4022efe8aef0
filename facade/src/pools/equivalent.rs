//! What a pooled tool is at one member: another name, and other arguments.

use std::fmt;
use std::sync::Arc;

use toolweir_core::{Call, Error, Hints, Kind, RawJson, ServerId};

const ARGUMENTS: &str = "arguments";

/// A member's own tool, and how a caller's arguments become its own: renamed, left out, fixed, or given where the caller
/// gives none. All others pass as they are, and values byte for byte.
///
/// ```
/// use toolweir::Equivalent;
///
/// let tavily = Equivalent::new("tavily_search")
///     .rename("count", "max_results")                                 // the caller's `count` is its `max_results`
///     .without("country")                                             // it knows none
///     .set("topic", &serde_json::json!("general"))                    // whatever the caller says
///     .with_default("search_depth", &serde_json::json!("basic"));     // where the caller says nothing
/// assert_eq!(
///     tavily.to_string(),
///     r#"`tavily_search`; `count` is its `max_results`; without `country`; `topic` is "general"; `search_depth` is "basic" unless given"#,
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Equivalent {
    pub(crate) tool: Arc<str>,
    /// The caller's name for an argument, and the tool's.
    pub(super) rename: Vec<(String, String)>,
    pub(super) drop: Vec<String>,
    pub(super) set: Vec<(String, RawJson)>,
    pub(super) defaults: Vec<(String, RawJson)>,
    pub(super) place: Written,
}

/// Where it stands in a file; says nothing of what it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(pub(super) Option<Arc<str>>);

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Equivalent {
    /// The member's tool of this name, with the caller's arguments as they are.
    #[must_use]
    pub fn new(tool: impl Into<Arc<str>>) -> Self {
        Self { tool: tool.into(), ..Self::default() }
    }

    /// The caller's argument `from` is the tool's `to`.
    #[must_use]
    pub fn rename(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.rename.push((from.into(), to.into()));
        self
    }

    /// The caller's argument is not given to the tool.
    #[must_use]
    pub fn without(mut self, argument: impl Into<String>) -> Self {
        self.drop.push(argument.into());
        self
    }

    /// The tool's argument always has this value.
    #[must_use]
    pub fn set(mut self, argument: impl Into<String>, value: &serde_json::Value) -> Self {
        self.set.push((argument.into(), RawJson::from(value.clone())));
        self
    }

    /// The tool's argument has this value where the caller gives none.
    #[must_use]
    pub fn with_default(mut self, argument: impl Into<String>, value: &serde_json::Value) -> Self {
        self.defaults.push((argument.into(), RawJson::from(value.clone())));
        self
    }

    /// Where this stands in a file, such as `toolweir.jsonc:14:20`.
    pub(crate) fn written(mut self, place: String) -> Self {
        self.place = Written(Some(place.into()));
        self
    }

    /// Whether the caller's arguments are the tool's.
    pub(crate) fn is_plain(&self) -> bool {
        self.rename.is_empty()
            && self.drop.is_empty()
            && self.set.is_empty()
            && self.defaults.is_empty()
    }

    /// The tool's name for the caller's argument; `None` where it is not given to the tool.
    pub(super) fn own_name<'a>(&'a self, argument: &'a str) -> Option<&'a str> {
        if self.drop.iter().any(|dropped| dropped == argument) {
            return None;
        }
        let renamed = self.rename.iter().find(|(from, _)| from == argument);
        let own = renamed.map_or(argument, |(_, to)| to);
        (!self.sets(own)).then_some(own)
    }

    /// Whether the tool's argument has a value that no caller changes.
    pub(super) fn sets(&self, own: &str) -> bool {
        self.set.iter().any(|(name, _)| name == own)
    }

    /// What contradicts itself.
    pub(crate) fn mistake(&self) -> Option<String> {
        let renames = |name: &str| self.rename.iter().any(|(from, _)| from == name);
        for (at, (from, to)) in self.rename.iter().enumerate() {
            if self.sets(to) {
                return Some(format!("`{from}` is renamed to `{to}`, which is set"));
            }
            if let Some((other, _)) = self.rename[..at].iter().find(|(_, known)| known == to) {
                return Some(format!("`{other}` and `{from}` are both renamed to `{to}`"));
            }
        }
        if let Some(name) = self.drop.iter().find(|name| renames(name)) {
            return Some(format!("`{name}` is both renamed and dropped"));
        }
        let both = self.defaults.iter().find(|(name, _)| self.sets(name));
        both.map(|(name, _)| format!("`{name}` is both set and given a default"))
    }

    /// The tool's arguments from the caller's.
    ///
    /// # Errors
    /// Two of the caller's arguments mean the same one of the tool.
    fn arguments(&self, given: &RawJson) -> Result<RawJson, Error> {
        let members: Vec<_> = given.members().collect();
        let mut made: Vec<(&str, RawJson)> = Vec::new();
        for member in &members {
            let Some(own) = self.own_name(&member.key) else { continue };
            if made.iter().any(|(name, _)| *name == own) {
                let text = format!(
                    "two arguments give `{}` its `{own}` (one is `{}`): leave one out",
                    self.tool, member.key
                );
                return Err(Error::new(Kind::InvalidRequest).message(text));
            }
            made.push((own, member.value.to_json()));
        }
        made.extend(self.set.iter().map(|(name, value)| (name.as_str(), value.clone())));
        for (name, value) in &self.defaults {
            if !made.iter().any(|(given, _)| given == name) {
                made.push((name, value.clone()));
            }
        }
        let empty = RawJson::EMPTY_OBJECT;
        let mut edit = empty.edit();
        for (name, value) in made {
            edit = edit.set(name, &value);
        }
        edit.finish().map_err(|error| invalid(&error))
    }

    /// The call of this tool, with the arguments that it takes.
    ///
    /// # Errors
    /// Two of the caller's arguments mean the same one of the tool, or `params` name one twice.
    pub(crate) fn call(&self, call: &Call) -> Result<Call, Error> {
        let mut call = call.clone().target(self.tool.clone());
        if self.is_plain() {
            return Ok(call);
        }
        let params = call.params.take().unwrap_or(RawJson::EMPTY_OBJECT);
        let given = params.member(ARGUMENTS).map(|given| given.to_json());
        let given = given.filter(|given| *given != RawJson::NULL).unwrap_or(RawJson::EMPTY_OBJECT);
        // What is no object the server refuses in its own words.
        let arguments = if given.is_object() { self.arguments(&given)? } else { given };
        let edited = params.edit().set(ARGUMENTS, &arguments).finish();
        call.params = Some(edited.map_err(|error| invalid(&error))?);
        Ok(call)
    }
}

fn invalid(error: &dyn fmt::Display) -> Error {
    Error::new(Kind::InvalidRequest).message(format!("params: {error}"))
}

/// In words.
impl fmt::Display for Equivalent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.tool)?;
        self.rename.iter().try_for_each(|(from, to)| write!(f, "; `{from}` is its `{to}`"))?;
        self.drop.iter().try_for_each(|name| write!(f, "; without `{name}`"))?;
        let fixed =
            |(name, value): &(String, RawJson)| write!(f, "; `{name}` is {}", value.as_str());
        self.set.iter().try_for_each(fixed)?;
        self.defaults.iter().try_for_each(|(name, value)| {
            write!(f, "; `{name}` is {} unless given", value.as_str())
        })
    }
}

/// The way of a pooled call to one member.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) server: ServerId,
    pub(crate) how: Arc<Equivalent>,
    /// What is believed of the tool there and at all other members.
    pub(crate) hints: Hints,
}

impl Way {
    /// The call as the member knows it. What may become a task stays as little believed as it came.
    ///
    /// # Errors
    /// As [`Equivalent::call`].
    pub(crate) fn call(&self, call: &Call) -> Result<Call, Error> {
        let hints = if call.hints == Hints::default() { call.hints } else { self.hints };
        Ok(self.how.call(call)?.hints(hints))
    }
}
