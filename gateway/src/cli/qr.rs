//! QR codes in the terminal (ISO/IEC 18004).

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use std::io::IsTerminal;
use zeroize::Zeroizing;

/// Black on white, from the fixed part of the 256 colours, which themes leave alone.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const OWN_COLOURS: &str = "\x1b[0m";

/// The code of a text as lines; `None` if it is longer than any code holds. The lowest error correction makes the
/// smallest code: screens have no scratches.
pub(super) fn draw(text: &str) -> Option<Zeroizing<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let is_terminal = std::io::stdout().is_terminal();
    // Elsewhere than at a terminal the light modules are drawn, which is right on a dark ground.
    let (dark, light) = if is_terminal { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    let drawing = Zeroizing::new(code.render().dark_color(dark).light_color(light).quiet_zone(true).build());
    if !is_terminal {
        return Some(drawing);
    }
    let lines: Vec<Zeroizing<String>> =
        drawing.lines().map(|line| Zeroizing::new(format!("{BLACK_ON_WHITE}{line}{OWN_COLOURS}"))).collect();
    Some(Zeroizing::new(lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_quiet_zone_and_too_long_a_text_has_none() {
        let drawing = draw("undertone:alice@gw.example").expect("short enough");
        let lines: Vec<&str> = drawing.lines().collect();
        assert!(lines.len() > 10 && lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
        assert!(lines[0].chars().all(|c| c == '█'), "light on what is taken for a dark ground");
        assert!(draw(&"x".repeat(3_000)).is_none());
    }
}
