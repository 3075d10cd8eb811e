//! What a person can ask of the phone. Every face (keys, lines on stdin, a window) translates into these and nothing else.

/// A wish of the person at this phone. What cannot be done is answered with
/// [`Event::NotDone`](super::event::Event::NotDone), never silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Call someone: `bob`, `bob@gateway`, `sip:bob@gateway`; without a gateway `sip:user@ip:port`.
    Dial {
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
    /// Hang up, sign off from the gateway and stop.
    Quit,
}
