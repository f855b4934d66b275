//! The log: every line that `tracing` lets through is remembered in a ring, shown to who follows, and written to
//! standard error.
//!
//! ```text
//!   tracing ─▶ filter ─▶ Line ─┬▶ ring ─▶ Pools.Logs
//!                              └▶ writer's queue ─▶ a thread ─▶ standard error, or the journal behind it
//! ```
//!
//! Nothing here waits for a reader.

mod journal;
mod line;
mod ring;
mod writer;

use crate::telemetry::{LogFormat, Telemetry};
use journal::Journal;
pub(crate) use line::{At, Line};
use ring::Ring;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use writer::Writer;

/// The last lines of a daemon that ends are waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The log of this daemon.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    ring: Arc<Ring>,
    writer: Writer,
    look: Look,
}

#[derive(Clone, Copy, Debug)]
enum Look {
    Json,
    Human { coloured: bool },
    Entries,
}

impl Look {
    /// How lines look, and where they go.
    fn of(format: LogFormat) -> (Self, Box<dyn Write + Send>) {
        if let (LogFormat::Auto, Some(journal)) = (format, Journal::find()) {
            return (Self::Entries, Box::new(journal));
        }
        (Self::of_text(format), Box::new(io::stderr()))
    }

    fn of_text(format: LogFormat) -> Self {
        let terminal = io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !terminal => Self::Json,
            LogFormat::Auto | LogFormat::Human => Self::Human { coloured: terminal && !plain },
        }
    }

    fn show(self, line: &Line) -> Vec<u8> {
        match self {
            Self::Json => (line.json() + "\n").into_bytes(),
            Self::Human { coloured } => (line.human(coloured) + "\n").into_bytes(),
            Self::Entries => journal::entry(line),
        }
    }
}

impl Log {
    /// From here on everything that is told with `tracing` goes to the log.
    pub(crate) fn begin(settings: &Telemetry) -> Result<Self, String> {
        let filter = filter(&settings.log)?;
        let (look, to) = Look::of(settings.log_format);
        let lost = move |count| {
            let text =
                format!("{count} lines of the log were dropped here: they came faster than they were read");
            look.show(&Line::note(Level::WARN, text))
        };
        let writer = Writer::start(to, lost).map_err(|error| format!("cannot log: {error}"))?;
        let log = Self { ring: Arc::default(), writer, look };
        let layers = tracing_subscriber::registry().with(log.clone().with_filter(filter));
        layers.try_init().map_err(|error| format!("cannot log: {error}"))?;
        Ok(log)
    }

    /// What is remembered, oldest first, and a way to everything that comes after it.
    pub(crate) fn follow(&self) -> (Vec<Arc<Line>>, Receiver<Arc<Line>>) {
        self.ring.follow()
    }

    /// Lines that nobody read in time.
    pub(crate) fn lost(&self) -> u64 {
        self.writer.lost()
    }

    /// Lets the last lines out.
    pub(crate) fn end(&self) {
        self.writer.finish(LAST_WORDS);
    }
}

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::new(*event.metadata().level());
        event.record(&mut line);
        let line = self.ring.push(line);
        self.writer.write(&self.look.show(&line));
    }
}

/// A level holds for Sidewinder itself, and libraries are heard when they warn; targets can be named as well.
pub(crate) fn filter(wish: &str) -> Result<Targets, String> {
    let bad = |error: &dyn std::fmt::Display| {
        format!(
            "`{wish}` does not say what to log ({error}): name a level, or target=level with commas between"
        )
    };
    if wish.contains(['=', ',']) {
        return wish.parse().map_err(|error: tracing_subscriber::filter::ParseError| bad(&error));
    }
    if wish.is_empty() {
        return Err(bad(&"it is empty"));
    }
    let level: LevelFilter = wish.parse().map_err(|error| bad(&error))?;
    Ok(Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("sidewinder", level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_sidewinder_and_libraries_only_warn() {
        let filter = filter("debug").expect("a level");
        assert!(filter.would_enable("sidewinder::pool", &Level::DEBUG));
        assert!(filter.would_enable("sidewinder_edge::server", &Level::DEBUG));
        assert!(!filter.would_enable("h2::frame", &Level::INFO));
        assert!(filter.would_enable("h2::frame", &Level::WARN));
        let off = super::filter("off").expect("a level");
        assert!(!off.would_enable("h2::frame", &Level::ERROR));
    }

    #[test]
    fn targets_can_be_named_and_nonsense_is_refused() {
        let filter = filter("warn,h2=trace").expect("targets");
        assert!(filter.would_enable("h2::frame", &Level::TRACE));
        assert!(!filter.would_enable("sidewinder", &Level::INFO));
        for wrong in ["", "loud", "h2=loud"] {
            let error = super::filter(wrong).expect_err("nonsense");
            assert!(error.contains("name a level"), "{error}");
        }
    }
}
