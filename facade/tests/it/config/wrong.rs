//! What is said of each mistake, and where it is seen.

use toolweir::config::Severity;

use super::{S, read};

/// Each problem as `line:column severity message`.
pub(super) fn told(text: &str) -> Vec<String> {
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
            r#"{"mcpServers":{"s":{"command":"c","zone":"eu"}}}"#,
            vec!["1:42 warning `zone` has no effect: it is not said which zone the gateway is in"],
        ),
        (r#"{"mcpServers":{"s":{"command":"c","zone":"eu"}},"toolweir":{"zone":"us"}}"#, vec![]),
        (
            r#"{"mcpServers":{"s":{"url":"http://h","env":{}}}}"#,
            vec!["1:38 warning `env` has no effect on a server that is a URL"],
        ),
        (
            r#"{"mcpServers":{"s":{"command":"c","isolate":"client","cache":{"ttlMs":1},"tools":{"t":{"ttlMs":1}}}}}"#,
            vec![
                "1:54 warning with `isolate`, `cache` keeps no reply",
                "1:74 warning with `isolate`, `tools` keeps no reply",
            ],
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
        (
            r#""command":"c","cache":{"ttlMs":1,"maxEntries":5}"#,
            vec!["1:54 error `maxEntries` cannot be set for one server: all share one cache"],
        ),
        (
            r#""url":"https://h","headers":{"A":"1","a":"2"}"#,
            vec!["1:58 error the header `a` is given twice"],
        ),
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
                "2:43 error `errorsInLast100` must be a whole number from 0 to 99",
            ],
        ),
        (r#""breakers":{}"#, vec!["2:1 error unknown key `breakers` in `toolweir`"]),
        (r#""defaultCapability":"""#, vec!["2:21 error `defaultCapability` is empty"]),
        (
            r#""zone":"","slowStartMs":-1,"zoneSpillMs":0"#,
            vec![
                "2:8 error `zone` is empty",
                "2:25 error `slowStartMs` must be a whole number from 0 to 86400000",
                "2:42 error `zoneSpillMs` must be a whole number from 1 to 86400000",
            ],
        ),
        (r#""zoneSpillMs":5"#, vec!["2:1 warning `zoneSpillMs` has no effect without a `zone`"]),
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
