//! What each result means, and what each outcome says of a server.

use std::time::Duration;

use toolweir_core::{Answer, Error, Kind, Outcome, RawJson, Reply, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn check(result: &Result<Reply, Error>, outcome: Outcome, verdict: Verdict, label: &str) {
    let found = Outcome::of(result);
    assert_eq!(found, outcome, "{result:?}");
    assert_eq!(found.verdict(), verdict, "{found:?}");
    assert_eq!(found.label(), label, "{found:?}");
    assert_eq!(found.is_ok(), label == "ok", "{found:?}");
}

#[test]
fn a_reply_shows_that_the_server_is_well() {
    let reply = Reply::new(RawJson::EMPTY_OBJECT);
    let mut failed = reply.clone();
    failed.is_error = true;
    let mut unfinished = reply.clone();
    unfinished.input_required = true;
    check(&Ok(reply), Outcome::OK, Verdict::Success, "ok");
    check(&Ok(unfinished), Outcome::OK, Verdict::Success, "ok");
    check(&Ok(failed), Outcome::Answered(Answer::ToolError), Verdict::Success, "tool_error");
}

#[test]
fn an_error_means_what_its_kind_and_its_delivery_say() {
    use Outcome::{Ambiguous, Answered, NotSent, Throttled};
    let open = Kind::CircuitOpen { retry_after: SECOND };
    let limited = Kind::RateLimited { retry_after: SECOND };
    let (failure, neutral, success) = (Verdict::Failure, Verdict::Neutral, Verdict::Success);
    let pause = Some(SECOND);
    for (error, outcome, verdict) in [
        // our own refusals say nothing of the server
        (Error::new(open), NotSent(open), neutral),
        (Error::new(limited), NotSent(limited), neutral),
        (Error::new(Kind::Overloaded), NotSent(Kind::Overloaded), neutral),
        (Error::new(Kind::NoServer), NotSent(Kind::NoServer), neutral),
        (Error::new(Kind::NotFound), NotSent(Kind::NotFound), neutral),
        (Error::new(Kind::InvalidRequest), NotSent(Kind::InvalidRequest), neutral),
        (Error::new(Kind::TooLarge), NotSent(Kind::TooLarge), neutral),
        (Error::new(Kind::Closed), NotSent(Kind::Closed), neutral),
        (Error::new(Kind::Closed).ambiguous(), Ambiguous(Kind::Closed), neutral),
        // what the transport says does
        (Error::new(Kind::Unreachable), NotSent(Kind::Unreachable), failure),
        (Error::new(Kind::Timeout).unsent(), NotSent(Kind::Timeout), failure),
        (Error::new(Kind::Disconnected), Ambiguous(Kind::Disconnected), failure),
        (Error::new(Kind::Timeout), Ambiguous(Kind::Timeout), failure),
        (Error::new(Kind::InvalidReply), Ambiguous(Kind::InvalidReply), failure),
        (Error::new(Kind::TooLarge).ambiguous(), Ambiguous(Kind::TooLarge), failure),
        // an answer is an answer, whatever it says, unless it says that the server is broken
        (Error::new(Kind::Protocol { code: -32602 }), Answered(Answer::Protocol(-32602)), success),
        (Error::new(Kind::Protocol { code: -32603 }), Answered(Answer::Protocol(-32603)), failure),
        (Error::new(Kind::Protocol { code: 7 }).unsent(), Answered(Answer::Protocol(7)), success),
        // what guards the server was heard, not the server
        (Error::new(Kind::Status { status: 401 }), Answered(Answer::Status(401)), neutral),
        (Error::new(Kind::Status { status: 403 }), Answered(Answer::Status(403)), neutral),
        (Error::new(Kind::Status { status: 407 }), Answered(Answer::Status(407)), neutral),
        (Error::new(Kind::Status { status: 404 }), Answered(Answer::Status(404)), success),
        (Error::new(Kind::Status { status: 499 }), Answered(Answer::Status(499)), success),
        (Error::new(Kind::Status { status: 500 }), Answered(Answer::Status(500)), failure),
        (Error::new(Kind::Status { status: 599 }), Answered(Answer::Status(599)), failure),
        // a pause is no failure, and neither is a caller who leaves
        (
            Error::new(Kind::Throttled { retry_after: pause }),
            Throttled { retry_after: pause },
            neutral,
        ),
        (
            Error::new(Kind::Throttled { retry_after: None }),
            Throttled { retry_after: None },
            neutral,
        ),
        (Error::new(Kind::Cancelled), Outcome::Abandoned, neutral),
        (Error::new(Kind::Cancelled).unsent(), Outcome::Abandoned, neutral),
    ] {
        let label = match outcome {
            Outcome::Abandoned => "abandoned",
            _ => error.kind().name(),
        };
        check(&Err(error), outcome, verdict, label);
    }
}
