//! Questions to a person at a terminal.

use std::io::{self, BufRead, Write};

use undertone_config::Secret;

use super::terminal::TerminalMode;

/// Longest answer: addresses, pins and generated passwords are shorter.
const MAX_ANSWER_LEN: u64 = 1024;

/// Asks until there is an answer that `check` accepts; what it refuses is said.
///
/// # Errors
/// When the input ends.
pub fn ask<T, E: std::fmt::Display>(
    question: &str,
    input: &mut (impl BufRead + ?Sized),
    out: &mut (impl Write + ?Sized),
    check: impl Fn(&str) -> Result<T, E>,
) -> io::Result<T> {
    loop {
        write!(out, "{question} ")?;
        out.flush()?;
        match check(read_line(input)?.trim()) {
            Ok(value) => return Ok(value),
            Err(why) => writeln!(out, "{why}")?,
        }
    }
}

/// Asks for a password; at a terminal nothing of it is shown.
///
/// # Errors
/// When the input ends.
pub fn ask_unseen(
    question: &str,
    input: &mut (impl BufRead + ?Sized),
    out: &mut (impl Write + ?Sized),
) -> io::Result<Secret> {
    loop {
        write!(out, "{question} ")?;
        out.flush()?;
        let unseen = TerminalMode::unseen();
        let answer = read_secret(input);
        if unseen.is_some() {
            writeln!(out)?;
        }
        let answer = answer?;
        if !answer.expose().is_empty() {
            return Ok(answer);
        }
    }
}

/// Asks for a new password twice, until both are equal; `None` when it is left empty.
///
/// # Errors
/// When the input ends.
pub fn ask_new_secret(
    question: &str,
    mut input: &mut dyn BufRead,
    mut out: &mut dyn Write,
) -> io::Result<Option<Secret>> {
    loop {
        write!(out, "{question} ")?;
        out.flush()?;
        let unseen = TerminalMode::unseen();
        let first = read_secret(&mut input)?;
        if unseen.is_some() {
            writeln!(out)?;
        }
        drop(unseen);
        if first.expose().is_empty() {
            return Ok(None);
        }
        let second = ask_unseen("Once more:", &mut input, &mut out)?;
        if first.expose() == second.expose() {
            return Ok(Some(first));
        }
        writeln!(out, "They differ.")?;
    }
}

/// The first line of `input` as a secret, without its line end.
///
/// # Errors
/// When the input ends or is not text.
pub fn read_secret(input: &mut (impl BufRead + ?Sized)) -> io::Result<Secret> {
    let mut line = zeroize::Zeroizing::new(read_line(input)?);
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(Secret::new(std::mem::take(&mut *line)))
}

fn read_line(input: &mut (impl BufRead + ?Sized)) -> io::Result<String> {
    // Reserved at once: growing would leave copies of a password in freed memory.
    let mut line = String::with_capacity(MAX_ANSWER_LEN as usize);
    let count = io::Read::take(input, MAX_ANSWER_LEN).read_line(&mut line)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_repeated_until_the_answer_is_good() {
        let mut out = Vec::new();
        let check = |text: &str| text.parse::<u16>().map_err(|_| "a number, please");
        let answer = ask("Port?", &mut "x\n 42 \n".as_bytes(), &mut out, check).unwrap();
        assert_eq!(answer, 42);
        assert_eq!(String::from_utf8(out).unwrap(), "Port? a number, please\nPort? ");
        assert!(ask("Port?", &mut "".as_bytes(), &mut Vec::new(), check).is_err());
    }

    #[test]
    fn a_password_keeps_its_spaces_and_loses_its_line_end() {
        assert_eq!(read_secret(&mut " a b \r\nrest".as_bytes()).unwrap().expose(), " a b ");
        let asked = ask_unseen("Password?", &mut "\nsecret\n".as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(asked.expose(), "secret");
    }

    #[test]
    fn a_new_password_is_typed_twice_alike_or_left_out() {
        let new = |typed: &str| ask_new_secret("New?", &mut typed.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(new("one\ntwo\nthree\nthree\n").unwrap().expose(), "three");
        assert!(new("\n").is_none());
    }
}
