//! Errors tell how far a call came, once, and without what it carried.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use toolweir_core::{Delivery, Error, Kind, RawJson};

const SECOND: Duration = Duration::from_secs(1);

/// Every kind with its name, its usual delivery, and whether it is a refusal of ours.
const KINDS: [(Kind, &str, Delivery, bool); 19] = {
    use Delivery::{Ambiguous, Answered, Unsent};
    [
        (Kind::CircuitOpen { retry_after: SECOND }, "circuit_open", Unsent, true),
        (Kind::RateLimited { retry_after: SECOND }, "rate_limited", Unsent, true),
        (Kind::ToolRateLimited { retry_after: SECOND }, "tool_rate_limited", Unsent, true),
        (Kind::UserRateLimited { retry_after: SECOND }, "user_rate_limited", Unsent, true),
        (Kind::Overloaded, "overloaded", Unsent, true),
        (Kind::NoServer, "no_server", Unsent, true),
        (Kind::NotFound, "not_found", Unsent, true),
        (Kind::InvalidRequest, "invalid_request", Unsent, true),
        (Kind::Unreachable, "unreachable", Unsent, false),
        (Kind::Disconnected, "disconnected", Ambiguous, false),
        (Kind::Timeout, "timeout", Ambiguous, false),
        (Kind::InvalidReply, "invalid_reply", Ambiguous, false),
        (Kind::TooLarge, "too_large", Unsent, true),
        (Kind::Throttled { retry_after: None }, "throttled", Answered, false),
        (Kind::Protocol { code: -1 }, "protocol_error", Answered, false),
        (Kind::Status { status: 502 }, "http_status", Answered, false),
        (Kind::Cancelled, "cancelled", Ambiguous, true),
        (Kind::Closed, "closed", Unsent, true),
        (Kind::Internal, "internal", Ambiguous, true),
    ]
};

#[test]
fn each_kind_has_its_name_and_its_usual_delivery() {
    for (kind, name, delivery, refusal) in KINDS {
        let error = Error::from(kind);
        assert_eq!(kind.name(), name);
        assert_eq!(error.delivery(), delivery, "{name}");
        assert_eq!(error.is_unsent(), delivery == Delivery::Unsent, "{name}");
        assert_eq!(kind.is_refusal(), refusal, "{name}");
        assert!(error.clone().unsent().is_unsent(), "{name}");
        assert_eq!(error.ambiguous().delivery(), Delivery::Ambiguous, "{name}");
        let text = kind.to_string();
        let first = text.chars().next().unwrap();
        assert!(!first.is_uppercase() && !text.ends_with('.'), "{text}");
    }
}

#[test]
fn when_to_try_again_is_told_where_it_is_known() {
    for (kind, retry_after) in [
        (Kind::CircuitOpen { retry_after: SECOND }, Some(SECOND)),
        (Kind::RateLimited { retry_after: SECOND }, Some(SECOND)),
        (Kind::ToolRateLimited { retry_after: SECOND }, Some(SECOND)),
        (Kind::UserRateLimited { retry_after: SECOND }, Some(SECOND)),
        (Kind::Throttled { retry_after: Some(SECOND) }, Some(SECOND)),
        (Kind::Throttled { retry_after: None }, None),
        (Kind::Timeout, None),
    ] {
        assert_eq!(kind.retry_after(), retry_after, "{kind}");
    }
}

#[test]
fn display_tells_this_level_only() {
    let cause = || io::Error::other("the pipe is gone");
    let bare = Error::new(Kind::Disconnected);
    for (error, text) in [
        (bare.clone(), "connection ended before the reply"),
        (bare.clone().server("github"), "github: connection ended before the reply"),
        (bare.clone().message("exit status 1"), "connection ended before the reply: exit status 1"),
        (bare.caused_by(cause()), "connection ended before the reply"),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let error = Error::new(Kind::Timeout).caused_by(cause());
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the pipe is gone"));
    assert!(Error::new(Kind::Timeout).source().is_none());
}

#[test]
fn a_servers_own_error_is_kept_and_not_shown() {
    let object = r#"{"code":-32000, "message":"no", "data":{"token":"hunter2"}}"#;
    let error = Error::protocol(-32000, RawJson::new(object).unwrap());
    assert_eq!(error.kind(), Kind::Protocol { code: -32000 });
    assert_eq!(error.rpc().map(RawJson::as_str), Some(object));
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(shown.contains("-32000"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_clone_is_the_same_and_changes_apart() {
    let error = Error::new(Kind::Timeout).server("a").message("m").caused_by(io::Error::other("c"));
    let copy = error.clone();
    assert_eq!(format!("{copy:?}"), format!("{error:?}"));
    let changed = copy.server("b").unsent();
    assert_eq!((changed.server_name(), changed.is_unsent()), (Some("b"), true));
    assert_eq!((error.server_name(), error.is_unsent()), (Some("a"), false));
    assert_eq!((changed.details(), error.details()), (Some("m"), Some("m")));
    assert!(changed.source().is_some());
}
