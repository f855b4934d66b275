//! What is known of the end of a life.

use sidewinder_keeper_wire::Ending;

/// What is known of an ending.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords {
    pub(crate) ending: Option<Ending>,
    pub(crate) oom: bool,
    /// What the worker did wrong, when that was why.
    pub(crate) fault: Option<String>,
    /// Why its tools could not be served: message and traceback.
    pub(crate) unfit: Option<(String, String)>,
    /// It could be given calls.
    pub(crate) was_ready: bool,
    /// The last lines of standard error.
    pub(crate) stderr: Vec<String>,
}

impl LastWords {
    /// Why this life never came up, if it never did: what it said itself, or else what is known of its end.
    pub(crate) fn why_unfit(&self) -> Option<(String, String)> {
        if self.was_ready || self.unfit.is_some() {
            return self.unfit.clone();
        }
        let ended = match (&self.fault, self.ending) {
            (Some(fault), _) => format!("it was ended: {fault}"),
            // It was asked to leave while it started.
            (None, Some(Ending::Code(0))) => return None,
            (None, Some(Ending::Code(code))) => format!("it exited with status {code} before it was ready"),
            (None, Some(Ending::Signal(signal))) => format!("signal {signal} ended it before it was ready"),
            (None, None) => "it was gone before it was ready".to_owned(),
        };
        Some((ended, self.stderr.join("\n")))
    }
}
