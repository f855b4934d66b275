//! `name=value` pairs on a policy.

use sidewinder_core::{Checked, Policy, Size};
use std::time::Duration;

pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| format!("`{text}` is no span of time"))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "" if number == 0 => Ok(Duration::ZERO),
        unit => Err(format!("`{unit}` is no unit of time")),
    }
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

/// What a story begins with: one worker, no headroom, no chance.
pub(crate) fn plain() -> Policy {
    let mut policy = Policy { size: Size::new(1, 1, 0, 0).expect("one worker"), ..Policy::default() };
    policy.restart.jitter_percent = 0;
    policy.recycle.spread_percent = 0;
    policy
}

pub(crate) fn apply(policy: &mut Policy, words: &[&str]) -> Result<(), String> {
    for word in words {
        let (name, value) = word.split_once('=').ok_or(format!("`{word}` is no name=value"))?;
        set(policy, name, value)?;
    }
    Ok(())
}

pub(crate) fn checked(policy: &Policy) -> Result<Checked, String> {
    policy.clone().check().map_err(|flaws| format!("a flawed policy: {flaws:?}"))
}

pub(crate) fn size(old: Size, name: &str, value: &str) -> Result<Size, String> {
    let size = match name {
        "workers" => {
            let (min, max) = value.split_once("..").ok_or("workers=min..max")?;
            Size::new(number(min)?, number(max)?, old.spare(), old.headroom())
        }
        "spare" => Size::new(old.min(), old.max(), number(value)?, old.headroom()),
        "headroom" => Size::new(old.min(), old.max(), old.spare(), number(value)?),
        _ => return Err(format!("`{name}` is no setting of the size")),
    };
    size.ok_or(format!("no such size: {name}={value}"))
}

fn set(policy: &mut Policy, name: &str, value: &str) -> Result<(), String> {
    match name {
        "workers" | "spare" | "headroom" => policy.size = size(policy.size, name, value)?,
        "warm" => policy.warm = number(value)?,
        "seats" => policy.seats = number(value)?,
        "waiting" => policy.line.waiting_max = number(value)?,
        "client-waiting" => policy.line.client_waiting_max = Some(number(value)?),
        "client-running" => policy.line.client_running_max = Some(number(value)?),
        "keys" => policy.line.affinity_keys_max = number(value)?,
        "start-timeout" => policy.restart.start_timeout = span(value)?,
        "delay-max" => policy.restart.delay_max = span(value)?,
        "deaths" => policy.restart.deaths_max = number(value)?,
        "early" => policy.restart.early = span(value)?,
        "jitter" => policy.restart.jitter_percent = number(value)?,
        "calls" => policy.recycle.calls = Some(number(value)?),
        "age" => policy.recycle.age = Some(span(value)?),
        "idle" => policy.recycle.idle = Some(span(value)?),
        "resident" => policy.recycle.resident = Some(number(value)?),
        "scale-down" => policy.recycle.scale_down = span(value)?,
        "spread" => policy.recycle.spread_percent = number(value)?,
        "interrupt" => policy.grace.interrupt = span(value)?,
        "sibling" => policy.grace.sibling = span(value)?,
        "stop" => policy.grace.stop = span(value)?,
        "kill" => policy.grace.kill = span(value)?,
        "suspect" => policy.grace.suspect = span(value)?,
        "quarantine" => policy.poison.quarantine = span(value)?,
        "struck-keys" => policy.poison.keys_max = number(value)?,
        _ => return Err(format!("`{name}` is no setting")),
    }
    Ok(())
}
