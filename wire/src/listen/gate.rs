//! Who may speak to a listener at all.

use std::fmt;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN};
use toolweir_core::Principal;

/// Which names, origins and token a listener lets in.
///
/// The default lets in whoever reaches the machine's own loopback names (`localhost`, `127.0.0.1`, `[::1]`, any
/// port) and asks for no token: a web page that rebinds its own name to the loopback address is refused.
#[derive(Clone)]
pub struct Access {
    token: Option<String>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Default for Access {
    fn default() -> Self {
        let loopback: Vec<String> = LOOPBACK.map(str::to_owned).into();
        Self { token: None, hosts: loopback.clone(), origins: loopback }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("hosts", &self.hosts)
            .field("origins", &self.origins)
            .finish()
    }
}

/// Why a request is turned away before any work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    NoToken,
    WrongToken,
}

impl Refusal {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Host => "this Host is not allowed here",
            Self::Origin => "this Origin is not allowed here",
            Self::NoToken => "a bearer token is needed",
            Self::WrongToken => "the bearer token is wrong",
        }
    }
}

impl Access {
    /// The same, for requests that carry `Authorization: Bearer` with this token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Lets in requests whose `Host` is one of these too: a name or address (any port), or one with its port.
    #[must_use]
    pub fn allow_hosts<I: Into<String>>(mut self, hosts: impl IntoIterator<Item = I>) -> Self {
        self.hosts.extend(hosts.into_iter().map(Into::into));
        self
    }

    /// Lets in pages of these origins too: whole (`https://app.example`), or a host alone (any scheme and port).
    #[must_use]
    pub fn allow_origins<I: Into<String>>(mut self, origins: impl IntoIterator<Item = I>) -> Self {
        self.origins.extend(origins.into_iter().map(Into::into));
        self
    }

    /// Whether a token is asked for.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(crate) fn principal(&self) -> Principal {
        if self.has_token() { Principal::new("bearer") } else { Principal::local() }
    }

    /// Decides on a request by its head alone; `authority` is the one in the request's target, where it has one.
    pub(crate) fn check(
        &self,
        authority: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Host) };
        let host_allowed = |host: &str| self.hosts.iter().any(|entry| is_host(entry, host));
        if !host.to_str().is_ok_and(host_allowed) || !authority.is_none_or(host_allowed) {
            return Err(Refusal::Host);
        }
        if !headers.get_all(ORIGIN).iter().all(|origin| self.is_origin_allowed(origin)) {
            return Err(Refusal::Origin);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(Refusal::NoToken);
        };
        let Some((scheme, credentials)) = split_once(value.as_bytes(), b' ') else {
            return Err(Refusal::NoToken);
        };
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Err(Refusal::NoToken);
        }
        if is_same(credentials.trim_ascii(), token.as_bytes()) {
            Ok(())
        } else {
            Err(Refusal::WrongToken)
        }
    }

    fn is_origin_allowed(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let Some((_, host)) = origin.split_once("://") else { return false };
        self.origins.iter().any(|entry| {
            if entry.contains("://") {
                entry.trim_end_matches('/').eq_ignore_ascii_case(origin)
            } else {
                is_host(entry, host)
            }
        })
    }
}

/// Whether `host`, as a client sent it, is the entry: with the entry's port, or with any where it has none.
fn is_host(entry: &str, host: &str) -> bool {
    if host.eq_ignore_ascii_case(entry) {
        return true;
    }
    let (name, port) = split_port(host);
    split_port(entry).1.is_none()
        && name.eq_ignore_ascii_case(entry)
        && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// `[::1]:80` and `name:80` as name and port.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

/// Compares without telling by its time how much was right; only the length shows.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    for (index, byte) in given.iter().enumerate() {
        let other = expected.get(index).copied().unwrap_or_default();
        difference |= std::hint::black_box(byte ^ other);
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_by_name_and_by_port_where_one_is_named() {
        let cases = [
            ("localhost", "localhost", true),
            ("localhost", "LocalHost:8808", true),
            ("[::1]", "[::1]:1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("gw.example:443", "gw.example:443", true),
            ("gw.example:443", "gw.example", false),
            ("gw.example:443", "gw.example:8443", false),
            ("localhost", "localhost.", false),
            ("localhost", "localhost.evil.example", false),
            ("localhost", "user@localhost", false),
            ("localhost", "localhost:80@evil.example", false),
            ("localhost", "localhost:", false),
            ("localhost", "localhost:99999", false),
            ("127.0.0.1", "127.0.0.1.evil.example:80", false),
            ("[::1]", "::1", false),
            ("localhost", "", false),
        ];
        for (entry, host, expected) in cases {
            assert_eq!(is_host(entry, host), expected, "{entry} {host}");
        }
    }

    #[test]
    fn a_token_is_the_same_only_as_a_whole() {
        for (given, expected) in
            [("secret", true), ("secre", false), ("secrets", false), ("", false)]
        {
            assert_eq!(is_same(given.as_bytes(), b"secret"), expected, "{given}");
        }
        assert!(!format!("{:?}", Access::default().token("secret")).contains("secret"));
    }
}
