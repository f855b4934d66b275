//! The table, row by row, against what the contract says about each reason.

use super::*;
use tonic::metadata::MetadataMap;

const CONTRACT: &str = include_str!("../../../../proto/sidewinder/v1/errors.proto");

fn died(death: Death) -> Outcome {
    Outcome::Failed(Failure::WorkerDied(death))
}

fn raised(cancelled: bool) -> Outcome {
    Outcome::Raised(Raised { exception: "ValueError".to_owned(), cancelled, ..Raised::default() })
}

fn bad(invalid: Invalid) -> Outcome {
    Outcome::Invalid(invalid)
}

fn rejected_for(reason: Rejection) -> Outcome {
    Outcome::Rejected { reason, message: "no".to_owned() }
}

/// One outcome for each row, in the order of the contract, and how soon to try again in milliseconds.
fn rows() -> Vec<(Outcome, Reason, Code, &'static str, Option<u64>)> {
    use Code as C;
    use Reason as R;
    let text = String::new;
    let refusal = Outcome::Refused;
    let oom = Death { out_of_memory: true, ..Death::default() };
    vec![
        (refusal(Refusal::QueueFull), R::QueueFull, C::ResourceExhausted, "no", Some(100)),
        (refusal(Refusal::ClientLimit), R::ClientLimit, C::ResourceExhausted, "no", Some(100)),
        (refusal(Refusal::Draining), R::Draining, C::Unavailable, "no", Some(1_000)),
        (refusal(Refusal::DeadlinePassed), R::DeadlinePassed, C::DeadlineExceeded, "no", None),
        (refusal(Refusal::AffinityBusy), R::AffinityBusy, C::ResourceExhausted, "no", Some(100)),
        (refusal(Refusal::AffinityLost), R::AffinityLost, C::Aborted, "no", Some(0)),
        (refusal(Refusal::Quarantined), R::Quarantined, C::FailedPrecondition, "no", None),
        (refusal(Refusal::Fatal), R::Fatal, C::FailedPrecondition, "no", None),
        (Outcome::Unfit(Unfit::default()), R::Unfit, C::FailedPrecondition, "no", None),
        (refusal(Refusal::Stopping), R::Stopping, C::Unavailable, "no", Some(1_000)),
        (refusal(Refusal::LeaseExpired), R::LeaseExpired, C::FailedPrecondition, "no", None),
        (Outcome::Failed(Failure::LeaseEnded), R::LeaseExpired, C::Aborted, "maybe", None),
        (refusal(Refusal::StaleEpoch), R::StaleEpoch, C::FailedPrecondition, "no", None),
        (refusal(Refusal::LeaseRequired), R::LeaseRequired, C::FailedPrecondition, "no", None),
        (refusal(Refusal::KeyRunning), R::KeyRunning, C::Aborted, "no", Some(1_000)),
        (refusal(Refusal::TooManyClients), R::TooManyClients, C::ResourceExhausted, "no", Some(1_000)),
        (refusal(Refusal::TooManyLeases), R::TooManyLeases, C::ResourceExhausted, "no", Some(1_000)),
        (refusal(Refusal::OtherMode), R::OtherMode, C::FailedPrecondition, "no", None),
        (bad(Invalid::UnknownKey), R::UnknownKey, C::NotFound, "no", None),
        (died(Death::default()), R::WorkerDied, C::Internal, "maybe", None),
        (died(oom), R::OutOfMemory, C::ResourceExhausted, "maybe", None),
        (
            Outcome::Failed(Failure::DeadlineExceeded { traceback: text() }),
            R::DeadlineExceeded,
            C::DeadlineExceeded,
            "maybe",
            None,
        ),
        (Outcome::Failed(Failure::SiblingOverdue), R::SiblingOverdue, C::Aborted, "maybe", None),
        (Outcome::Failed(Failure::Drained), R::Drained, C::Aborted, "maybe", None),
        (Outcome::Failed(Failure::Stopped), R::Stopping, C::Aborted, "maybe", None),
        (Outcome::Failed(Failure::Broken { what: text() }), R::Broken, C::Internal, "maybe", None),
        (rejected_for(Rejection::UnknownTool), R::UnknownTool, C::NotFound, "no", None),
        (rejected_for(Rejection::BadArguments), R::BadArguments, C::InvalidArgument, "no", None),
        (rejected_for(Rejection::BadPayload), R::BadPayload, C::InvalidArgument, "no", None),
        (rejected_for(Rejection::BadContentType), R::BadContentType, C::InvalidArgument, "no", None),
        (rejected_for(Rejection::NotAStream), R::NotAStream, C::InvalidArgument, "no", None),
        (rejected_for(Rejection::Busy), R::Busy, C::Unavailable, "no", Some(100)),
        (raised(false), R::Raised, C::Unknown, "maybe", None),
        (raised(true), R::Cancelled, C::Cancelled, "maybe", None),
        (bad(Invalid::UnknownPool { message: text() }), R::UnknownPool, C::NotFound, "no", None),
        (bad(Invalid::UnknownWorker { message: text() }), R::UnknownWorker, C::NotFound, "no", None),
        (
            bad(Invalid::BadField { field: "call.tool".to_owned(), problem: "is empty".to_owned() }),
            R::BadRequest,
            C::InvalidArgument,
            "no",
            None,
        ),
        (bad(Invalid::BadTimeout { value: text() }), R::BadTimeout, C::InvalidArgument, "no", None),
        (bad(Invalid::TooLarge { size: 2, limit: 1 }), R::TooLarge, C::ResourceExhausted, "maybe", None),
        (bad(Invalid::Stalled), R::Stalled, C::Aborted, "maybe", None),
        (bad(Invalid::UnknownMethod { path: text() }), R::UnknownMethod, C::Unimplemented, "no", None),
        (bad(Invalid::NotJson { problem: text() }), R::NotJson, C::FailedPrecondition, "maybe", None),
        (bad(Invalid::CannotUpgrade { why: text() }), R::CannotUpgrade, C::FailedPrecondition, "no", None),
        (bad(Invalid::BadSettings { problems: text() }), R::BadSettings, C::FailedPrecondition, "no", None),
    ]
}

#[test]
fn every_outcome_has_its_code_its_reason_and_its_retry() {
    for (outcome, reason, code, ran, retry) in rows() {
        let status = of(&outcome);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(status.code(), code, "{outcome:?}");
        assert_eq!(info.reason, reason.as_str_name(), "{outcome:?}");
        assert_eq!(info.domain, "sidewinder");
        assert_eq!(info.metadata["ran"], ran, "{outcome:?}");
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        assert_eq!(delay, retry.map(Duration::from_millis), "{outcome:?}");
    }
}

#[test]
fn every_reason_is_given_by_some_outcome_as_the_contract_says() {
    let rows = rows();
    for number in 1..128 {
        let Ok(reason) = Reason::try_from(number) else { continue };
        let name = reason.as_str_name();
        let given: Vec<_> = rows.iter().filter(|row| row.1 == reason).collect();
        assert!(!given.is_empty(), "no outcome gives {name}");
        let comment = comment_on(&format!("{name} = {number};"));
        for (outcome, _, code, ran, _) in given {
            let says = format!("{}, ran={ran}:", shouted(*code));
            assert!(comment.contains(&says), "{outcome:?}: the contract says of {name}: {comment}");
        }
    }
}

fn comment_on(definition: &str) -> &'static str {
    let before = CONTRACT.split(definition).next().unwrap();
    before.trim_end().lines().next_back().unwrap()
}

/// `ResourceExhausted` as `RESOURCE_EXHAUSTED`.
fn shouted(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn what_programs_retry_on_their_own_never_began() {
    for (outcome, _, code, ran, retry) in rows() {
        if code == Code::Unavailable || retry.is_some() {
            assert_eq!(ran, "no", "{outcome:?}");
        }
    }
}

#[test]
fn a_death_tells_how_and_what_was_said_last() {
    let death = Death {
        signal: Some(11),
        last_lines: vec!["one".to_owned(), "two".to_owned()],
        traceback: "File a\nFile b\n".to_owned(),
        ..Death::default()
    };
    let whose = Whose { pool: "gpu".to_owned(), tool: "train".to_owned(), worker: "3.7".to_owned() };
    let status = status(&died(death), &whose);
    assert_eq!(status.message(), "the worker died under the call: ended by signal 11");
    let details = status.get_error_details();
    let facts = &details.error_info().unwrap().metadata;
    let known = ["pool", "tool", "worker", "signal"].map(|name| facts[name].as_str());
    assert_eq!(known, ["gpu", "train", "3.7", "11"]);
    let debug = details.debug_info().unwrap();
    assert_eq!(debug.stack_entries, ["File a", "File b"]);
    assert_eq!(debug.detail, "one\ntwo");
}

#[test]
fn a_wrong_field_is_named_twice() {
    let problem = "is empty".to_owned();
    let status = of(&bad(Invalid::BadField { field: "call.tool".to_owned(), problem }));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["field"], "call.tool");
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "call.tool");
}

#[test]
fn the_end_of_a_traceback_is_kept_and_the_beginning_of_a_message() {
    let lines: Vec<String> = (0..1_000).map(|number| format!("  File \"tool.py\", line {number}")).collect();
    let raised = Raised {
        exception: "ValueError".to_owned(),
        message: "too long ".repeat(1_000),
        traceback: lines.join("\n"),
        notes: vec!["note".to_owned()],
        cancelled: false,
    };
    let status = of(&Outcome::Raised(raised));
    assert!(status.message().starts_with("ValueError: too long"));
    let debug = status.get_error_details().debug_info().unwrap().clone();
    assert_eq!(debug.stack_entries.last(), lines.last());
    assert!(debug.stack_entries[0].starts_with('…'));
    assert!(debug.stack_entries.len() > 50);
    assert_eq!(debug.detail, "note");
}

/// With room for the ordinary headers, which together are below half a KiB.
#[test]
fn the_worst_status_fits_into_eight_kibibytes_of_trailers() {
    let long = "ж".repeat(100_000);
    let whose = Whose { pool: long.clone(), tool: long.clone(), worker: long.clone() };
    let lines = vec![long.clone(); 100];
    let worst = [
        died(Death {
            exit_status: Some(i32::MIN),
            signal: Some(i32::MIN),
            out_of_memory: false,
            last_lines: lines.clone(),
            traceback: lines.join("\n"),
        }),
        Outcome::Raised(Raised {
            exception: long.clone(),
            message: long.clone(),
            traceback: "x\n".repeat(10_000),
            notes: lines,
            cancelled: false,
        }),
        Outcome::Rejected { reason: Rejection::BadArguments, message: long.clone() },
        bad(Invalid::BadField { field: long.clone(), problem: long }),
    ];
    for outcome in worst {
        let status = status(&outcome, &whose);
        let size = size_in_trailers(status);
        assert!(size <= 8_192 - 512, "{size} bytes");
    }
}

/// As HTTP/2 counts a header list: name, value and 32 bytes each.
fn size_in_trailers(status: Status) -> usize {
    let response: http::Response<()> = status.into_http();
    let metadata = MetadataMap::from_headers(response.headers().clone());
    metadata.into_headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}
