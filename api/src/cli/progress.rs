//! Progress of long work, on stderr, only where a person watches.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes with findings so far; nothing at all when stderr is no terminal.
pub(crate) fn bar(bytes: u64, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = if bytes == 0 {
        // stdin: the end is unknown.
        ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec} {msg}")
    } else {
        ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}",
        )
    };
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
