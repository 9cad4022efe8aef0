//! How a server is reached.

use http::{HeaderName, HeaderValue, Uri};
use jsonc_parser::ast::Value;

use super::secret::{Secret, Text};
use super::walk::{Fields, Walk, clean, span};

/// How a server is reached.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transport {
    /// A child process that speaks over its standard input and output.
    Stdio(Stdio),
    /// A URL.
    Http(Http),
}

/// A child process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stdio {
    /// `command`.
    pub command: Text,
    /// `args`.
    pub args: Vec<Text>,
    /// `env`: added to the child's environment.
    pub env: Vec<(String, Secret)>,
    /// `cwd`: where it runs.
    pub cwd: Option<Text>,
}

/// A URL.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Http {
    /// `url`, `serverUrl` or `httpUrl`: begins with `http://` or `https://` and names a host.
    pub url: Text,
    /// `headers`: sent with every request.
    pub headers: Vec<(String, Secret)>,
    /// Which of the two transports over HTTP.
    pub kind: HttpKind,
}

/// The two transports over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpKind {
    /// Streamable HTTP, the usual one; HTTP+SSE where the server refuses it.
    #[default]
    Streamable,
    /// `"type": "sse"`: HTTP+SSE, from before March 2025; Streamable HTTP where the server refuses that.
    Sse,
}

/// What `type` says.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Stdio,
    Http(HttpKind),
}

/// Reads a server's transport; `None` where it names none, or it is wrong.
pub(super) fn read(
    walk: &mut Walk<'_>,
    fields: &mut Fields<'_, '_>,
    server: &str,
    at: std::ops::Range<usize>,
) -> Option<Transport> {
    let declared = fields.get("type").map(|value| kind(walk, value));
    let command = fields.get("command");
    let url = one_url(walk, fields);
    // Every key is read in any case, so that all mistakes are told at once.
    let program = command.map(|value| walk.filled(value, "command"));
    let address = url.map(|value| address(walk, value));
    let args = fields.get("args").and_then(|value| {
        let list = walk.list(value, "args")?;
        let args: Vec<_> = list.iter().map(|element| walk.text(element, "args[]")).collect();
        args.into_iter().collect::<Option<Vec<_>>>()
    });
    let cwd = fields.get("cwd").and_then(|value| walk.filled(value, "cwd"));
    let env = fields
        .get("env")
        .map(|value| pairs(walk, value, "env", check_variable))
        .unwrap_or_default();
    let headers = fields
        .get("headers")
        .map(|value| pairs(walk, value, "headers", check_header))
        .unwrap_or_default();

    if let (Some(command), Some(url)) = (command, url) {
        let first = walk.place(span(command));
        walk.error(span(url), "a server has either a command or a URL, not both")
            .and_at(first, "the command")
            .help("remove one of the two, or make two servers of it");
        return None;
    }
    let kind = match (declared, program.is_some(), address.is_some()) {
        (Some(None), ..) => return None,
        (Some(Some(kind)), ..) => kind,
        (None, true, _) => Kind::Stdio,
        (None, _, true) => Kind::Http(HttpKind::Streamable),
        (None, false, false) => {
            walk.warn(
                at,
                format!("`{}` says neither how to start it nor where it is", clean(server)),
            )
            .help("it will be registered, but unreachable: add `command` or `url`");
            return None;
        }
    };
    let (useless, name) = match kind {
        Kind::Stdio => (["url", "serverUrl", "httpUrl", "headers"].as_slice(), "a child process"),
        Kind::Http(_) => (["command", "args", "env", "cwd"].as_slice(), "a URL"),
    };
    for key in useless {
        if let (Some(at), Some(_)) = (fields.key(key), fields.get(key)) {
            walk.warn(at, format!("`{key}` has no effect on a server that is {name}"))
                .help("remove it");
        }
    }
    match kind {
        Kind::Stdio => {
            let Some(command) = program else {
                walk.error(
                    at,
                    format!("`{}` is of type stdio, but has no `command`", clean(server)),
                )
                .help("add the program to start: `\"command\": \"..\"`");
                return None;
            };
            Some(Transport::Stdio(Stdio {
                command: command?,
                args: args.unwrap_or_default(),
                env,
                cwd,
            }))
        }
        Kind::Http(kind) => {
            let Some(url) = address else {
                walk.error(at, format!("`{}` is reached by HTTP, but has no `url`", clean(server)))
                    .help("add its address: `\"url\": \"https://..\"`");
                return None;
            };
            Some(Transport::Http(Http { url: url?, headers, kind }))
        }
    }
}

fn kind(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Kind> {
    let text = walk.text(value, "type")?;
    match text.value() {
        "stdio" => Some(Kind::Stdio),
        "http" | "streamable-http" | "streamableHttp" => Some(Kind::Http(HttpKind::Streamable)),
        "sse" => Some(Kind::Http(HttpKind::Sse)),
        _ => {
            walk.error(span(value), "unknown type of server")
                .help("known are `stdio`, `http` and `sse`");
            None
        }
    }
}

/// The URL, under whichever of its names.
fn one_url<'a, 't>(walk: &mut Walk<'_>, fields: &mut Fields<'a, 't>) -> Option<&'a Value<'t>> {
    let mut found: Option<&Value<'t>> = None;
    for key in ["url", "serverUrl", "httpUrl"] {
        let Some(value) = fields.get(key) else { continue };
        if let Some(first) = found {
            let first = walk.place(span(first));
            walk.error(span(value), "the URL is given twice")
                .and_at(first, "first here")
                .help("remove one of the two");
        }
        found = found.or(Some(value));
    }
    found
}

fn address(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Text> {
    let text = walk.filled(value, "url")?;
    let wrong = match text.value().parse::<Uri>() {
        Err(_) => "this is not a URL",
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            "the URL begins with neither http:// nor https://"
        }
        Ok(uri) if uri.host().is_none_or(str::is_empty) => "the URL names no host",
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            walk.error(span(value), "the URL holds credentials").help(
                "send them as a header: `\"headers\": { \"Authorization\": \"Bearer ${TOKEN}\" }`",
            );
            return None;
        }
        Ok(uri) if uri.authority().is_some_and(|authority| port_is_wrong(authority.as_str())) => {
            "the URL's port is not a number from 1 to 65535"
        }
        Ok(_) => return Some(text),
    };
    walk.error(span(value), wrong)
        .help("write it as `https://host/path`, with `%20` and the like for other characters");
    None
}

fn port_is_wrong(authority: &str) -> bool {
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    after_host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().unwrap_or(0) == 0)
}

/// An object of secrets, each checked by `check`, which says what is wrong and what to do.
fn pairs(
    walk: &mut Walk<'_>,
    value: &Value<'_>,
    what: &str,
    check: fn(&str, &str) -> Result<(), [&'static str; 2]>,
) -> Vec<(String, Secret)> {
    let Some(object) = walk.object(value, what) else { return Vec::new() };
    let mut pairs = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let name = property.name.as_str();
        let secret = match &property.value {
            // Clients write ports and the like without quotes.
            Value::NumberLit(literal) if what == "env" => Some(Secret::new(literal.value)),
            value => walk.secret(value, &format!("{what}.{}", clean(name))),
        };
        let Some(secret) = secret else { continue };
        let same =
            |(other, _): &(String, Secret)| other != name && other.eq_ignore_ascii_case(name);
        match check(name, secret.expose()) {
            Ok(()) if what == "headers" && pairs.iter().any(same) => {
                walk.error(
                    span(&property.name),
                    format!("the header `{}` is given twice", clean(name)),
                )
                .help("remove one of the two: headers are the same in small and capital letters");
            }
            Ok(()) => pairs.push((name.to_owned(), secret)),
            Err([wrong, help]) => drop(walk.error(span(&property.name), wrong).help(help)),
        }
    }
    pairs
}

fn check_variable(name: &str, _: &str) -> Result<(), [&'static str; 2]> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err([
            "this cannot be the name of an environment variable",
            "use letters, digits and `_`",
        ]);
    }
    Ok(())
}

fn check_header(name: &str, value: &str) -> Result<(), [&'static str; 2]> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(["this cannot be the name of an HTTP header", "use letters, digits and `-`"]);
    }
    if HeaderValue::from_str(value).is_err() {
        return Err([
            "the value of this header has characters that HTTP forbids",
            "look for line ends in it",
        ]);
    }
    Ok(())
}
