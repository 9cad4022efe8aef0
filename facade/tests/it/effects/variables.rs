//! Variables in strings reach what the strings are for.

use std::time::Duration;

use super::{one, started};

#[tokio::test]
async fn every_form_of_a_variable_is_replaced() {
    for (written, expected) in [
        ("${NINE}", "nine"),
        ("${env:NINE}", "nine"),
        ("${NINE:-ten}", "nine"),
        ("${TEN:-ten}", "ten"),
        ("${env:TEN:-ten}", "ten"),
        ("a-${NINE}-${TEN:-ten}", "a-nine-ten"),
        ("$NINE", "$NINE"),
    ] {
        let orchestrator = started(&one(&format!(r#""capabilities":["{written}"]"#), ""), "").await;
        assert_eq!(orchestrator.servers()[0].capabilities, [expected], "{written}");
        orchestrator.shutdown(Duration::from_secs(5)).await;
    }
}
