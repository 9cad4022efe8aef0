//! `rateLimitPerUser`, and `rateLimit` and `rateLimitPerUser` of single tools.

use std::time::Duration;

use super::upstream::Upstream;
use super::{at_url, call, read, started};

/// How many of 9 calls of `plain` are answered before one is refused, of what kind that is, and for how many seconds.
async fn until_limited(entry: &str, settings: &str) -> Option<(usize, &'static str, u64)> {
    let upstream = Upstream::start().await;
    let orchestrator = started(&at_url(entry, settings), &upstream.url()).await;
    let mut limited = None;
    for count in 0..9 {
        let Err(error) = call(&orchestrator, "s__plain").await else { continue };
        let retry_after = error.kind().retry_after().unwrap_or_else(|| panic!("{error}"));
        limited = Some((count, error.kind().name(), retry_after.as_secs()));
        break;
    }
    orchestrator.shutdown(Duration::from_secs(5)).await;
    limited
}

const USER: &str = "user_rate_limited";
const TOOL: &str = "tool_rate_limited";

/// A limit under this key: so many at once, and one in 100 seconds unless another rate is given.
fn slow(key: &str, burst: u32, more: &str) -> String {
    format!(r#""{key}":{{"requestsPerSecond":0.01,"burst":{burst}{more}}}"#)
}

fn of_tool(tool: &str, limit: &str) -> String {
    format!(r#""tools":{{"{tool}":{{{limit}}}}}"#)
}

#[tokio::test]
pub(super) async fn each_user_has_a_limit() {
    let two = slow("rateLimitPerUser", 2, "");
    assert_eq!(until_limited("", "").await, None);
    assert!(matches!(until_limited("", &two).await, Some((2, USER, 90..=99))));
    // A server's own goes before.
    let own = slow("rateLimitPerUser", 4, "");
    assert!(matches!(until_limited(&own, &two).await, Some((4, USER, 90..=99))));
    assert_eq!(until_limited(r#""rateLimitPerUser":false"#, &two).await, None);
    let faster = r#""rateLimitPerUser":{"requestsPerSecond":0.02}"#;
    assert!(matches!(until_limited(faster, &two).await, Some((2, USER, 40..=49))));
}

#[tokio::test]
pub(super) async fn a_tool_has_a_limit() {
    let entry = of_tool("plain", &slow("rateLimit", 3, ""));
    assert!(matches!(until_limited(&entry, "").await, Some((3, TOOL, 90..=99))));
    let entry = of_tool("plain", r#""rateLimit":{"requestsPerSecond":0.02,"burst":1}"#);
    assert!(matches!(until_limited(&entry, "").await, Some((1, TOOL, 40..=49))));
    let other = of_tool("read", &slow("rateLimit", 1, ""));
    assert_eq!(until_limited(&other, "").await, None);
}

#[tokio::test]
pub(super) async fn each_user_has_a_limit_at_a_tool() {
    let entry = of_tool("plain", &slow("rateLimitPerUser", 3, ""));
    assert!(matches!(until_limited(&entry, "").await, Some((3, USER, 90..=99))));
    // The user's own limit at the server stays.
    let least = slow("rateLimitPerUser", 2, "");
    assert!(matches!(until_limited(&entry, &least).await, Some((2, USER, 90..=99))));
    let entry = of_tool("plain", r#""rateLimitPerUser":{"requestsPerSecond":0.02,"burst":1}"#);
    assert!(matches!(until_limited(&entry, "").await, Some((1, USER, 40..=49))));
}

#[test]
pub(super) fn only_a_servers_own_limit_is_waited_for() {
    let waits = |key| slow(key, 1, r#","maxWaitMs":5"#);
    for text in [
        at_url("", &waits("rateLimitPerUser")),
        at_url(&waits("rateLimitPerUser"), ""),
        at_url(&of_tool("plain", &waits("rateLimit")), ""),
        at_url(&of_tool("plain", &waits("rateLimitPerUser")), ""),
    ] {
        let errors = read(&text, "http://h").unwrap_err().to_string();
        assert!(errors.contains("only the limit of a whole server is waited for"), "{errors}");
    }
}
