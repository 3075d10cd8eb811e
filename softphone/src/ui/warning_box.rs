//! A warning that must not be overlooked: as wide as the terminal, in a frame, with the bell.

/// Narrower frames cannot be read.
const MIN_COLUMNS: usize = 24;
/// What the frame takes of each line.
const FRAME: usize = 4;

/// The text in a frame of this width.
#[must_use]
pub fn framed(text: &str, columns: usize) -> String {
    let width = columns.max(MIN_COLUMNS) - FRAME;
    let bar = "━".repeat(width + 2);
    let mut out = format!("\n┏{bar}┓\n");
    for line in wrapped(text, width) {
        let space = " ".repeat(width - line.chars().count());
        out.push_str(&format!("┃ {line}{space} ┃\n"));
    }
    out.push_str(&format!("┗{bar}┛\n"));
    out
}

/// Lines of at most `width` characters, cut between words where there is a word's end.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(width) {
            let piece: String = piece.iter().collect();
            let Some(line) = lines.last_mut() else { continue };
            let used = line.chars().count();
            if used == 0 {
                line.push_str(&piece);
            } else if used + 1 + piece.chars().count() <= width {
                line.push(' ');
                line.push_str(&piece);
            } else {
                lines.push(piece);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_as_wide_as_the_terminal_and_no_word_is_lost() {
        let text =
            "STOP: this phone knows Bóbbÿ by another key. Donaudampfschifffahrtsgesellschaftskapitänswitwe agrees.";
        for columns in [1, 24, 40, 80, 500] {
            let drawn = framed(text, columns);
            let lines: Vec<&str> = drawn.trim().lines().collect();
            assert!(lines.iter().all(|line| line.chars().count() == columns.max(MIN_COLUMNS)), "{drawn}");
            let inside: String = lines[1..lines.len() - 1].iter().map(|line| line.trim_matches(['┃', ' '])).collect();
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&inside), letters(text));
        }
    }
}
