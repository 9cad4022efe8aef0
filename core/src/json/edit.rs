//! Changes some members of an object and leaves every other byte as it was.

use std::borrow::Cow;

use super::{InvalidJson, RawJson};

/// A change of some members of an object; see [`RawJson::edit`].
///
/// ```
/// use toolweir_core::RawJson;
///
/// let params = RawJson::new(r#"{ "name": "git__log",  "n": 1e22 }"#)?;
/// let renamed = params.edit().set("name", &RawJson::of("log")?).finish()?;
/// assert_eq!(renamed.as_str(), r#"{ "name": "log",  "n": 1e22 }"#);
/// # Ok::<(), toolweir_core::InvalidJson>(())
/// ```
#[derive(Debug)]
#[must_use = "an edit does nothing until `finish`"]
pub struct ObjectEdit<'a> {
    object: &'a RawJson,
    changes: Vec<(Cow<'a, str>, Option<RawJson>)>,
}

impl<'a> ObjectEdit<'a> {
    pub(super) fn new(object: &'a RawJson) -> Self {
        Self { object, changes: Vec::new() }
    }

    /// Sets a member: in its place where it stands already, behind the others where it does not.
    pub fn set(mut self, key: impl Into<Cow<'a, str>>, value: &RawJson) -> Self {
        self.changes.push((key.into(), Some(value.clone())));
        self
    }

    /// Leaves a member out.
    pub fn remove(mut self, key: impl Into<Cow<'a, str>>) -> Self {
        self.changes.push((key.into(), None));
        self
    }

    /// The changed object.
    ///
    /// # Errors
    /// Fails where the value is no object, or where a member to be changed stands in it twice: two readers could
    /// disagree on which of them counts.
    pub fn finish(self) -> Result<RawJson, InvalidJson> {
        if !self.object.is_object() {
            return Err(InvalidJson::NotAnObject);
        }
        if self.changes.is_empty() {
            return Ok(self.object.clone());
        }
        let text = self.object.as_bytes();
        let added: usize = self
            .changes
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, RawJson::len) + 8)
            .sum();
        let mut out = Vec::with_capacity(text.len() + added);
        let mut done = vec![false; self.changes.len()];
        let mut previous_end = None; // of the member before, kept or not
        let mut wrote_any = false;
        for member in self.object.members() {
            let range = member.value.range();
            let change = self.changes.iter().position(|(key, _)| *key == member.key);
            if let Some(index) = change {
                if done[index] {
                    return Err(InvalidJson::DuplicateMember(member.key.into_owned()));
                }
                done[index] = true;
            }
            let before = previous_end.replace(range.end);
            let new_value = match change.map(|index| &self.changes[index].1) {
                Some(None) => continue, // removed
                Some(Some(value)) => Some(value),
                None => None,
            };
            // What stood before this member: the opening brace, or the separator behind the one before.
            match before {
                Some(end) if wrote_any => out.extend_from_slice(&text[end..member.start]),
                Some(_) => out.push(b'{'),
                None => out.extend_from_slice(&text[..member.start]),
            }
            match new_value {
                Some(value) => {
                    out.extend_from_slice(&text[member.start..range.start]);
                    out.extend_from_slice(value.as_bytes());
                }
                None => out.extend_from_slice(&text[member.start..range.end]),
            }
            wrote_any = true;
        }
        if !wrote_any {
            out.push(b'{');
        }
        for ((key, value), _) in self.changes.iter().zip(done).filter(|(_, done)| !done) {
            let Some(value) = value else { continue };
            if wrote_any {
                out.push(b',');
            }
            wrote_any = true;
            out.extend_from_slice(RawJson::of(key.as_ref())?.as_bytes());
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        match previous_end {
            Some(end) => out.extend_from_slice(&text[end..]),
            None => out.push(b'}'),
        }
        Ok(RawJson(out.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        text: &'static str,
        edit: impl FnOnce(ObjectEdit<'_>) -> ObjectEdit<'_>,
        expected: &str,
    ) {
        let object = RawJson::new(text).unwrap();
        let edited = edit(object.edit()).finish().unwrap();
        assert_eq!(edited.as_str(), expected);
        RawJson::new(edited.to_bytes()).unwrap();
    }

    #[test]
    fn changes_only_what_it_is_told() {
        let one = RawJson::new("1").unwrap();
        check("{}", |e| e.set("a", &one), r#"{"a":1}"#);
        check("{ }", |e| e.set("a", &one), r#"{"a":1}"#);
        check(r#"{ "a" : [ 2,{} ] , "b":3 }"#, |e| e.set("a", &one), r#"{ "a" : 1 , "b":3 }"#);
        check(r#"{"a":2,"b":3}"#, |e| e.remove("a"), r#"{"b":3}"#);
        check(r#"{"a":2,"b":3}"#, |e| e.remove("b"), r#"{"a":2}"#);
        check(r#"{"a":2,"b":3}"#, |e| e.remove("a").remove("b"), "{}");
        check(r#"{"a":2,"b":3,"c":4}"#, |e| e.remove("b"), r#"{"a":2,"c":4}"#);
        check(r#"{"a":2}"#, |e| e.remove("a").set("c", &one), r#"{"c":1}"#);
        check(
            r#"{"a":"}\"","b":3}"#,
            |e| e.set("c", &one).remove("zz"),
            r#"{"a":"}\"","b":3,"c":1}"#,
        );
        check(r#"{"\u0061":2}"#, |e| e.set("a", &one), r#"{"\u0061":1}"#);
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        let object = RawJson::new(r#"{"a":1,"\u0061":2}"#).unwrap();
        assert!(matches!(object.edit().remove("a").finish(), Err(InvalidJson::DuplicateMember(_))));
        assert!(matches!(RawJson::NULL.edit().remove("a").finish(), Err(InvalidJson::NotAnObject)));
    }
}
