//! A text shown as QR code on standard output, if there is room for it.

use std::io::Write;

use super::say;
use crate::ui::qr::Qr;
use crate::ui::terminal::columns;

/// Draws the code, or says why not.
pub(super) fn draw(text: &str) {
    let Some(qr) = Qr::new(text) else {
        say("This is too long for a QR code: pass the text on instead.");
        return;
    };
    let needed = qr.columns();
    let terminal = columns();
    if terminal.is_some_and(|columns| columns < needed) {
        say(&format!("The QR code needs a terminal of {needed} columns: make this one wider to see it."));
        return;
    }
    // A reader that has gone is no failure.
    let _ = std::io::stdout().lock().write_all(qr.draw(terminal.is_some()).as_bytes());
}
