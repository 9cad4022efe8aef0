//! What is said of a failed call, for whoever decides what to do next: a person, or a language model.

use toolweir_core::{Delivery, Error, Kind, Method};

/// What happened, and where; whether anything may have been carried out; and what may be done about it.
pub(super) fn text(error: &Error, method: &Method) -> String {
    let mut text = what(error);
    if let Some(details) = error.details() {
        text = if text.is_empty() { details.to_owned() } else { format!("{text}: {details}") };
    }
    let mut ways = Vec::new();
    match (error.kind(), error.kind().retry_after()) {
        (_, Some(retry_after)) => ways.push(format!("retry in {:.1} s", retry_after.as_secs_f64())),
        (Kind::NoServer | Kind::InvalidRequest | Kind::NotFound | Kind::TooLarge, _)
        | (Kind::Status { .. } | Kind::Protocol { .. } | Kind::Cancelled, _) => {}
        (Kind::Unreachable, _) => ways.push("nothing was sent, retry later".to_owned()),
        _ if error.delivery() == Delivery::Ambiguous && *method == Method::TOOLS_CALL => {
            ways.push("the call may have been carried out, look before you retry".to_owned());
        }
        _ => ways.push("retry later".to_owned()),
    }
    if !error.alternatives().is_empty() {
        let names: Vec<String> =
            error.alternatives().iter().map(|name| format!("`{name}`")).collect();
        ways.push(format!("use {}", names.join(" or ")));
    }
    if ways.is_empty() { text } else { format!("{text}; {}", ways.join(", or ")) }
}

fn what(error: &Error) -> String {
    let server = error.server_name().map(|name| format!("`{name}`"));
    let it = server.clone().unwrap_or_else(|| "the server".to_owned());
    let with = |word: &str| server.as_ref().map_or(String::new(), |it| format!(" {word} {it}"));
    match error.kind() {
        Kind::CircuitOpen { .. } => format!("{it} failed too often and is left alone for now"),
        Kind::RateLimited { .. } => format!("rate limit{} reached", with("of")),
        Kind::ToolRateLimited { .. } => format!("rate limit of a tool{} reached", with("of")),
        Kind::UserRateLimited { .. } => format!("your own rate limit{} is reached", with("at")),
        Kind::Overloaded => format!("too many calls at once{}", with("at")),
        Kind::Unreachable => format!("{it} cannot be reached"),
        Kind::Disconnected => format!("the connection to {it} ended before the reply"),
        Kind::Timeout => format!("{it} did not reply in time"),
        Kind::InvalidReply => format!("the reply of {it} is invalid"),
        Kind::TooLarge => format!("the message is too large{}", with("for")),
        Kind::Throttled { .. } => format!("{it} asks for a pause"),
        Kind::Status { status } => format!("{it} answered with HTTP status {status}"),
        Kind::Cancelled => "the call was cancelled".to_owned(),
        Kind::Closed => "the gateway is shutting down".to_owned(),
        Kind::Internal => format!("internal error{}", with("at")),
        // Where there are details, they say it all.
        Kind::NotFound if error.details().is_some() => String::new(),
        kind => kind.to_string(),
    }
}
