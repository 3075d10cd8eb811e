//! Single keys while a call rings or lasts, in a terminal.

use super::command_line::digit;
use crate::core::command::Command;

/// What a key means now; the same key means different things before and during a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keys {
    /// It rings here.
    pub ringing: bool,
    /// A call is being made or going on.
    pub in_call: bool,
    /// The microphone is off.
    pub muted: bool,
    /// On hold by us.
    pub held: bool,
    /// A half of the safety words is to be picked.
    pub comparing: bool,
}

impl Keys {
    /// The command of a key, if it has one now.
    #[must_use]
    pub fn command(self, key: char) -> Option<Command> {
        match key {
            // End of input and the keys that end programs.
            '\u{3}' | '\u{4}' => Some(Command::Quit),
            'a' | '\n' | '\r' if self.ringing => Some(Command::Answer),
            'r' | 'q' if self.ringing => Some(Command::Reject),
            'q' if self.in_call => Some(Command::HangUp),
            'q' => Some(Command::Quit),
            'm' if self.in_call => Some(Command::Mute(!self.muted)),
            'h' if self.in_call => Some(Command::Hold(!self.held)),
            '0' if self.comparing => Some(Command::PickNone),
            '1'..='4' if self.comparing => key.to_digit(10).map(|number| Command::Pick(number as u8)),
            'd' if self.comparing => Some(Command::Digits),
            's' if self.comparing => Some(Command::SkipCheck),
            'c' if self.in_call && !self.comparing => Some(Command::Check),
            // Who picks must not send keys by a slip.
            _ if self.comparing => None,
            key if self.in_call && !key.is_ascii_lowercase() => digit(key).map(Command::Dtmf),
            _ => None,
        }
    }

    /// The keys that work now, in words.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self { comparing: true, .. } => "Keys: 1 2 3 4 what you hear, 0 none of these, d digits, s skip, q hang up",
            Self { ringing: true, .. } => "Keys: a answer, r reject",
            Self { in_call: true, .. } => "Keys: m mute, h hold, c compare words, q hang up, 0-9 * # dial pad",
            Self { .. } => "Keys: q quit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_state_of_the_call() {
        let idle = Keys::default();
        let ringing = Keys { ringing: true, ..idle };
        let call = Keys { in_call: true, ..idle };
        assert_eq!(idle.command('a'), None);
        assert_eq!(idle.command('q'), Some(Command::Quit));
        assert_eq!(ringing.command('a'), Some(Command::Answer));
        assert_eq!(ringing.command('r'), Some(Command::Reject));
        assert_eq!(ringing.command('5'), None);
        assert_eq!(call.command('q'), Some(Command::HangUp));
        assert_eq!(call.command('m'), Some(Command::Mute(true)));
        assert_eq!(Keys { muted: true, ..call }.command('m'), Some(Command::Mute(false)));
        assert_eq!(Keys { held: true, ..call }.command('h'), Some(Command::Hold(false)));
        assert_eq!(call.command('#'), Some(Command::Dtmf('#')));
        assert_eq!(call.command('a'), None, "small letters are commands, not keys of the dial pad");
        assert_eq!(call.command('\u{3}'), Some(Command::Quit));
    }

    #[test]
    fn while_words_are_compared_numbers_pick_and_send_nothing() {
        let comparing = Keys { in_call: true, comparing: true, ..Keys::default() };
        assert_eq!(comparing.command('3'), Some(Command::Pick(3)));
        assert_eq!(comparing.command('0'), Some(Command::PickNone));
        assert_eq!(comparing.command('d'), Some(Command::Digits));
        assert_eq!(comparing.command('s'), Some(Command::SkipCheck));
        assert_eq!((comparing.command('5'), comparing.command('#'), comparing.command('c')), (None, None, None));
        assert_eq!(comparing.command('q'), Some(Command::HangUp));
        assert_eq!(comparing.command('m'), Some(Command::Mute(true)));
        let after = Keys { comparing: false, ..comparing };
        assert_eq!((after.command('3'), after.command('c')), (Some(Command::Dtmf('3')), Some(Command::Check)));
    }
}
