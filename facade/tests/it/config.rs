//! The configuration: what is read from a file that is right.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use toolweir::config::{
    Alerts, Breaker, Config, ConfigErrors, Http, HttpKind, Policies, RateLimit, Secret, Server,
    Setting, Stdio, Transport, Warning, needs_token,
};

mod alerts;
mod any;
mod files;
mod shown;
mod wrong;

fn env(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("t0ps3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some("one\ntwo".to_owned()),
        "HOME" => Some("/srv/ada".to_owned()),
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
    assert_eq!(stdio.command.value(), "/srv/ada/bin/x");
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
    ] {
        let http = http(entry);
        assert_eq!((http.url.value(), http.kind), ("https://h/mcp", kind), "{entry}");
    }
    let http = http(
        r#""url":"http://127.0.0.1:80/${HOME}","headers":{"Authorization":"Bearer ${TOKEN}"}"#,
    );
    assert_eq!(http.url.value(), "http://127.0.0.1:80//srv/ada");
    assert_eq!(http.headers[0].1.expose(), "Bearer t0ps3cret");
}

#[test]
fn our_keys_of_a_server_are_read() {
    let server = server(
        r#""command":"c","capabilities":["github","x"],"prefix":"gh","trusted":true,"disabled":true,
           "breaker":{"failures":3},"rateLimit":false,"cache":true,"timeoutMs":5,
           "tools":{"get":{"hints":{"readOnly":true,"idempotent":false,"destructive":false,"openWorld":true},"ttlMs":9,
           "rateLimit":{"requestsPerSecond":2},"rateLimitPerUser":true}}"#,
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
    let Setting::On(limit) = tool.rate_limit else { panic!("{tool:?}") };
    assert_eq!((limit.requests_per_second, limit.burst), (Some(2.0), None));
    assert_eq!(tool.rate_limit_per_user, Setting::On(RateLimit::default()));
    assert_eq!(server.policies.rate_limit_per_user, Setting::Inherit);
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
          "allowedHosts":["Tools.example:8808","[::1]"],"allowedOrigins":["https://App.example"],
          "routes":{{"notifications":["slack","x"]}},"defaultCapability":"github",
          "handlers":{{"notifications":{{"tool":"post","defaults":{{"text":"${{HOME}} {{text}}","n":1.5,"l":[true,null]}}}}}},
          "breaker":false,"rateLimit":{{"requestsPerSecond":0.5,"burst":2,"maxWaitMs":0}},
          "cache":{{"maxEntries":7,"maxBytes":8,"ttlMs":9}},"timeoutMs":10,"connectTimeoutMs":11,
          "zone":"eu-1","zoneSpillMs":12,"slowStartMs":0,
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
    assert_eq!(handler.handler.value()["defaults"]["text"], "/srv/ada {text}");
    assert_eq!(handler.handler.value()["defaults"]["n"], 1.5);
    assert_eq!(handler.handler.value()["defaults"]["l"], serde_json::json!([true, null]));
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
    assert_eq!(settings.zone.as_deref(), Some("eu-1"));
    assert_eq!(settings.zone_spill, Some(Duration::from_millis(12)));
    assert_eq!(settings.slow_start, Some(Duration::ZERO));
    let alerts = &settings.alerts;
    assert_eq!(alerts.high_latency, Some(Duration::from_millis(1)));
    assert_eq!((alerts.errors_in_last_100, alerts.error_rate), (Some(2), Some(0.5)));
    assert_eq!(alerts.latency_p99, Some(Duration::from_millis(3)));
    assert_eq!(alerts.latency_p50, Some(Duration::from_millis(4)));
}

#[test]
fn nothing_is_set_that_was_not_given() {
    let config = right(&format!("{{{S}, \"toolweir\": {{\"admin\": null}}}}"));
    let settings = &config.settings;
    assert_eq!((settings.listen, settings.admin), (None, None));
    assert_eq!((&settings.policies, &settings.alerts), (&Policies::default(), &Alerts::default()));
    assert!(
        settings.token.is_none()
            && settings.connect_timeout.is_none()
            && settings.default_capability.is_none()
    );
    assert_eq!(config.policies(&config.servers[0]).rate_limit, Setting::Inherit);
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
fn a_name_that_no_tool_can_bear_is_well_with_a_prefix() {
    let config = right(r#"{"mcpServers":{"my server":{"command":"c","prefix":"my"}}}"#);
    assert_eq!(config.servers[0].exposed("get"), "my__get");
}
