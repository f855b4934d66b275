//! Reads one story and plays it.

use crate::event::{parse, words};
use crate::settings::{apply, checked, plain, span};
use sidewinder_core::{Effect, Policy, Pool};
use std::path::Path;
use std::time::{Duration, Instant};

struct Stage {
    begin: Instant,
    at: Duration,
    policy: Policy,
    pool: Option<Pool>,
    /// What the last event decided and no line has told yet.
    untold: Vec<String>,
    told_from: usize,
}

/// Plays the story in this file; the error names file and line.
pub(crate) fn tell(file: &Path) -> Result<(), String> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let mut stage = Stage {
        begin: Instant::now(),
        at: Duration::ZERO,
        policy: plain(),
        pool: None,
        untold: Vec::new(),
        told_from: 0,
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            stage.line(index + 1, line).map_err(|problem| format!("{name}:{}: {problem}", index + 1))?;
        }
    }
    stage.all_told().map_err(|problem| format!("{name}:{}: {problem}", stage.told_from))
}

impl Stage {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let (said, effects) =
            line.split_once("->").map_or((line, None), |(said, effects)| (said, Some(effects)));
        let words: Vec<&str> = said.split_whitespace().collect();
        match words.split_first() {
            None => {}
            Some((&"policy", settings)) => apply(&mut self.policy, settings)?,
            Some((&"see", wanted)) => self.see(wanted)?,
            Some((&"next", wanted)) => self.next(wanted)?,
            Some((time, event)) => {
                self.all_told().map_err(|problem| format!("line {}: {problem}", self.told_from))?;
                self.told_from = number;
                self.pass_until(span(time)?)?;
                self.event(event)?;
            }
        }
        effects.map_or(Ok(()), |effects| self.expect(effects))
    }

    fn now(&self) -> Instant {
        self.begin + self.at
    }

    fn all_told(&self) -> Result<(), String> {
        if self.untold.is_empty() { Ok(()) } else { Err(format!("also decided: {}", self.untold.join(", "))) }
    }

    fn expect(&mut self, effects: &str) -> Result<(), String> {
        for wanted in effects.split(',').map(str::trim).filter(|wanted| !wanted.is_empty()) {
            let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
            if self.untold.first() != Some(&wanted) {
                return Err(format!("told `{wanted}`, decided `{}`", self.untold.join(", ")));
            }
            self.untold.remove(0);
        }
        Ok(())
    }

    /// Keeps every deadline on the way, none of which may decide anything.
    fn pass_until(&mut self, until: Duration) -> Result<(), String> {
        if until < self.at {
            return Err("time runs backwards".to_string());
        }
        let (begin, end) = (self.begin, self.begin + until);
        if let Some(pool) = &mut self.pool {
            for _ in 0..10_000 {
                let Some(due) = pool.next_deadline().filter(|&due| due < end) else { break };
                let mut effects = Vec::new();
                pool.handle_timeout(due, &mut effects);
                if !effects.is_empty() {
                    let decided: Vec<String> = effects.iter().map(words).collect();
                    return Err(format!("untold, at {:?}: {}", due - begin, decided.join(", ")));
                }
            }
            if pool.next_deadline().is_some_and(|due| due < end) {
                return Err("a deadline comes again and again".to_string());
            }
        }
        self.at = until;
        Ok(())
    }

    fn event(&mut self, event: &[&str]) -> Result<(), String> {
        let now = self.now();
        let mut effects: Vec<Effect> = Vec::new();
        if event == ["start"] || event.first() == Some(&"adopt") {
            self.pool = Some(Pool::new(now, checked(&self.policy)?));
        }
        let pool = self.pool.as_mut().ok_or("the story has not started")?;
        if event == ["start"] || event == ["wait"] {
            pool.handle_timeout(now, &mut effects);
        } else {
            let event = parse(event, now, &mut self.policy)?;
            pool.handle(now, event, &mut effects);
        }
        self.untold = effects.iter().map(words).collect();
        Ok(())
    }

    fn next(&self, wanted: &[&str]) -> Result<(), String> {
        let pool = self.pool.as_ref().ok_or("the story has not started")?;
        let next = pool.next_deadline().map(|due| due - self.begin);
        let wanted = match wanted {
            ["never"] => None,
            [time] => Some(span(time)?),
            _ => return Err("next TIME".to_string()),
        };
        if next == wanted { Ok(()) } else { Err(format!("the next deadline is {next:?}")) }
    }

    fn see(&self, wanted: &[&str]) -> Result<(), String> {
        let snapshot = self.pool.as_ref().ok_or("the story has not started")?.snapshot();
        for word in wanted {
            let (name, value) = word.split_once('=').ok_or("see name=value")?;
            let seen = match name {
                "phase" => format!("{:?}", snapshot.phase),
                "waiting" => snapshot.waiting.to_string(),
                "running" => snapshot.running.to_string(),
                "processes" => snapshot.processes.to_string(),
                "bound" => snapshot.bound_keys.to_string(),
                "struck" => snapshot.struck_keys.to_string(),
                "generation" => snapshot.generation.0.to_string(),
                slot => {
                    let view = snapshot.slots.iter().find(|view| view.slot.0.to_string() == slot);
                    view.map_or("-".to_string(), |view| {
                        let marks = [
                            view.leaving.map(|why| format!("/{why:?}")),
                            (view.leaving.is_some() && view.open).then(|| "/open".to_string()),
                            view.suspect_since.map(|_| "/suspect".to_string()),
                            view.unkillable.then(|| "/unkillable".to_string()),
                        ];
                        format!("{}{}", view.state, marks.into_iter().flatten().collect::<String>())
                    })
                }
            };
            if seen != value {
                return Err(format!("{name} is {seen}, not {value}"));
            }
        }
        Ok(())
    }
}
