//! The lines `undertone headless` reads: one command each.

use thiserror::Error;

use crate::core::command::Command;

/// Longest line: an address is shorter.
pub const MAX_LINE_LEN: usize = 512;

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineError {
    /// Not one of the words.
    #[error(
        "unknown command: use dial URI, dial-hidden URI, answer, reject, hangup, mute, unmute, hold, resume, \
         dtmf KEYS, pick 1-4, pick none, digits, skip, check, quit"
    )]
    Unknown,
    /// `dial` without an address.
    #[error("dial needs an address, such as: dial bob@gw.example")]
    NoAddress,
    /// `dtmf` without keys, or with others than a dial pad has.
    #[error("dtmf needs keys of a dial pad (0-9, *, #, A-D), such as: dtmf 42#")]
    NoKeys,
    /// `pick` without what is picked, or with something else.
    #[error("pick needs the number of what you hear, from 1 to 4, or none, such as: pick 2")]
    NoPick,
    /// More words than the command takes.
    #[error("this command takes nothing after it")]
    TooMuch,
    /// Longer than any command.
    #[error("the line is too long for a command")]
    TooLong,
}

/// Reads one line; an empty one and a comment (`#`) are no commands.
///
/// # Errors
/// When the line is not understood; nothing is done then.
pub fn parse(line: &str) -> Result<Vec<Command>, LineError> {
    if line.len() > MAX_LINE_LEN {
        return Err(LineError::TooLong);
    }
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Vec::new());
    }
    let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(word, rest)| (word, rest.trim()));
    match (word, rest) {
        ("dial" | "call", "") => return Err(LineError::NoAddress),
        ("dial" | "call", uri) => return Ok(vec![Command::Dial { uri: uri.to_owned() }]),
        ("dial-hidden", "") => return Err(LineError::NoAddress),
        ("dial-hidden", uri) => return Ok(vec![Command::DialHidden { uri: uri.to_owned() }]),
        ("dtmf", keys) => return digits(keys),
        ("pick", choice) => return pick(choice).map(|command| vec![command]),
        _ => {}
    }
    let command = match word {
        "answer" => Command::Answer,
        "reject" => Command::Reject,
        "hangup" => Command::HangUp,
        "mute" => Command::Mute(true),
        "unmute" => Command::Mute(false),
        "hold" => Command::Hold(true),
        "resume" | "unhold" => Command::Hold(false),
        "digits" => Command::Digits,
        "skip" => Command::SkipCheck,
        "check" => Command::Check,
        "quit" => Command::Quit,
        _ => return Err(LineError::Unknown),
    };
    if rest.is_empty() { Ok(vec![command]) } else { Err(LineError::TooMuch) }
}

fn pick(choice: &str) -> Result<Command, LineError> {
    match choice {
        "none" | "0" => Ok(Command::PickNone),
        "1" => Ok(Command::Pick(1)),
        "2" => Ok(Command::Pick(2)),
        "3" => Ok(Command::Pick(3)),
        "4" => Ok(Command::Pick(4)),
        _ => Err(LineError::NoPick),
    }
}

fn digits(keys: &str) -> Result<Vec<Command>, LineError> {
    let commands: Option<Vec<Command>> =
        keys.chars().filter(|key| !key.is_whitespace()).map(|key| digit(key).map(Command::Dtmf)).collect();
    commands.filter(|commands| !commands.is_empty()).ok_or(LineError::NoKeys)
}

/// The key of a dial pad a character stands for.
#[must_use]
pub fn digit(key: char) -> Option<char> {
    let key = key.to_ascii_uppercase();
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_word() {
        for (line, command) in [
            ("answer", Command::Answer),
            (" reject ", Command::Reject),
            ("hangup", Command::HangUp),
            ("mute", Command::Mute(true)),
            ("unmute", Command::Mute(false)),
            ("hold", Command::Hold(true)),
            ("resume", Command::Hold(false)),
            ("quit\r", Command::Quit),
            ("pick 4", Command::Pick(4)),
            ("pick none", Command::PickNone),
            ("digits", Command::Digits),
            ("skip", Command::SkipCheck),
            ("check", Command::Check),
            ("dial-hidden bob", Command::DialHidden { uri: "bob".into() }),
            ("dial  bob@gw.example ", Command::Dial { uri: "bob@gw.example".into() }),
            ("dial sip:bob@127.0.0.1:5060", Command::Dial { uri: "sip:bob@127.0.0.1:5060".into() }),
        ] {
            assert_eq!(parse(line), Ok(vec![command]), "{line}");
        }
    }

    #[test]
    fn several_keys_are_several_commands() {
        assert_eq!(parse("dtmf 4 2#d"), Ok(['4', '2', '#', 'D'].map(Command::Dtmf).to_vec()));
        assert_eq!(parse("dtmf"), Err(LineError::NoKeys));
        assert_eq!(parse("dtmf 4x"), Err(LineError::NoKeys));
    }

    #[test]
    fn what_is_no_command_does_nothing_and_says_why() {
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse("# a comment"), Ok(vec![]));
        assert_eq!(parse("dial"), Err(LineError::NoAddress));
        assert_eq!(parse("dial-hidden"), Err(LineError::NoAddress));
        for line in ["pick", "pick 5", "pick 1 2", "pick yes"] {
            assert_eq!(parse(line), Err(LineError::NoPick), "{line}");
        }
        assert_eq!(parse("hangup now"), Err(LineError::TooMuch));
        assert_eq!(parse("explode"), Err(LineError::Unknown));
        assert_eq!(parse(&"x".repeat(MAX_LINE_LEN + 1)), Err(LineError::TooLong));
    }
}
