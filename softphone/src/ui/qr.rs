//! A QR code (ISO/IEC 18004) drawn with characters: two modules above each other make one.
//!
//! At a terminal its colours are set, so that it is dark on light whatever the terminal's own are. Elsewhere the light
//! modules are drawn, which is right on a dark ground.

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

/// Light modules around the code (ISO/IEC 18004 §5.3.8).
const QUIET_ZONE: usize = 4;
/// Black on white, from the fixed part of the 256 colours, which themes leave alone.
const DARK_ON_LIGHT: &str = "\x1b[38;5;16;48;5;231m";
const OWN_COLOURS: &str = "\x1b[0m";
/// Longest character of a drawing, in octets.
const MAX_CHARACTER_LEN: usize = 3;

/// One code.
pub struct Qr {
    dark: Zeroizing<Vec<bool>>,
    width: usize,
}

/// Opaque: what it shows may be a secret.
impl std::fmt::Debug for Qr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Qr")
    }
}

impl Qr {
    /// The code of a text; `None` when it is too long for any.
    ///
    /// The lowest error correction makes the smallest code: screens have no scratches.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let width = code.width();
        let dark = Zeroizing::new(code.into_colors().into_iter().map(|colour| colour == Color::Dark).collect());
        Some(Self { dark, width })
    }

    /// How many columns it needs.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.width + 2 * QUIET_ZONE
    }

    /// As lines of text; `coloured` for a terminal.
    #[must_use]
    pub fn draw(&self, coloured: bool) -> Zeroizing<String> {
        let (start, end) = if coloured { (DARK_ON_LIGHT, OWN_COLOURS) } else { ("", "") };
        let line_len = self.columns() * MAX_CHARACTER_LEN + start.len() + end.len() + 1;
        // Never grown, so that no unwiped copy stays behind.
        let mut drawing = Zeroizing::new(String::with_capacity(line_len * self.columns().div_ceil(2)));
        for row in (0..self.columns()).step_by(2) {
            drawing.push_str(start);
            for column in 0..self.columns() {
                let drawn = |row| self.is_dark(row, column) == coloured;
                drawing.push(match (drawn(row), drawn(row + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            drawing.push_str(end);
            drawing.push('\n');
        }
        drawing
    }

    fn is_dark(&self, row: usize, column: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < self.width);
        match (inside(row), inside(column)) {
            (Some(row), Some(column)) => self.dark[row * self.width + column],
            (None, _) | (_, None) => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_shows_every_module_and_a_quiet_zone_in_both_ways() {
        let text = "undertone:bob@gw.example#k=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let qr = Qr::new(text).unwrap();
        let expected = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        for coloured in [true, false] {
            let read = modules(&qr.draw(coloured), coloured);
            for (row, line) in read.iter().enumerate() {
                for (column, dark) in line.iter().enumerate().take(qr.columns()) {
                    let inside = (QUIET_ZONE..QUIET_ZONE + expected.width()).contains(&row)
                        && (QUIET_ZONE..QUIET_ZONE + expected.width()).contains(&column);
                    let should = inside && expected[(column - QUIET_ZONE, row - QUIET_ZONE)] == Color::Dark;
                    assert_eq!(*dark, should, "{row} {column}");
                }
            }
            assert!(read.len() >= qr.columns() && read.iter().all(|line| line.len() == qr.columns()));
        }
    }

    #[test]
    fn colours_are_set_and_taken_back_on_every_line() {
        let drawing = Qr::new("x").unwrap().draw(true);
        assert!(drawing.lines().all(|line| line.starts_with(DARK_ON_LIGHT) && line.ends_with(OWN_COLOURS)));
        assert!(!Qr::new("x").unwrap().draw(false).contains('\x1b'));
    }

    #[test]
    fn the_longest_link_fits_and_a_text_too_long_for_any_code_is_none() {
        assert!(Qr::new(&"x".repeat(undertone_config::MAX_LINK_LEN)).is_some());
        assert!(Qr::new(&"x".repeat(3_000)).is_none());
        let whole = Qr::new("x").unwrap().draw(true);
        assert!(whole.capacity() >= whole.len());
    }

    fn modules(drawing: &str, drawn_is_dark: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawing.lines() {
            let line = line.trim_start_matches(DARK_ON_LIGHT).trim_end_matches(OWN_COLOURS);
            for halves in ["█▀", "█▄"] {
                rows.push(line.chars().map(|c| halves.contains(c) == drawn_is_dark).collect());
            }
        }
        rows
    }
}
