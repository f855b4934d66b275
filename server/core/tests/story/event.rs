//! Events and effects in words.

use crate::settings::{apply, checked, number, size, span};
use sidewinder_core::{
    Adopted, Affinity, AffinityKey, AffinityMode, CallId, CallKey, ClientId, Effect, Event, Jitter,
    KillCause, Life, Notice, OnAbandon, Policy, Priority, Request, SlotId,
};
use std::time::Instant;

pub(crate) fn parse(words: &[&str], now: Instant, policy: &mut Policy) -> Result<Event, String> {
    let (&verb, rest) = words.split_first().ok_or("an event is missing")?;
    let life = || rest.first().ok_or("a life is missing".to_string()).and_then(|text| life(text));
    let call = |at: usize| {
        rest.get(at).ok_or("a call is missing".to_string()).and_then(|text| number(text).map(CallId))
    };
    Ok(match verb {
        "submit" => Event::Submitted(request(rest, now)?),
        "extend" => Event::Extended {
            call: call(0)?,
            deadline: rest.get(1).map(|value| span(value)).transpose()?.map(|span| now + span),
        },
        "abandon" => Event::Abandoned { call: call(0)?, lost: rest.contains(&"lost") },
        "ready" => Event::Ready { life: life()?, jitter: jitter(rest)? },
        "finish" => Event::Finished { life: life()?, call: call(1)? },
        "exit" => Event::Exited { life: life()?, jitter: jitter(rest)? },
        "spawn-failed" => Event::SpawnFailed { life: life()?, jitter: jitter(rest)? },
        "suspect" => Event::Suspected { life: life()? },
        "recover" => Event::Recovered { life: life()? },
        "measure" => {
            Event::Measured { life: life()?, resident: number(rest.get(1).ok_or("bytes are missing")?)? }
        }
        "restart" => {
            Event::RestartRequested { slot: rest.first().map(|text| number(text).map(SlotId)).transpose()? }
        }
        "resize" => {
            for word in rest {
                let (name, value) = word.split_once('=').ok_or("resize name=value")?;
                policy.size = size(policy.size, name, value)?;
            }
            Event::Resized { size: policy.size }
        }
        "reload" => {
            apply(policy, rest)?;
            Event::Reloaded { policy: Box::new(checked(policy)?) }
        }
        "amend" => {
            apply(policy, rest)?;
            Event::Amended { policy: Box::new(checked(policy)?) }
        }
        "drain" => Event::DrainRequested { within: span(rest.first().ok_or("a span is missing")?)? },
        "resume" => Event::ResumeRequested,
        "desert" => {
            let within = rest.first().ok_or("a span is missing")?;
            let within = if *within == "never" { None } else { Some(span(within)?) };
            Event::Deserted { within }
        }
        "attend" => Event::Attended,
        "adopt" => Event::Adopted { lives: rest.iter().map(|text| adopted(text)).collect::<Result<_, _>>()? },
        "resumed" => Event::Resumed { life: life()?, calls: running(&rest[1..], now)?, jitter: Jitter(0) },
        _ => return Err(format!("`{verb}` is no event")),
    })
}

fn life(text: &str) -> Result<Life, String> {
    let (slot, life) = text.split_once('.').ok_or(format!("`{text}` is no life"))?;
    Ok(Life { slot: SlotId(number(slot)?), number: number(life)? })
}

/// `0.3`, or `0.3:old`.
fn adopted(text: &str) -> Result<Adopted, String> {
    let (name, outdated) = text.strip_suffix(":old").map_or((text, false), |name| (name, true));
    Ok(Adopted { life: life(name)?, outdated })
}

/// Calls that run, one behind the other: `call 7 deadline=1s call 8`.
fn running(words: &[&str], now: Instant) -> Result<Vec<Request>, String> {
    words.split(|word| *word == "call").skip(1).map(|call| request(call, now)).collect()
}

fn jitter(words: &[&str]) -> Result<Jitter, String> {
    match words.iter().find_map(|word| word.strip_prefix("jitter=")) {
        None => Ok(Jitter(0)),
        Some("half") => Ok(Jitter(0x8000_8000_8000_8000)),
        Some("max") => Ok(Jitter(u64::MAX)),
        Some(other) => Err(format!("`{other}` is no jitter")),
    }
}

fn request(words: &[&str], now: Instant) -> Result<Request, String> {
    let (call, rest) = words.split_first().ok_or("a call is missing")?;
    let mut request = Request::new(CallId(number(call)?), ClientId(0));
    for word in rest {
        match word.split_once('=') {
            Some(("client", value)) => request.client = ClientId(number(value)?),
            Some(("deadline", value)) => request.deadline = Some(now + span(value)?),
            Some(("key", value)) => request.key = Some(CallKey(number(value)?)),
            Some(("hint", value)) => request.affinity = affinity(value, AffinityMode::Hint)?,
            Some(("strict", value)) => request.affinity = affinity(value, AffinityMode::StrictQueue)?,
            Some(("fail-fast", value)) => request.affinity = affinity(value, AffinityMode::StrictFailFast)?,
            None if *word == "high" => request.priority = Priority::High,
            None if *word == "low" => request.priority = Priority::Low,
            None if *word == "on-abandon-finish" => request.on_abandon = OnAbandon::Finish,
            None if *word == "on-loss-finish" => request.on_abandon = OnAbandon::FinishIfLost,
            Some(_) | None => return Err(format!("`{word}` is no wish of a call")),
        }
    }
    Ok(request)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the field it fills")]
fn wish(key: u64, mode: AffinityMode) -> Option<Affinity> {
    Some(Affinity { key: AffinityKey(key), mode })
}

fn affinity(value: &str, mode: AffinityMode) -> Result<Option<Affinity>, String> {
    Ok(wish(number(value)?, mode))
}

pub(crate) fn words(effect: &Effect) -> String {
    match effect {
        Effect::Spawn { life, generation } => format!("spawn {life} g{}", generation.0),
        Effect::Assign { call, life } => format!("assign {} {life}", call.0),
        Effect::Refuse { call, refusal } => format!("refuse {} {refusal:?}", call.0),
        Effect::Fail { call, failure } => format!("fail {} {failure:?}", call.0),
        Effect::Answer { call } => format!("answer {}", call.0),
        Effect::Forget { call } => format!("forget {}", call.0),
        Effect::Interrupt { life, call } => format!("interrupt {} {life}", call.0),
        Effect::Stop { life, why } => format!("stop {life} {why:?}"),
        Effect::Kill { life, why: KillCause::Overdue { call } } => format!("kill {life} Overdue {}", call.0),
        Effect::Kill { life, why } => format!("kill {life} {why:?}"),
        Effect::Report(Notice::SlotFatal { slot }) => format!("report SlotFatal {}", slot.0),
        Effect::Report(Notice::GenerationFatal { generation }) => {
            format!("report GenerationFatal g{}", generation.0)
        }
        Effect::Report(Notice::Unkillable { life }) => format!("report Unkillable {life}"),
        Effect::Report(Notice::Quarantined { key }) => format!("report Quarantined {}", key.0),
        Effect::Report(Notice::Saturated) => "report Saturated".to_string(),
        Effect::Report(Notice::Recovered) => "report Recovered".to_string(),
        Effect::Report(Notice::Renewed { generation }) => format!("report Renewed g{}", generation.0),
        Effect::Halt => "halt".to_string(),
    }
}
