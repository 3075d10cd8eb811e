//! What a person can ask of the phone. Every face (keys, lines on stdin, a window) translates into these and nothing else.

/// A wish of the person at this phone. What cannot be done is answered with
/// [`Event::NotDone`](super::event::Event::NotDone), never silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Call someone: a contact's name, `bob`, `bob@gateway`, `sip:bob@gateway`; without a gateway `sip:user@ip:port`.
    Dial {
        /// The address as the person typed it.
        uri: String,
    },
    /// The same, without telling any gateway who calls; the called phone learns it inside the call's invitation.
    DialHidden {
        /// The address as the person typed it.
        uri: String,
    },
    /// Take the call that is ringing here.
    Answer,
    /// Refuse the call that is ringing here.
    Reject,
    /// End the call, in whatever state it is.
    HangUp,
    /// Stop (`true`) or resume (`false`) sending what the microphone hears.
    Mute(bool),
    /// Put the call on hold (`true`) or take it back (`false`).
    Hold(bool),
    /// Send one key of the dial pad: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// Of the halves of the safety words that are shown: this one is heard, from 1 to 4.
    Pick(u8),
    /// None of the shown halves is heard.
    PickNone,
    /// Show digits instead of words, or words again.
    Digits,
    /// Go on without comparing words; the other person stays not verified.
    SkipCheck,
    /// Compare words in this call, also if the other person is verified here: they may need it.
    Check,
    /// Hang up, sign off from the gateway and stop.
    Quit,
}
