//! What the demonstration prints: one line per happening, with the time since its start.

use std::io::{self, Write};
use std::time::Instant;

/// Prints lines to standard output.
pub(super) struct Narration {
    start: Instant,
}

impl Narration {
    /// Begins with a title; time counts from here.
    pub(super) fn start() -> Self {
        let narration = Self { start: Instant::now() };
        // A closed standard output shows itself at the first line that can report it.
        let _ = narration
            .plain("Undertone: two people join a gateway and place one encrypted, verified call, on this machine\n");
        narration
    }

    /// A happening.
    pub(super) fn say(&self, what: &str) -> io::Result<()> {
        self.plain(&format!("[{:4.1} s] {what}", self.start.elapsed().as_secs_f32()))
    }

    /// A line without a time.
    pub(super) fn plain(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}
