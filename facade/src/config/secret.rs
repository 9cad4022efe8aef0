//! Values that are not printed.

use std::fmt;

/// A value that is never printed: a token, a header, a child's environment variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A text with variables replaced, which prints as it was written: what came from the environment stays hidden.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    written: String,
    value: String,
}

impl Text {
    pub(super) fn new(written: &str, value: String) -> Self {
        Self { written: written.to_owned(), value }
    }

    /// The text with its variables replaced.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The text as it stands in the file.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text, text.to_owned())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}
