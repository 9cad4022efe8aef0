//! Request ids.

use std::borrow::Cow;

use toolweir_core::RawJson;

/// A peer's request id, echoed as it was written: a string or a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(RawJson);

impl Id {
    /// An id of ours.
    pub(crate) fn own(number: u64) -> Self {
        Self(RawJson::from(serde_json::Value::from(number)))
    }

    /// Takes an id that a peer sent: a string or a number, nothing else.
    pub(crate) fn from_json(json: RawJson) -> Option<Self> {
        matches!(json.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')).then_some(Self(json))
    }

    pub(crate) fn as_json(&self) -> &RawJson {
        &self.0
    }

    /// The id as one of ours, where it is one: ours are plain numbers.
    pub(crate) fn as_own(&self) -> Option<u64> {
        std::str::from_utf8(self.0.as_bytes()).ok()?.parse().ok()
    }

    /// The id as text, for matching `notifications/cancelled` whatever way it was escaped.
    pub(crate) fn key(&self) -> Cow<'_, str> {
        if self.0.as_bytes().contains(&b'\\')
            && let Ok(text) = self.0.get::<String>()
        {
            return RawJson::of(&text)
                .map_or(Cow::Borrowed(self.0.as_str()), |j| Cow::Owned(j.as_str().to_owned()));
        }
        Cow::Borrowed(self.0.as_str())
    }
}
