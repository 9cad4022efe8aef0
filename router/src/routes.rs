//! Which capabilities a type of request needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Capabilities with a default route. Any other string is a capability as well.
pub const KNOWN_CAPABILITIES: [&str; 5] = ["github", "slack", "notion", "firebase", "playwright"];

/// Each known type of request, and the capability that it needs.
const DEFAULTS: [(&str, &str); 5] = [
    ("repository_management", "github"),
    ("notifications", "slack"),
    ("documentation", "notion"),
    ("database", "firebase"),
    ("web_automation", "playwright"),
];

/// Request types and the capabilities that they need.
///
/// Read from a map, it adds to the defaults and replaces those of the same name.
///
/// ```
/// use toolweir_router::Routes;
///
/// let routes = Routes::default().with("notifications", ["slack", "email"]);
/// assert_eq!(routes.get("notifications"), Some(&["slack".into(), "email".into()][..]));
/// assert_eq!(routes.get("database"), Some(&["firebase".into()][..]));
/// assert_eq!(routes.get("weather"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Routes(BTreeMap<String, Vec<String>>);

impl Routes {
    /// No route at all.
    #[must_use]
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The same routes and this one, in place of one of the same type.
    #[must_use]
    pub fn with<C: Into<String>>(
        mut self,
        request_type: impl Into<String>,
        capabilities: impl IntoIterator<Item = C>,
    ) -> Self {
        let capabilities = capabilities.into_iter().map(Into::into).collect();
        self.0.insert(request_type.into(), capabilities);
        self
    }

    /// The capabilities that a request of this type needs; `None` where the type is not known.
    #[must_use]
    pub fn get(&self, request_type: &str) -> Option<&[String]> {
        self.0.get(request_type).map(Vec::as_slice)
    }

    /// All routes, by type.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(request_type, capabilities)| (&**request_type, &**capabilities))
    }

    /// The first route that makes no sense, and why.
    pub(crate) fn validate(&self) -> Result<(), (&str, &'static str)> {
        for (request_type, capabilities) in self.iter() {
            if request_type.is_empty() {
                return Err((request_type, "must have a name"));
            }
            if capabilities.is_empty() || capabilities.iter().any(String::is_empty) {
                return Err((request_type, "must name at least one capability, and no empty one"));
            }
        }
        Ok(())
    }
}

impl Default for Routes {
    fn default() -> Self {
        DEFAULTS.into_iter().fold(Self::none(), |routes, (request_type, capability)| {
            routes.with(request_type, [capability])
        })
    }
}

impl<'de> Deserialize<'de> for Routes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Self(mut routes) = Self::default();
        routes.extend(BTreeMap::<String, Vec<String>>::deserialize(from)?);
        Ok(Self(routes))
    }
}
