//! An exchange stays with the server that began it.
//!
//! Where equivalent servers stand behind one name and one of them answers `input_required`, only that one can go on. So
//! its name goes with the `requestState` that the client brings back: `toolweir@LENGTH:NAME+STATE`, or `-` for the `+`
//! where the server gave no state. It is no secret and gives no right: whoever changes it reaches another server of
//! those that it could call anyway.

use std::borrow::Cow;

use toolweir_core::{Error, Kind, RawJson, Reply};

use super::Orchestrator;
use super::resolve::Aim;

const STATE: &str = "requestState";
const MARK: &str = "\"toolweir@";

impl Orchestrator {
    /// The call as its server knows it, and that server alone, where it goes on with what that one began.
    pub(super) fn unpinned(&self, mut aim: Aim) -> Result<Aim, Error> {
        // Most calls are told apart by one look at their bytes.
        let Some(params) = aim.call.params.as_ref().filter(|params| params.as_str().contains(MARK))
        else {
            return Ok(aim);
        };
        let Some(state) = params.member(STATE).map(|state| state.to_json()) else { return Ok(aim) };
        let Some((name, own)) = read(&state) else { return Ok(aim) };
        let server = aim.servers.iter().find(|endpoint| *endpoint.name == *name).cloned();
        let Some(server) = server else {
            return Err(Error::new(Kind::InvalidRequest)
                .message("the server that this `requestState` belongs to is gone; begin anew"));
        };
        let edit = params.edit();
        let edited = match &own {
            Some(state) => edit.set(STATE, state).finish(),
            None => edit.remove(STATE).finish(),
        };
        aim.call.params = Some(edited.map_err(|error| {
            Error::new(Kind::InvalidRequest).message(format!("params: {error}"))
        })?);
        aim.servers = vec![server];
        Ok(aim)
    }
}

/// The reply with its server's name in its state.
pub(super) fn pinned(mut reply: Reply) -> Reply {
    let Some(server) = &reply.server else { return reply };
    let state = reply.result.member(STATE).map(|state| state.to_json());
    if let Some(state) = write(server, state.as_ref())
        && let Ok(result) = reply.result.edit().set(STATE, &state).finish()
    {
        reply.result = result;
    }
    reply
}

fn write(server: &str, state: Option<&RawJson>) -> Option<RawJson> {
    let name = RawJson::of(server).ok()?;
    let name = name.as_str().get(1..name.len() - 1)?;
    let rest = match state {
        Some(state) => state.as_str().strip_prefix('"')?, // the specification allows no other than text
        None => "\"",
    };
    let sign = if state.is_some() { '+' } else { '-' };
    RawJson::new(format!("{MARK}{}:{name}{sign}{rest}", name.len())).ok()
}

/// The server's name, and the state that it gave.
fn read(state: &RawJson) -> Option<(Cow<'_, str>, Option<RawJson>)> {
    let (length, rest) = state.as_str().strip_prefix(MARK)?.split_once(':')?;
    let (name, rest) = rest.split_at_checked(length.parse().ok()?)?;
    let name = RawJson::new(format!("\"{name}\"")).ok()?;
    let name = Cow::Owned(name.get::<String>().ok()?);
    match rest.strip_prefix('+') {
        Some(own) => Some((name, Some(RawJson::new(format!("\"{own}")).ok()?))),
        None => (rest == "-\"").then_some((name, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(name in ".{0,40}", state in proptest::option::of(".{0,40}")) {
            let state = state.map(|state| RawJson::of(&state).unwrap());
            let pinned = write(&name, state.as_ref()).unwrap();
            let (read_name, own) = read(&pinned).unwrap();
            prop_assert_eq!(&*read_name, &name);
            prop_assert_eq!(own.as_ref().map(RawJson::as_str), state.as_ref().map(RawJson::as_str));
        }

        #[test]
        fn what_others_wrote_is_left_alone_and_nothing_panics(state in "\"(toolweir@)?[0-9]{0,3}:?[a-z+-]{0,9}\"") {
            let state = RawJson::new(state).unwrap();
            if let Some((name, own)) = read(&state) {
                let again = write(&name, own.as_ref()).unwrap();
                prop_assert_eq!(again.as_str().len() , state.as_str().len() - leading_zeros(&state));
            }
        }
    }

    fn leading_zeros(state: &RawJson) -> usize {
        let digits = state.as_str()[MARK.len()..].split(':').next().unwrap();
        digits.len() - digits.parse::<usize>().unwrap().to_string().len()
    }

    #[test]
    fn bytes_stay_as_they_are() {
        let state = RawJson::new(r#""\u00e9\/\ud800""#).unwrap();
        let pinned = write("a\"b", Some(&state)).unwrap();
        assert_eq!(pinned.as_str(), r#""toolweir@4:a\"b+\u00e9\/\ud800""#);
        assert_eq!(read(&pinned).unwrap().1.unwrap().as_str(), state.as_str());
    }
}
