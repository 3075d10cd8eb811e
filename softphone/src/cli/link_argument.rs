//! A link as argument or, so that it need not stand in the history of the shell, as a line of standard input.

use std::io::{self, BufRead, Read};

use undertone_config::MAX_LINK_LEN;
use zeroize::Zeroizing;

use super::Failure;

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// The text of the argument, or the first line of standard input for `-`.
///
/// # Errors
/// When standard input cannot be read.
pub(super) fn text(argument: &str) -> Result<Zeroizing<String>, Failure> {
    if argument != STANDARD_INPUT {
        return Ok(Zeroizing::new(argument.trim().to_owned()));
    }
    read(&mut io::stdin().lock())
}

fn read(input: &mut impl BufRead) -> Result<Zeroizing<String>, Failure> {
    // Reserved at once: growing would leave copies of a token in freed memory. One octet more tells what is too long.
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINK_LEN + 2));
    input.take(MAX_LINK_LEN as u64 + 1).read_line(&mut line).map_err(Failure::Output)?;
    let end = line.trim_end().len();
    line.truncate(end);
    Ok(line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_the_argument_or_the_first_line_of_the_input() {
        assert_eq!(text(" undertone:x ").unwrap().as_str(), "undertone:x");
        assert_eq!(read(&mut "undertone:x \r\nmore".as_bytes()).unwrap().as_str(), "undertone:x");
        assert_eq!(read(&mut "".as_bytes()).unwrap().as_str(), "");
        let longest = "x".repeat(2 * MAX_LINK_LEN);
        let cut = read(&mut longest.as_bytes()).unwrap();
        assert_eq!(
            (cut.len(), cut.capacity()),
            (MAX_LINK_LEN + 1, MAX_LINK_LEN + 2),
            "too long to be a link, not grown"
        );
    }
}
