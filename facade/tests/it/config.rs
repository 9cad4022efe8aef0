//! The configuration: what is read from a right file, and what is said of a wrong one.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use toolweir::config::{
    Breaker, Config, ConfigErrors, Http, HttpKind, RateLimit, Secret, Server, Setting, Severity,
    Stdio, Transport, Warning, needs_token,
};

fn env(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("t0ps3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some("one\ntwo".to_owned()),
        "HOME" => Some("/home/ada".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    Config::from_str(text, "toolweir.jsonc", &env)
}

#[track_caller]
fn right(text: &str) -> Config {
    let (config, warnings) = read(text).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(warnings.is_empty(), "{}", warnings[0]);
    config
}

/// A file with one server, `s`, of which `entry` is the inside of the object.
#[track_caller]
fn server(entry: &str) -> Server {
    right(&format!(r#"{{"mcpServers":{{"s":{{{entry}}}}}}}"#)).servers.remove(0)
}

#[track_caller]
fn stdio(entry: &str) -> Stdio {
    match server(entry).transport {
        Some(Transport::Stdio(stdio)) => stdio,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn http(entry: &str) -> Http {
    match server(entry).transport {
        Some(Transport::Http(http)) => http,
        other => panic!("{other:?}"),
    }
}

/// Each problem as `line:column severity message`.
fn told(text: &str) -> Vec<String> {
    let problems = match read(text) {
        Ok((_, warnings)) => warnings,
        Err(errors) => {
            assert!(
                errors.problems().iter().any(|problem| problem.severity() == Severity::Error),
                "{errors}"
            );
            errors.into_problems()
        }
    };
    problems
        .iter()
        .map(|problem| {
            let severity = if problem.severity() == Severity::Error { "error" } else { "warning" };
            let place = problem.place().map_or_else(|| "-".to_owned(), ToString::to_string);
            format!("{place} {severity} {}", problem.message())
        })
        .collect()
}

const S: &str = r#""mcpServers":{"s":{"command":"c"}}"#;

#[test]
fn every_client_file_is_read() {
    for (text, names) in [
        (r#"{"mcpServers":{"a":{"command":"x"},"b":{"url":"http://h/mcp"}}}"#, vec!["a", "b"]),
        (
            r#"{"servers":{"z":{"type":"stdio","command":"x"},"a":{"type":"http","url":"https://h"}}}"#,
            vec!["z", "a"],
        ),
        (r#"{"mcpServers":{"a":{"command":"x"}},"servers":{"b":{"command":"x"}}}"#, vec!["a", "b"]),
        (
            "\u{feff}// one\n{ /* two */ \"mcpServers\": { \"a\": { \"command\": \"x\", }, }, }\n",
            vec!["a"],
        ),
        (
            r#"{"$schema":"https://s","mcpServers":{"a":{"command":"x","env":null,"cwd":null}}}"#,
            vec!["a"],
        ),
    ] {
        let config = right(text);
        assert_eq!(
            config.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(),
            names,
            "{text}"
        );
    }
}

#[test]
fn a_child_process_is_read() {
    let stdio = stdio(
        r#""command":"${HOME}/bin/x","args":["-y","${env:TOKEN}","$x"],"env":{"A":"${TOKEN}","PORT":80},"cwd":"/tmp""#,
    );
    assert_eq!(stdio.command.value(), "/home/ada/bin/x");
    assert_eq!(
        stdio.args.iter().map(|arg| arg.value()).collect::<Vec<_>>(),
        ["-y", "t0ps3cret", "$x"]
    );
    assert_eq!(
        stdio.env,
        [("A".to_owned(), Secret::new("t0ps3cret")), ("PORT".to_owned(), Secret::new("80"))]
    );
    assert_eq!(stdio.cwd.map(|cwd| cwd.value().to_owned()), Some("/tmp".to_owned()));
}

#[test]
fn a_url_is_read_under_all_its_names() {
    for (entry, kind) in [
        (r#""url":"https://h/mcp""#, HttpKind::Streamable),
        (r#""serverUrl":"https://h/mcp""#, HttpKind::Streamable),
        (r#""httpUrl":"https://h/mcp""#, HttpKind::Streamable),
        (r#""type":"http","url":"https://h/mcp""#, HttpKind::Streamable),
        (r#""type":"streamable-http","url":"https://h/mcp""#, HttpKind::Streamable),
        (r#""type":"streamableHttp","url":"https://h/mcp""#, HttpKind::Streamable),
        (r#""type":"sse","url":"https://h/mcp""#, HttpKind::Sse),
    ] {
        let http = http(entry);
        assert_eq!((http.url.value(), http.kind), ("https://h/mcp", kind), "{entry}");
    }
    let http = http(
        r#""url":"http://127.0.0.1:80/${HOME}","headers":{"Authorization":"Bearer ${TOKEN}"}"#,
    );
    assert_eq!(http.url.value(), "http://127.0.0.1:80//home/ada");
    assert_eq!(http.headers[0].1.expose(), "Bearer t0ps3cret");
}

#[test]
fn our_keys_of_a_server_are_read() {
    let server = server(
        r#""command":"c","capabilities":["github","x"],"prefix":"gh","trusted":true,"disabled":true,
           "breaker":{"failures":3},"rateLimit":false,"cache":true,"timeoutMs":5,
           "tools":{"get":{"hints":{"readOnly":true,"idempotent":false,"destructive":false,"openWorld":true},"ttlMs":9}}"#,
    );
    assert_eq!(server.capabilities, ["github", "x"]);
    assert_eq!((server.prefix.as_str(), server.trusted, server.disabled), ("gh", true, true));
    let Setting::On(breaker) = server.policies.breaker else { panic!("{:?}", server.policies) };
    assert_eq!((breaker.failures, breaker.cooldown), (NonZeroU32::new(3), None));
    assert_eq!(server.policies.rate_limit, Setting::Off);
    assert!(matches!(server.policies.cache, Setting::On(cache) if cache.ttl.is_none()));
    assert_eq!(server.policies.timeout, Some(Duration::from_millis(5)));
    let (name, tool) = &server.tools[0];
    assert_eq!((name.as_str(), tool.ttl), ("get", Some(Duration::from_millis(9))));
    let hints = tool.hints;
    assert_eq!((hints.read_only, hints.idempotent), (Some(true), Some(false)));
    assert_eq!((hints.destructive, hints.open_world), (Some(false), Some(true)));
}

#[test]
fn tools_are_exposed_under_the_prefix() {
    for (entry, exposed) in [
        (r#""command":"c""#, "s__get"),
        (r#""command":"c","prefix":"other.s-1_""#, "other.s-1___get"),
        (r#""command":"c","prefix":"""#, "get"),
    ] {
        assert_eq!(server(entry).exposed("get"), exposed);
    }
}

#[test]
fn our_settings_are_read() {
    let text = format!(
        r#"{{{S},"toolweir":{{
          "listen":"0.0.0.0:8808","admin":"[::1]:9464","token":"${{TOKEN}}",
          "allowedHosts":["tools.example:8808","[::1]"],"allowedOrigins":["https://app.example"],
          "routes":{{"notifications":["slack","x"]}},"defaultCapability":"github",
          "handlers":{{"notifications":{{"tool":"post","arguments":{{"text":"${{HOME}} {{text}}","n":1.5,"l":[true,null]}}}}}},
          "breaker":false,"rateLimit":{{"requestsPerSecond":0.5,"burst":2,"maxWaitMs":0}},
          "cache":{{"maxEntries":7,"maxBytes":8,"ttlMs":9}},"timeoutMs":10,"connectTimeoutMs":11,
          "alerts":{{"highLatencyMs":1,"errorsInLast100":2,"errorRate":0.5,"latencyP99Ms":3,"latencyP50Ms":4}}}}}}"#
    );
    let settings = right(&text).settings;
    assert_eq!(settings.listen, "0.0.0.0:8808".parse().ok());
    assert_eq!(settings.admin, "[::1]:9464".parse().ok());
    assert_eq!(settings.token, Some(Secret::new("t0ps3cret")));
    assert_eq!(settings.allowed_hosts, ["tools.example:8808", "[::1]"]);
    assert_eq!(settings.allowed_origins, ["https://app.example"]);
    assert_eq!(settings.routes[0].request_type, "notifications");
    assert_eq!(settings.routes[0].capabilities, ["slack", "x"]);
    assert_eq!(settings.default_capability.as_deref(), Some("github"));
    let handler = &settings.handlers[0];
    assert_eq!(handler.handler.value()["arguments"]["text"], "/home/ada {text}");
    assert_eq!(handler.handler.value()["arguments"]["n"], 1.5);
    assert_eq!(handler.handler.value()["arguments"]["l"], serde_json::json!([true, null]));
    let place = |place: Option<&toolweir::config::Place>| place.map(ToString::to_string);
    assert_eq!(place(handler.handler.place("/tool")), Some("5:47".to_owned()));
    assert_eq!(place(handler.handler.key_place("/tool")), Some("5:40".to_owned()));
    assert_eq!(place(handler.handler.place("/none")), None);
    assert_eq!(settings.policies.breaker, Setting::Off);
    let Setting::On(limit) = settings.policies.rate_limit else { panic!("{settings:?}") };
    assert_eq!((limit.requests_per_second, limit.burst), (Some(0.5), NonZeroU32::new(2)));
    assert_eq!(limit.max_wait, Some(Duration::ZERO));
    let Setting::On(cache) = settings.policies.cache else { panic!("{settings:?}") };
    assert_eq!((cache.max_entries, cache.max_bytes), (Some(7), Some(8)));
    assert_eq!(cache.ttl, Some(Duration::from_millis(9)));
    assert_eq!(settings.policies.timeout, Some(Duration::from_millis(10)));
    assert_eq!(settings.connect_timeout, Some(Duration::from_millis(11)));
    let alerts = settings.alerts;
    assert_eq!(alerts.high_latency, Some(Duration::from_millis(1)));
    assert_eq!((alerts.errors_in_last_100, alerts.error_rate), (Some(2), Some(0.5)));
    assert_eq!(alerts.latency_p99, Some(Duration::from_millis(3)));
    assert_eq!(alerts.latency_p50, Some(Duration::from_millis(4)));
}

#[test]
fn nothing_is_set_that_was_not_given() {
    let config = right(&format!("{{{S}, \"toolweir\": {{\"admin\": null}}}}"));
    let settings = &config.settings;
    assert_eq!((settings.listen, settings.admin, settings.timeout_is_given()), (None, None, false));
    assert_eq!(config.policies(&config.servers[0]).rate_limit, Setting::Inherit);
}

trait Given {
    fn timeout_is_given(&self) -> bool;
}

impl Given for toolweir::config::Settings {
    fn timeout_is_given(&self) -> bool {
        self.policies.timeout.is_some() || self.connect_timeout.is_some()
    }
}

#[test]
fn a_servers_policies_stand_over_the_common_ones() {
    let config = right(
        r#"{"mcpServers":{
              "own":{"command":"c","breaker":{"failures":2},"rateLimit":false,"timeoutMs":5},
              "common":{"command":"c"},
              "back":{"command":"c","cache":true}},
            "toolweir":{"breaker":{"failures":9,"cooldownMs":8},"rateLimit":{},"cache":false,"timeoutMs":7}}"#,
    );
    let policies = |at: usize| config.policies(&config.servers[at]);
    let Setting::On(breaker) = policies(0).breaker else { panic!("{:?}", policies(0)) };
    assert_eq!(
        (breaker.failures, breaker.cooldown),
        (NonZeroU32::new(2), Some(Duration::from_millis(8)))
    );
    assert_eq!(
        (policies(0).rate_limit, policies(0).timeout),
        (Setting::Off, Some(Duration::from_millis(5)))
    );
    assert_eq!(policies(1), config.settings.policies);
    assert_eq!(policies(1).rate_limit, Setting::On(RateLimit::default()));
    assert_eq!(policies(1).cache, Setting::Off);
    assert!(matches!(policies(2).cache, Setting::On(_)));
    assert_ne!(policies(1).breaker, Setting::On(Breaker::default()));
}

#[test]
fn only_loopback_needs_no_token() {
    for (address, needed) in [
        ("127.0.0.1:1", false),
        ("127.9.9.9:1", false),
        ("[::1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("10.0.0.1:1", true),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(needs_token(address), needed, "{address}");
    }
}

#[test]
fn warnings_do_not_stop() {
    for (text, expected) in [
        (
            r#"{"mcpServers":{"github":{"capabilities":["github"]}}}"#,
            vec!["1:16 warning `github` says neither how to start it nor where it is"],
        ),
        (r#"{"mcpServers":{}}"#, vec!["1:1 warning no server is configured"]),
        (
            r#"{"mcpServers":{"s":{"command":"c","autoApprove":[],"capabilites":[]}},"inputs":[]}"#,
            vec![
                "1:35 warning unknown key `autoApprove` in the server `s`",
                "1:52 warning unknown key `capabilites` in the server `s`",
                "1:71 warning unknown key `inputs` in the file",
            ],
        ),
        (
            r#"{"mcpServers":{"s":{"command":"c","headers":{}}}}"#,
            vec!["1:35 warning `headers` has no effect on a server that is a child process"],
        ),
        (
            r#"{"mcpServers":{"s":{"url":"http://h","env":{}}}}"#,
            vec!["1:38 warning `env` has no effect on a server that is a URL"],
        ),
        (
            r#"{"mcpServers":{"s":{"disabled":true,"command":"${NOT_SET}"}}}"#,
            vec!["1:48 warning the environment variable `NOT_SET` is not set"],
        ),
    ] {
        assert!(read(text).is_ok(), "{text}");
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn each_mistake_is_told_with_its_place() {
    // The inside of one server's entry, which begins at column 22 of the line.
    for (entry, expected) in [
        (r#""command":"""#, vec!["1:31 error `command` is empty"]),
        (r#""command":"${EMPTY}""#, vec!["1:31 error `command` is empty"]),
        (r#""command":["c"]"#, vec!["1:31 error `command` must be a string, not a list"]),
        (r#""command":"a\u0000""#, vec!["1:31 error `command` contains a NUL character"]),
        (r#""command":"c","args":"-y""#, vec!["1:42 error `args` must be a list, not a string"]),
        (
            r#""command":"c","args":["x",1]"#,
            vec!["1:47 error `args[]` must be a string, not a number"],
        ),
        (r#""command":"c","env":["A=1"]"#, vec!["1:41 error `env` must be an object, not a list"]),
        (
            r#""command":"c","env":{"A":true}"#,
            vec!["1:46 error `env.A` must be a string, not true or false"],
        ),
        (
            r#""command":"c","env":{"A=B":"1"}"#,
            vec!["1:42 error this cannot be the name of an environment variable"],
        ),
        (r#""command":"c","cwd":"""#, vec!["1:41 error `cwd` is empty"]),
        (
            r#""command":"x${NO}y","args":["${NO2}"]"#,
            vec![
                "1:33 error the environment variable `NO` is not set",
                "1:50 error the environment variable `NO2` is not set",
            ],
        ),
        (r#""command":"\u0041${NO}""#, vec!["1:31 error the environment variable `NO` is not set"]),
        (
            r#""command":"${input:key}""#,
            vec!["1:32 error `${input:..}` is asked for by an editor; nobody can be asked here"],
        ),
        (
            r#""command":"c","url":"http://h""#,
            vec!["1:41 error a server has either a command or a URL, not both"],
        ),
        (r#""type":"stdio""#, vec!["1:16 error `s` is of type stdio, but has no `command`"]),
        (r#""type":"http""#, vec!["1:16 error `s` is reached by HTTP, but has no `url`"]),
        (r#""type":"carrier-pigeon","command":"c""#, vec!["1:28 error unknown type of server"]),
        (r#""url":"h/mcp""#, vec!["1:27 error this is not a URL"]),
        (r#""url":"h:80""#, vec!["1:27 error the URL begins with neither http:// nor https://"]),
        (r#""url":"ftp://h""#, vec!["1:27 error the URL begins with neither http:// nor https://"]),
        (
            r#""url":"https://h:99999/""#,
            vec!["1:27 error the URL's port is not a number from 1 to 65535"],
        ),
        (r#""url":"https://u:p@h/""#, vec!["1:27 error the URL holds credentials"]),
        (r#""url":"https://h","httpUrl":"https://h""#, vec!["1:49 error the URL is given twice"]),
        (
            r#""url":"https://h","headers":{"A B":"1"}"#,
            vec!["1:50 error this cannot be the name of an HTTP header"],
        ),
        (
            r#""url":"https://h","headers":{"A":"${TWO_LINES}"}"#,
            vec!["1:50 error the value of this header has characters that HTTP forbids"],
        ),
        (
            r#""command":"c","prefix":"a b""#,
            vec!["1:44 error this cannot stand before the names of tools"],
        ),
        (
            r#""command":"c","trusted":"yes""#,
            vec!["1:45 error `trusted` must be true or false, not a string"],
        ),
        (
            r#""command":"c","capabilities":["",2]"#,
            vec![
                "1:51 error `capabilities[]` is empty",
                "1:54 error `capabilities[]` must be a string, not a number",
            ],
        ),
        (
            r#""command":"c","tools":{"t":{"hints":{"readonly":true},"ttl":1}}"#,
            vec![
                "1:58 error unknown key `readonly` in `hints`",
                "1:75 error unknown key `ttl` in `tools.t`",
            ],
        ),
        (
            r#""command":"c","breaker":{"failures":0}"#,
            vec!["1:57 error `failures` must be a whole number from 1 to 1000000"],
        ),
        (r#""command":"c","command":"d""#, vec!["1:35 error the key `command` is given twice"]),
    ] {
        let text = format!(r#"{{"mcpServers":{{"s":{{{entry}}}}}}}"#);
        assert_eq!(told(&text), expected, "{text}");
    }
}

#[test]
fn each_mistake_in_our_settings_is_told_with_its_place() {
    // The inside of `toolweir`, on a line of its own.
    for (inside, expected) in [
        (r#""listen":"localhost:1""#, vec!["2:10 error `listen` must be an IP address and a port"]),
        (r#""listen":8808"#, vec!["2:10 error `listen` must be a string, not a number"]),
        (
            r#""listen":"0.0.0.0:1","admin":"[::]:2""#,
            vec![
                "2:10 error `listen` can be reached from other machines, but there is no `token`",
                "2:30 error `admin` can be reached from other machines, but there is no `token`",
            ],
        ),
        (
            r#""listen":"127.0.0.1:1","admin":"127.0.0.1:1""#,
            vec!["2:32 error `listen` and `admin` are the same address"],
        ),
        (
            r#""listen":"0.0.0.0:1","token":"${EMPTY}""#,
            vec!["2:30 error `token` must be one word of visible ASCII characters, and not empty"],
        ),
        (r#""token":"${NO}""#, vec!["2:10 error the environment variable `NO` is not set"]),
        (
            r#""allowedHosts":["https://h"],"allowedOrigins":["h","https://h/"]"#,
            vec![
                "2:17 error this is not a host",
                "2:48 error this is not an origin",
                "2:52 error this is not an origin",
            ],
        ),
        (
            r#""routes":{"a":[],"b":"x"}"#,
            vec![
                "2:15 error a route needs at least one capability",
                "2:22 error `routes.b` must be a list, not a string",
            ],
        ),
        (
            r#""handlers":{"a":"x"}"#,
            vec!["2:17 error `handlers.a` must be an object, not a string"],
        ),
        (
            r#""handlers":{"a":{"b":["${NO}",1e999]}}"#,
            vec![
                "2:24 error the environment variable `NO` is not set",
                "2:31 error a number in `handlers.a` is out of range",
            ],
        ),
        (r#""breaker":5"#, vec!["2:11 error `breaker` must be an object, not a number"]),
        (
            r#""rateLimit":{"requestsPerSecond":0}"#,
            vec!["2:34 error `requestsPerSecond` must be a number from 0.001 to 1000000"],
        ),
        (
            r#""cache":{"ttlMs":-1,"maxEntries":1.5}"#,
            vec![
                "2:18 error `ttlMs` must be a whole number from 1 to 31536000000",
                "2:34 error `maxEntries` must be a whole number from 1 to 100000000",
            ],
        ),
        (
            r#""timeoutMs":"60000""#,
            vec!["2:13 error `timeoutMs` must be a whole number from 1 to 86400000, not a string"],
        ),
        (
            r#""timeoutMs":99999999999999999999"#,
            vec!["2:13 error `timeoutMs` must be a whole number from 1 to 86400000"],
        ),
        (
            r#""alerts":{"errorRate":2,"errorsInLast100":101}"#,
            vec![
                "2:23 error `errorRate` must be a number from 0 to 1",
                "2:43 error `errorsInLast100` must be a whole number from 0 to 100",
            ],
        ),
        (r#""breakers":{}"#, vec!["2:1 error unknown key `breakers` in `toolweir`"]),
        (r#""defaultCapability":"""#, vec!["2:21 error `defaultCapability` is empty"]),
    ] {
        let text = format!("{{{S},\"toolweir\":{{\n{inside}\n}}}}");
        assert_eq!(told(&text), expected, "{text}");
    }
}

#[test]
fn a_file_that_is_none_is_told() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let too_deep = format!("{{\"x\":{}", "[".repeat(100_000));
    let large = format!("{{{S}}}{}", " ".repeat(1 << 20));
    for (text, expected) in [
        ("", "1:1 error the file is empty"),
        (" // nothing\n", "1:1 error the file is empty"),
        ("[]", "1:1 error `the file` must be an object, not a list"),
        ("{}", "1:1 error no servers: there is no `mcpServers`"),
        (r#"{"mcpServers":[]}"#, "1:15 error `mcpServers` must be an object, not a list"),
        (
            r#"{"mcpServers":{"a b":{"command":"c"}}}"#,
            "1:16 error the name `a b` cannot stand before the names of tools",
        ),
        (
            r#"{"mcpServers":{"":{"command":"c"}}}"#,
            "1:16 error the name `` cannot stand before the names of tools",
        ),
        (
            r#"{"mcpServers":{"a":{"command":"c"}},"servers":{"a":{"command":"c"}}}"#,
            "1:48 error the server `a` is given twice",
        ),
        ("{\"a\": 1 \"b\": 2}", "1:8 error expected comma"),
        ("{a: 1}", "1:2 error expected string for object property"),
        ("{'a': 1}", "1:2 error single-quoted strings are not allowed"),
        ("{\n\"a\": [", "2:6 error unterminated array"),
        ("{} {}", "1:4 error text cannot contain more than one JSON value"),
        (&deep, "1:69 error nested deeper than 64 levels"),
        (&too_deep, "1:516 error maximum nesting depth exceeded"),
        (&large, "- error the file is larger than 1 MiB"),
    ] {
        let told = told(text);
        assert_eq!(told[0], expected, "{}", &text[..text.len().min(200)]);
    }
}

#[test]
fn a_name_that_no_tool_can_bear_is_well_with_a_prefix() {
    let config = right(r#"{"mcpServers":{"my server":{"command":"c","prefix":"my"}}}"#);
    assert_eq!(config.servers[0].exposed("get"), "my__get");
}

/// Everything that a mistake can make a file show, with the secrets that must not be in it.
#[test]
fn secrets_are_never_shown() {
    for text in [
        r#"{"mcpServers":{"s":{"command":"c","env":{"A":"hushhush"},"args":1}}}"#,
        r#"{"mcpServers":{"s":{"url":"http://h","headers":{"A":"${NO:-hushhush}${NO}"}}}}"#,
        r#"{"mcpServers":{"s":{"url":"http://me:hushhush@h"}}}"#,
        r#"{"mcpServers":{},"toolweir":{"token":"hush hush"}}"#,
        r#"{"mcpServers":{"s":{"env":{"A":"hushhush"} "args":1}}}"#,
        r#"{"toolweir":{"token":"hushhush" "listen":1}}"#,
        r#"{"toolweir":{"token":"hushhush}}"#,
        r#"{"toolweir":{"token":hushhush}}"#,
        r#"{"toolweir":{"token":'hushhush'}}"#,
        r#"{"toolweir":{"token":"hush\qhush"}}"#,
        r#"{"mcpServers":{"s":{"env":{"A":"x"},"env":{"A":"hushhush"}}}}"#,
        r#"{"mcpServers":{"s":{"url":"http://me:hushhush@h" "headers":{}}}}"#,
        r#"{"mcpServers":{"s":"x","apiKey":"hushhush"}}"#,
        r#"{"mcpServers":{"s":{"url":"${TOKEN}","args":["${TOKEN}"],"prefix":"${TOKEN} "}}}"#,
    ] {
        let errors = read(text).expect_err(text);
        let shown = format!("{errors} {errors:?} {}", errors.render(true));
        for secret in ["hush", "t0ps3cret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let config = right(
        r#"{"mcpServers":{"s":{"command":"c","args":["${TOKEN}"],"env":{"A":"hushhush"}},
                          "h":{"url":"http://h/?k=${TOKEN}","headers":{"A":"hushhush"}}},"toolweir":{"token":"hushhush"}}"#,
    );
    let shown = format!("{config:?} {}", config.error_at(&config.servers[0].place, "x"));
    assert!(!shown.contains("hush") && !shown.contains("t0ps3cret"), "{shown}");
}

#[test]
fn terminal_escapes_are_not_passed_on() {
    let errors = read("{\"mcpServers\":{\"\u{1b}[31m\\u001b[2J\":{}}}").expect_err("not a prefix");
    assert!(!errors.to_string().contains('\u{1b}'), "{errors}");
    assert!(errors.render(true).contains('\u{1b}'));
}

#[test]
fn a_later_finding_is_shown_the_same_way() {
    let config = right("{\n  \"mcpServers\": {\n    \"s\": { \"command\": \"c\" }\n  }\n}");
    let problem = config
        .error_at(&config.servers[0].place, "two tools are called `s__get`")
        .with_help("add a `prefix`");
    let expected = "\
error: two tools are called `s__get`
 --> toolweir.jsonc:3:5
  |
3 |     \"s\": { \"command\": \"c\" }
  |     ^^^
  |
  = help: add a `prefix`";
    assert_eq!(problem.to_string(), expected);
}

#[test]
fn many_mistakes_and_long_lines_are_bounded() {
    let entries: Vec<_> =
        (0..20_000).map(|n| format!(r#""s{n}":{{"command":"","timeoutMs":0}}"#)).collect();
    let text = format!(r#"{{"mcpServers":{{{}}}}}"#, entries.join(","));
    let errors = read(&text).expect_err("all are wrong");
    assert_eq!(errors.problems().len(), 40_000);
    let shown = errors.to_string();
    assert!(
        shown.ends_with("and 39900 more\n40000 errors in toolweir.jsonc"),
        "{}",
        &shown[shown.len() - 100..]
    );
    assert!(shown.len() < 100_000, "{}", shown.len());
}

/// A directory of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory to write in");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_found_in_their_order() {
    let folder = Folder::new("find");
    let missing = Config::find_in(&folder.0).expect_err("no file");
    assert!(missing.to_string().contains("neither toolweir.jsonc nor .mcp.json"), "{missing}");
    fs::write(folder.0.join(".mcp.json"), r#"{"mcpServers":{"second":{"command":"c"}}}"#).unwrap();
    assert_eq!(Config::find_in(&folder.0).unwrap().0.servers[0].name, "second");
    fs::write(folder.0.join("toolweir.jsonc"), r#"{"mcpServers":{"first":{"command":"c"}}}"#)
        .unwrap();
    assert_eq!(Config::find_in(&folder.0).unwrap().0.servers[0].name, "first");
    fs::write(folder.0.join("toolweir.jsonc"), "{").unwrap();
    let broken =
        Config::find_in(&folder.0).expect_err("the first is broken, the second is not asked");
    assert_eq!(broken.problems()[0].file(), folder.0.join("toolweir.jsonc").display().to_string());
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = Folder::new("load");
    let none = Config::load(folder.0.join("none.jsonc")).expect_err("no file");
    assert!(none.problems()[0].message().starts_with("the file cannot be read"), "{none}");
    assert!(Config::load(&folder.0).is_err());
    fs::write(folder.0.join("latin1.jsonc"), b"{\n\"caf\xe9\": 1}").unwrap();
    let latin1 = Config::load(folder.0.join("latin1.jsonc")).expect_err("not UTF-8");
    assert_eq!(latin1.problems()[0].message(), "the file is not UTF-8, from line 2 on");
}

/// Every file in `broken/` against the text beside it; `TOOLWEIR_BLESS=1` writes the texts anew.
#[test]
fn broken_files_are_told_as_written_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonc"));
    assert!(files.len() >= 20, "{}", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let errors = Config::from_str(&text, &name, &env).expect_err(&name);
        for problem in errors.problems() {
            let place = problem.place().unwrap();
            assert!(problem.to_string().contains(&format!("--> {name}:{place}\n")), "{problem}");
            assert!(problem.advice().is_some(), "{problem}");
        }
        let shown = format!("{errors}\n");
        let beside = path.with_extension("txt");
        if std::env::var_os("TOOLWEIR_BLESS").is_some() {
            fs::write(&beside, &shown).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(shown, expected, "{name}");
    }
}

/// Pieces that make texts which come far.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "-1",
        "1e999",
        "//",
        "/*",
        "*/",
        "\n",
        "\r",
        "\t",
        "${",
        "}",
        "\"mcpServers\":{",
        "\"s\":{",
        "\"toolweir\":{",
        "\"command\":",
        "\"env\":{",
        "\"headers\":{",
        "\"url\":",
        "\"token\":",
        "\"${TOKEN}\"",
        "\"${NO}\"",
        "\"http://h\"",
        "\"é𝄞\"",
        "\\u0000",
        "\\",
        "\u{feff}",
        "\u{200d}",
        "'",
        "\"breaker\":",
        "\"handlers\":{",
        "\"listen\":",
        "\"0.0.0.0:1\"",
        "\"prefix\":",
        "\"capabilities\":[",
    ];
    prop_oneof![4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn is_told_without_panic(text: &str) {
    match read(text) {
        Ok((config, warnings)) => {
            for warning in &warnings {
                assert!(!warning.render(true).is_empty());
            }
            assert!(!format!("{config:?}").contains("t0ps3cret"));
        }
        Err(errors) => {
            assert!(errors.problems().iter().any(|problem| problem.severity() == Severity::Error));
            let shown = errors.to_string();
            assert!(!shown.contains("t0ps3cret"), "{shown}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        is_told_without_panic(&text);
    }

    #[test]
    fn no_mixture_panics(pieces in prop::collection::vec(piece(), 0..40)) {
        is_told_without_panic(&pieces.concat());
    }

    /// A right file with a part cut out or put in is told of, or still right.
    #[test]
    fn no_damage_panics(from in 0usize..900, length in 0usize..30, put in piece()) {
        let text = include_str!("../broken/values.jsonc");
        let cut: String = text.chars().enumerate().filter(|(at, _)| !(from..from + length).contains(at)).map(|(_, c)| c).collect();
        let middle = (0..=from.min(cut.len())).rev().find(|at| cut.is_char_boundary(*at)).unwrap_or_default();
        is_told_without_panic(&format!("{}{put}{}", &cut[..middle], &cut[middle..]));
    }
}
