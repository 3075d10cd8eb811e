//! One contact: how it is called, and how surely its key is known.

use std::fmt;

use time::Date;
use undertone_config::{AccountAddress, LinkToken};
use undertone_media::verify::IdentityPublic;

use super::MAX_NAME_LEN;
use crate::core::event::clean;

/// A person this phone knows.
#[derive(Debug)]
pub struct Contact {
    /// Where they are called.
    pub address: AccountAddress,
    /// What they are called here; never taken from the network.
    pub name: String,
    /// How they prove in a call that it is they.
    pub key: Key,
    /// The token of the link they gave out, until it has been used.
    pub token: Option<LinkToken>,
    /// Their phone has proved its key before, so a call without that proof is no call with them.
    pub proves: bool,
    /// Checks of this contact that failed after a key was shown; never counts down.
    pub failed_checks: u32,
    /// Calls to them leave out this account's address: only their phone can read who calls.
    pub hide_from: bool,
}

/// What is known of a contact's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Nothing.
    Unknown,
    /// From their link; both are verified at the first call.
    FromLink(IdentityPublic),
    /// Verified; no other key is taken for this contact.
    Verified {
        /// The key.
        key: IdentityPublic,
        /// How it became known, and when.
        checked: Checked,
    },
    /// The person wants to check anew whoever answers, after a warning or a new phone.
    CheckAnew {
        /// What it was before.
        before: IdentityPublic,
    },
}

/// How surely a key belongs to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// By what.
    pub how: How,
    /// The day.
    pub day: Date,
}

/// What verified a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Safety words, read and picked in a call.
    Words,
    /// A link that one of the two gave to the other, made on this day where it is known.
    Link {
        /// When the link was made; `None` for a link that somebody else made.
        made: Option<Date>,
    },
    /// The key code, compared by other means.
    KeyCode,
}

impl Contact {
    /// Somebody of whom only the address is known.
    #[must_use]
    pub fn new(address: AccountAddress, name: &str) -> Self {
        let name = shown_name(name, &address);
        let (key, token) = (Key::Unknown, None);
        Self { address, name, key, token, proves: false, failed_checks: 0, hide_from: false }
    }
}

impl Key {
    /// The key that a call with this contact must show.
    #[must_use]
    pub fn pinned(&self) -> Option<&IdentityPublic> {
        match self {
            Self::FromLink(key) | Self::Verified { key, .. } => Some(key),
            Self::Unknown | Self::CheckAnew { .. } => None,
        }
    }

    /// Whether the contact is verified.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Verified { .. })
    }
}

/// In the words of the contact list.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not verified"),
            Self::FromLink(_) => f.write_str("not verified yet: will be at the first call, by link"),
            Self::Verified { checked, .. } => write!(f, "verified {checked}"),
            Self::CheckAnew { .. } => f.write_str("not verified: to be checked anew at the next call"),
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.day;
        match self.how {
            How::Words => write!(f, "by safety words on {day}"),
            How::Link { made: Some(made) } if made == day => write!(f, "by link of {day}"),
            How::Link { made: Some(made) } => write!(f, "by link of {made}, on {day}"),
            How::Link { made: None } => write!(f, "by link on {day}"),
            How::KeyCode => write!(f, "by key code on {day}"),
        }
    }
}

/// A name fit to be shown; a contact without one is called by its account.
pub(super) fn shown_name(name: &str, address: &AccountAddress) -> String {
    let cleaned = short_name(name);
    if cleaned.is_empty() { address.name().to_string() } else { cleaned }
}

/// A name fit to be shown, or nothing.
pub(super) fn short_name(name: &str) -> String {
    clean(name).chars().take(MAX_NAME_LEN).collect::<String>().trim().to_owned()
}
