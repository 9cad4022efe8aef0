//! JSON that travels as it came.

mod edit;
mod scan;

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::{
    edit::ObjectEdit,
    scan::{Items, Member, Members, Part},
};

/// One JSON value as the bytes it arrived in.
///
/// Params and results travel through the gateway in this form: nothing that a typed model does not know is
/// lost, number spelling and member order stay, and a clone copies a pointer.
///
/// The value is known to be well-formed UTF-8 JSON with no white space around it.
///
/// ```
/// use toolweir_core::RawJson;
///
/// let raw = RawJson::new(r#" {"n": 1e22, "text": "a"} "#)?;
/// assert_eq!(raw.as_str(), r#"{"n": 1e22, "text": "a"}"#);
/// # Ok::<(), toolweir_core::InvalidJson>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(Bytes);

impl RawJson {
    /// The value `{}`.
    pub const EMPTY_OBJECT: Self = Self(Bytes::from_static(b"{}"));
    /// The value `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Takes bytes that hold exactly one JSON value; white space around it is left out.
    ///
    /// # Errors
    /// Fails where the bytes are not UTF-8, not JSON, or more than one value.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let bytes = bytes.into();
        let raw: &RawValue = serde_json::from_slice(&bytes)?;
        let value = bytes.slice_ref(raw.get().as_bytes());
        Ok(Self(value))
    }

    /// Serializes a value.
    ///
    /// # Errors
    /// Fails where the value's `Serialize` does, or where a map has keys that are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, InvalidJson> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    /// A part of this value, sharing its memory.
    ///
    /// `part` must come from [`RawJson::parts`] or another parse of [`RawJson::as_bytes`].
    ///
    /// # Panics
    /// Panics where `part` does not lie within this value's own bytes.
    #[must_use]
    pub fn part(&self, part: &RawValue) -> Self {
        Self(self.0.slice_ref(part.get().as_bytes()))
    }

    /// Takes a raw value that lies within `bytes`, sharing their memory.
    ///
    /// # Panics
    /// Panics where `value` does not lie within `bytes`.
    #[must_use]
    pub fn within(bytes: &Bytes, value: &RawValue) -> Self {
        Self(bytes.slice_ref(value.get().as_bytes()))
    }

    /// Reads the value as `T`; borrowed fields (such as `&RawValue`) point into this value.
    ///
    /// # Errors
    /// Fails where the value does not have the shape of `T`.
    pub fn parts<'a, T: Deserialize<'a>>(&'a self) -> Result<T, InvalidJson> {
        Ok(serde_json::from_slice(&self.0)?)
    }

    /// Reads the value as an owned `T`.
    ///
    /// # Errors
    /// Fails where the value does not have the shape of `T`.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, InvalidJson> {
        Ok(serde_json::from_slice(&self.0)?)
    }

    /// The members of an object, in order; none where this is no object.
    #[must_use]
    pub fn members(&self) -> Members<'_> {
        Members::new(self)
    }

    /// The items of an array, in order; none where this is no array.
    #[must_use]
    pub fn items(&self) -> Items<'_> {
        Items::new(self)
    }

    /// The value of an object's member `key`; the first where it stands twice.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<Part<'_>> {
        self.members().find(|member| member.key == key).map(|member| member.value)
    }

    /// Begins a change of some members of an object; all other bytes stay.
    pub fn edit(&self) -> ObjectEdit<'_> {
        ObjectEdit::new(self)
    }

    /// Whether this is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// Whether arrays and objects nest no deeper than `max`; one pass, no recursion.
    #[must_use]
    pub fn is_within_depth(&self, max: usize) -> bool {
        scan::is_within_depth(&self.0, max)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // checked when it was made
    }

    /// Length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a JSON value is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<Box<RawValue>> for RawJson {
    fn from(value: Box<RawValue>) -> Self {
        Self(Bytes::from(String::from(Box::<str>::from(value))))
    }
}

impl From<&RawValue> for RawJson {
    fn from(value: &RawValue) -> Self {
        Self(Bytes::copy_from_slice(value.get().as_bytes()))
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self(Bytes::from(value.to_string()))
    }
}

impl Serialize for RawJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

/// Shows the size only: params and results may carry secrets.
impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({} bytes)", self.0.len())
    }
}

/// Bytes are not the JSON value that was expected.
///
/// Tells where and what is wrong, and quotes no value: params and results may carry secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJson {
    /// Not JSON, or not of the expected shape.
    #[error("not valid JSON: {0}")]
    Syntax(serde_json::Error),
    /// An object was expected.
    #[error("not a JSON object")]
    NotAnObject,
    /// A member that must be unique stands twice, so that two readers might see different values.
    #[error("member {0:?} stands twice")]
    DuplicateMember(String),
}

/// Keeps what serde_json says, except where it would quote the value that does not fit.
impl From<serde_json::Error> for InvalidJson {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let quotes_nothing = !error.is_data() || text.starts_with("missing field ");
        if quotes_nothing {
            return Self::Syntax(error);
        }
        // serde_json reads the position back from the end of the text.
        let (line, column) = (error.line(), error.column());
        let text = format!("not of the expected shape at line {line} column {column}");
        Self::Syntax(serde::de::Error::custom(text))
    }
}
