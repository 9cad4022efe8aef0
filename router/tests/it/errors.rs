//! Configuration, routes, and what is said where nobody can answer.

use toolweir_core::{Error, Kind};
use toolweir_router::{Config, KNOWN_CAPABILITIES, RouteError, Router, Routes};

use crate::support::*;

#[test]
fn default_routes_are_those_of_the_known_systems() {
    let router = Router::default();
    for (request_type, capability) in [
        ("repository_management", "github"),
        ("notifications", "slack"),
        ("documentation", "notion"),
        ("database", "firebase"),
        ("web_automation", "playwright"),
    ] {
        assert_eq!(router.route(request_type).unwrap(), [capability]);
        assert!(KNOWN_CAPABILITIES.contains(&capability));
    }
}

#[test]
fn the_configuration_adds_and_replaces_routes() {
    let config: Config = serde_json::from_str(
        r#"{"routes": {"notifications": ["email", "slack"], "weather": ["meteo"]}}"#,
    )
    .unwrap();
    let router = Router::new(config).unwrap();
    assert_eq!(router.route("notifications").unwrap(), ["email", "slack"]);
    assert_eq!(router.route("weather").unwrap(), ["meteo"]);
    assert_eq!(router.route("database").unwrap(), ["firebase"]);
}

#[test]
fn routes_can_be_replaced_and_bad_ones_replace_nothing() {
    let router = router(Config::default());
    let routes = Routes::none().with("weather", ["meteo"]);
    router.set_routes(Config::default().routes(routes).default_capability("any")).unwrap();
    assert_eq!(router.route("weather").unwrap(), ["meteo"]);
    assert_eq!(router.route("database").unwrap(), ["any"]);
    let bad = Config::default().routes(Routes::none().with("", ["x"]));
    assert_eq!(router.set_routes(bad).unwrap_err().field(), "routes.");
    assert_eq!(router.route("weather").unwrap(), ["meteo"]);
}

#[test]
fn an_unknown_type_is_refused_unless_a_default_is_named() {
    let error = Router::default().route("weather").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown request type \"weather\" (known: database, documentation, notifications, \
         repository_management, web_automation)"
    );
    assert_eq!(Error::from(error).kind(), Kind::NotFound);

    let router = router(Config::default().default_capability("github"));
    assert_eq!(router.route("weather").unwrap(), ["github"]);
    assert_eq!(router.route("notifications").unwrap(), ["slack"]);
}

#[test]
fn no_capable_server_names_what_is_missing_and_what_is_there() {
    let router = router(Config::default());
    let text =
        |capabilities: &[&str]| router.require_at(capabilities, START).unwrap_err().to_string();
    assert_eq!(text(&["github"]), "no server has: github (available: none)");
    assert_eq!(text(&[]), "there is no server");

    router.add("a", ["slack", "notion"]);
    router.add("b", ["github"]);
    assert_eq!(
        text(&["github", "firebase", "email"]),
        "no server has: firebase, email (available: github, notion, slack)"
    );
    assert_eq!(
        text(&["github", "slack"]),
        "no one server has all of: github, slack (available: github, notion, slack)"
    );
    let error = router.require_at(&["github", "email"], START).unwrap_err();
    assert_eq!(error.required, ["github", "email"]);
    assert_eq!(error.missing, ["email"]);
    assert_eq!(error.available, ["github", "notion", "slack"]);
    assert_eq!(Error::from(error).kind(), Kind::NoServer);
}

#[test]
fn a_long_list_is_cut() {
    let router = router(Config::default());
    router.add("a", (0..20).map(|n| format!("c{n:02}")));
    let text = router.require_at(&["x"], START).unwrap_err().to_string();
    assert!(text.ends_with("c14, c15 and 4 more)"), "{text}");
}

#[test]
fn a_request_is_routed_by_its_type() {
    let router = router(Config::default());
    let id = router.add("slack", ["slack"]);
    assert_eq!(router.rank_route_at("notifications", START).unwrap().to_vec(), [id]);
    assert!(matches!(router.rank_route_at("database", START), Err(RouteError::NoServer(_))));
    let error = router.rank_route_at("weather", START).unwrap_err();
    assert!(matches!(error, RouteError::Unknown(_)));
    assert_eq!(Error::from(error).kind(), Kind::NotFound);
}

#[test]
fn bad_numbers_are_refused_by_name() {
    for (json, field) in [
        (r#"{"pauseMs": 0}"#, "pauseMs"),
        (r#"{"pauseMs": 70000}"#, "pauseMaxMs"),
        (r#"{"pauseMaxMs": 86400001}"#, "pauseMaxMs"),
        (r#"{"halfLifeMs": 0}"#, "halfLifeMs"),
        (r#"{"failurePenaltyMs": 0}"#, "failurePenaltyMs"),
        (r#"{"maxEjectedPercent": 101}"#, "maxEjectedPercent"),
        (r#"{"defaultCapability": ""}"#, "defaultCapability"),
        (r#"{"routes": {"notifications": []}}"#, "routes.notifications"),
        (r#"{"routes": {"notifications": [""]}}"#, "routes.notifications"),
        (r#"{"routes": {"": ["x"]}}"#, "routes."),
    ] {
        let config: Config = serde_json::from_str(json).unwrap();
        let error = Router::new(config).unwrap_err();
        assert_eq!(error.field(), field, "{json}");
        assert!(error.to_string().starts_with(&format!("{field} must ")), "{error}");
    }
    for edge in [
        r#"{"pauseMs": 1, "pauseMaxMs": 1, "halfLifeMs": 1, "failurePenaltyMs": 1}"#,
        r#"{"pauseMaxMs": 86400000, "maxEjectedPercent": 100, "toleratedErrors": 0}"#,
    ] {
        assert!(serde_json::from_str::<Config>(edge).unwrap().validate().is_ok(), "{edge}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = serde_json::from_str::<Config>(r#"{"pause": 1}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `pause`"), "{error}");
}

#[test]
fn a_configuration_survives_its_own_json() {
    let config =
        Config::default().seed(9).pause(ms(1500)).routes(Routes::default().with("a", ["b"]));
    let json = serde_json::to_string(&config).unwrap();
    assert!(json.contains(r#""pauseMs":1500"#), "{json}");
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
}

#[test]
fn the_defaults_are_those_of_the_sketch() {
    assert_eq!(Config::default().tolerated_errors, 3);
}
