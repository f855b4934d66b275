//! What goes to standard output: in colour where a person looks (a terminal, unless `NO_COLOR` is set), and without
//! a fuss when nobody reads it to its end.

use std::io::{self, IsTerminal, Write};

/// Shows a text. A reader that has seen enough, such as `head`, is no error.
pub(super) fn show(text: &str) -> io::Result<()> {
    show_more(text).map(drop)
}

/// The same for what may be no text.
pub(super) fn show_bytes(bytes: &[u8]) -> io::Result<()> {
    offer(bytes).map(drop)
}

/// Shows a text, and tells whether anybody wants to see more.
pub(super) fn show_more(text: &str) -> io::Result<bool> {
    offer(text.as_bytes())
}

fn offer(bytes: &[u8]) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Whether to colour what goes to standard output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    coloured: bool,
}

impl Style {
    pub(super) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { coloured: wanted && io::stdout().is_terminal() }
    }

    pub(super) fn is_coloured(self) -> bool {
        self.coloured
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
