//! The one place that writes to stdout: data as a table, JSON or ndjson.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde_json::Value;

use super::{Format, exit::Failure};
use crate::terminal::printable_json;

pub(crate) use crate::terminal::printable;

/// Data for people or programs. Written with a buffer: [`Output::flush`] at the end, and after each
/// line of a live stream.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    format: Option<Format>,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(format: Option<Format>, quiet: bool) -> Self {
        Output { stdout: BufWriter::new(io::stdout()), format, quiet }
    }

    /// What was asked for, else a table on a terminal and ndjson into a pipe.
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or(if io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Ndjson
        })
    }

    /// Whether anything but errors should stay away from stderr.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// One JSON value a line.
    pub(crate) fn json_line(&mut self, value: &Value) -> Result<(), Failure> {
        writeln!(self.stdout, "{}", printable_json(&value.to_string())).map_err(Failure::Write)
    }

    /// The text of a JSON value, a line.
    pub(crate) fn json_text(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.stdout, "{}", printable_json(text)).map_err(Failure::Write)
    }

    /// One JSON document.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        writeln!(self.stdout, "{}", printable_json(&format!("{value:#}"))).map_err(Failure::Write)
    }

    /// A line of text; control characters of events are escaped.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.stdout, "{}", printable(text)).map_err(Failure::Write)
    }

    /// Text of ours as it is, line breaks included.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes()).map_err(Failure::Write)
    }

    /// Columns padded to their widest cell; the last is not padded.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let last = widths.len().saturating_sub(1);
        let mut print = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (i, cell) in cells.enumerate() {
                line.push_str(cell);
                if i < last {
                    line.extend(std::iter::repeat_n(' ', widths[i] + 2 - cell.chars().count()));
                }
            }
            self.line(line.trim_end())
        };
        print(&mut header.iter().copied())?;
        rows.iter().try_for_each(|row| print(&mut row.iter().map(String::as_str)))
    }

    /// Writes everything buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(Failure::Write)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdout.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}
