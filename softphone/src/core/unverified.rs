//! Why somebody stays not verified although their phone proved a key.

use serde::Serialize;

/// Why somebody whose phone proved a key stays not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unverified {
    /// The person here did not want to compare words.
    Skipped,
    /// The caller came by the public link and does not see words to compare, unless asked.
    PublicLink,
    /// The caller's link was not proved in the call, was withdrawn, or has expired.
    LinkNotGood,
    /// Another phone used the caller's link before.
    LinkUsed,
    /// The caller's link was made for somebody else than the contact from whose address they call.
    LinkForAnother,
    /// The caller hides their address, so their link could not be used up.
    Hidden,
}

impl Unverified {
    /// One or two sentences for people.
    pub fn sentence(self, name: &str) -> String {
        let why = match self {
            Self::Skipped => "you did not compare words, so somebody may sit in between",
            Self::PublicLink => "they called by your public link; `check` compares words with them",
            Self::LinkNotGood => "their link is not or no longer good; `check` compares words with them",
            Self::LinkForAnother => {
                "they call from the address of another contact than the one their link was made for; `check` compares \
                 words with them"
            }
            Self::LinkUsed => "another phone used their link before",
            Self::Hidden => {
                "they hide their address, so their link cannot be used: ask them to call without hiding once"
            }
        };
        format!("Not verified: {name}; {why}.")
    }
}
