//! Colour, on a terminal and nowhere else; and tables that a screen reader can follow too.

use std::io::{self, IsTerminal, Write};

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

/// For standard output.
pub(super) fn stdout() -> Paint {
    Paint {
        on: io::stdout().is_terminal() && wanted(),
    }
}

/// For standard error.
pub(super) fn stderr() -> Paint {
    Paint {
        on: io::stderr().is_terminal() && wanted(),
    }
}

/// <https://no-color.org>
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Overwrites the last line of standard error, if somebody watches it.
pub(super) fn progress(words: &str) {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        // Nobody needs it.
        write!(out, "\r{words}\x1b[K\r").ok();
    }
}

impl Paint {
    pub(super) fn is_on(self) -> bool {
        self.on
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Writes rows under a header, each column as wide as its widest cell.
///
/// # Errors
/// What the writer says.
pub(super) fn table(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Text of strangers, safe on a terminal: control characters become `�`, so that nothing can
/// move the cursor or forge a line.
pub(super) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
