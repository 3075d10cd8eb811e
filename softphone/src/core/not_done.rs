//! Why something that the person wanted is not done.

use serde::Serialize;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum NotDone {
    /// There is no connection to the gateway.
    NotConnected,
    /// There is no call at all.
    NoCall,
    /// No call is ringing here.
    NothingToAnswer,
    /// The call is not connected yet (or not any more).
    NotInCall,
    /// Another call is going on.
    AlreadyInCall,
    /// The typed address cannot be called.
    BadAddress {
        /// What is wrong with it.
        hint: &'static str,
    },
    /// Not a key of a dial pad.
    NotADigit,
    /// No sound and no keys leave this phone: the other one has not proved who it is, or a pick was wrong.
    SoundWithheld,
    /// The other phone refused to be put on hold, or to be taken back.
    HoldRefused,
    /// This phone could not make the keys for the call.
    NoKeys,
    /// Nothing is to be compared, or not any more.
    NothingToCompare,
    /// The first call by a link cannot hide who calls.
    CannotHide,
    /// The phone is stopping.
    Stopping,
}

impl NotDone {
    /// One sentence for people: why not and what to do.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotConnected => "Not connected to the gateway yet: try again when the phone is ready.".into(),
            Self::NoCall => "There is no call.".into(),
            Self::NothingToAnswer => "Nobody is calling.".into(),
            Self::NotInCall => "That works only during a call: wait until it is encrypted.".into(),
            Self::AlreadyInCall => "You are in a call: hang up first.".into(),
            Self::BadAddress { hint } => format!("This address cannot be called: {hint}."),
            Self::NotADigit => "Only 0 to 9, *, # and A to D can be sent.".into(),
            Self::SoundWithheld => {
                "The key was not sent: nothing leaves this phone before the other one has proved itself, nor after a \
                 wrong pick."
                    .into()
            }
            Self::HoldRefused => "The other phone did not accept that.".into(),
            Self::NoKeys => "This phone could not make the keys for the call: try again.".into(),
            Self::NothingToCompare => "There is nothing to compare: words are picked at a first call, once.".into(),
            Self::CannotHide => {
                "Nothing was called: at the first call by a link the other person must learn your address. Call once \
                 without hiding it; later calls can be hidden."
                    .into()
            }
            Self::Stopping => "The phone is stopping.".into(),
        }
    }
}
