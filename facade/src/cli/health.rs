//! `toolweir health`: the dashboard of a running gateway.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::failure::Failure;
use super::output::Output;

/// How long the gateway may take to tell.
const PATIENCE: Duration = Duration::from_secs(10);
const CAP: usize = 16 << 20;

pub(crate) async fn health(
    url: &str,
    token: Option<&str>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let url = format!("{}/health", url.trim_end_matches('/').trim_end_matches("/health"));
    let uri: Uri = url.parse().map_err(|error| Failure::usage(format!("--url: {error}")))?;
    if uri.scheme_str() != Some("http") {
        return Err(Failure::usage("--url: expected http://HOST:PORT"));
    }
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| Failure::usage(error.to_string()))?;
    let fetch = async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(String::new, |cause| format!(": {cause}"));
            Failure::unreachable(format!(
                "{url}: {error}{cause}; is `admin` set in the configuration, and the gateway up?"
            ))
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), CAP).collect().await;
        let body =
            body.map_err(|error| Failure::unreachable(format!("{url}: {error}")))?.to_bytes();
        Ok((status, body))
    };
    let (status, body) = tokio::time::timeout(PATIENCE, fetch).await.unwrap_or_else(|_| {
        Err(Failure::unreachable(format!("{url}: no answer within {} s", PATIENCE.as_secs())))
    })?;
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => {
            return Err(Failure::authentication(format!("{url}: a token is needed; give --token")));
        }
        StatusCode::FORBIDDEN => return Err(Failure::authentication(format!("{url}: refused"))),
        status => return Err(Failure::unexpected(format!("{url}: {status}"))),
    }
    let dashboard: Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::unexpected(format!("{url}: {error}")))?;
    output.result(&dashboard, text);
    let degraded = dashboard["upstreams"].as_array().is_some_and(|servers| {
        servers.iter().any(|server| {
            ["unhealthy", "quarantined"]
                .contains(&server["health_status"].as_str().unwrap_or_default())
        })
    });
    Ok(if degraded { ExitCode::from(7) } else { ExitCode::SUCCESS })
}

/// When a server that is left alone is tried again.
pub(super) fn again(milliseconds: u64) -> String {
    format!(", tried again in {} s", milliseconds.div_ceil(1_000))
}

/// The dashboard for people.
pub(crate) fn text(dashboard: &Value) -> String {
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!(
        "system health: {} ({} operations)",
        text_of(&dashboard["system_health"]),
        dashboard["total_operations"],
    )];
    lines.push(format!(
        "{:<16} {:<10} {:<10} {:>6} {:>8} {:>10} {:>10}",
        "server", "state", "breaker", "calls", "success", "p50 ms", "p99 ms",
    ));
    for server in dashboard["upstreams"].as_array().into_iter().flatten() {
        let name = text_of(&server["name"]);
        let statistics = &dashboard["servers"][&name];
        let number = |key: &str, digits: usize| {
            statistics[key]
                .as_f64()
                .map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
        };
        let success = statistics["success_rate"].as_f64();
        lines.push(format!(
            "{name:<16} {:<10} {:<10} {:>6} {:>8} {:>10} {:>10}",
            text_of(&server["health_status"]),
            server["breaker"].as_str().unwrap_or("-"),
            number("total_operations", 0),
            success.map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
            number("p50_duration_ms", 2),
            number("p99_duration_ms", 2),
        ));
    }
    for server in dashboard["upstreams"].as_array().into_iter().flatten() {
        if let Some(reason) = server["reason"].as_str() {
            let (name, state) = (text_of(&server["name"]), text_of(&server["health_status"]));
            let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(reason);
            let again = server["retry_in_ms"].as_u64().map(again).unwrap_or_default();
            lines.push(format!("{state}: {name}: {reason}{again}"));
        }
    }
    for server in dashboard["upstreams"].as_array().into_iter().flatten() {
        if let Some(count) = server["instances"].as_u64() {
            let name = text_of(&server["name"]);
            lines.push(format!("isolated: {name}: clients with an instance of their own: {count}"));
        }
    }
    for alert in dashboard["active_alerts"].as_array().into_iter().flatten() {
        lines.push(format!(
            "alert: {} {} ({})",
            text_of(&alert["severity"]),
            text_of(if alert["rule"].is_string() { &alert["rule"] } else { &alert["type"] }),
            text_of(&alert["server"])
        ));
    }
    for issue in dashboard["health"]["issues"].as_array().into_iter().flatten() {
        lines.push(format!(
            "issue: {}: {} against {}",
            text_of(&issue["type"]),
            issue["value"],
            issue["threshold"]
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_that_is_left_alone_is_told_of_with_why_and_until_when() {
        let dashboard = json!({ "system_health": "good", "total_operations": 3, "upstreams": [
            { "name": "well", "health_status": "healthy" },
            { "name": "loops", "health_status": "quarantined", "reason": "loops: cannot be reached", "retry_in_ms": 58_200 },
        ] });
        let text = text(&dashboard);
        assert!(
            text.ends_with("\nquarantined: loops: cannot be reached, tried again in 59 s"),
            "{text}"
        );
    }
}
