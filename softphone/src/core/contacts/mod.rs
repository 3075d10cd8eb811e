//! The people this phone knows, and the links by which others become known: plain values, kept encrypted by the shell.
//!
//! ```text
//!   added by address ──words picked──▶ verified ──checked anew on wish──▶ checking anew ──words picked──▶ verified
//!   added by link ──first call──▶ verified          (a failed check changes nothing but its count)
//! ```
//! Everything changes through [`Contacts::apply`], whoever wants it: a call, a command in another window, another
//! process. So each race has one outcome, decided by the state that is on the disk at that moment.

mod change;
mod contact;
mod open_link;

use std::collections::BTreeMap;

use undertone_config::AccountAddress;
use undertone_media::verify::IdentityPublic;

pub use change::{ContactChange, ContactError};
pub use contact::{Checked, Contact, How, Key};
pub use open_link::{LINK_LIFE_DAYS, LinkId, OpenLink};

/// Contacts kept: more than anybody calls, few enough that the file is written in a moment.
pub const MAX_CONTACTS: usize = 1_000;
/// Links open at once; each is tried against every ring ticket of an unknown caller.
pub const MAX_OPEN_LINKS: usize = 100;
/// Longest name of a contact, in characters: one line of a screen.
pub const MAX_NAME_LEN: usize = 60;

/// Who may be known, and how.
#[derive(Debug, Default)]
pub struct Contacts {
    people: BTreeMap<AccountAddress, Contact>,
    links: Vec<OpenLink>,
    /// Whoever knows this account's key (from its public link) may ring.
    public_link: bool,
    /// Whoever calls may ring.
    strangers_may_ring: bool,
}

impl Contacts {
    /// Nobody yet; only contacts and holders of links may ring.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From what was kept.
    ///
    /// # Errors
    /// When there are more entries than can have been kept.
    pub fn from_kept(
        people: impl IntoIterator<Item = Contact>,
        links: Vec<OpenLink>,
        public_link: bool,
        strangers_may_ring: bool,
    ) -> Result<Self, ContactError> {
        let people: BTreeMap<_, _> = people.into_iter().map(|contact| (contact.address.clone(), contact)).collect();
        if people.len() > MAX_CONTACTS || links.len() > MAX_OPEN_LINKS {
            return Err(ContactError::Full);
        }
        Ok(Self { people, links, public_link, strangers_may_ring })
    }

    /// All contacts, by address.
    pub fn people(&self) -> impl Iterator<Item = &Contact> {
        self.people.values()
    }

    /// The contact with this address.
    #[must_use]
    pub fn at(&self, address: &AccountAddress) -> Option<&Contact> {
        self.people.get(address)
    }

    /// The contact known by this key.
    #[must_use]
    pub fn known_by(&self, key: &IdentityPublic) -> Option<&Contact> {
        self.people.values().find(|contact| contact.key.pinned() == Some(key))
    }

    /// The contact with this address or, if only one has it, this name.
    ///
    /// # Errors
    /// When nobody, or more than one, is meant.
    pub fn named(&self, text: &str) -> Result<&Contact, ContactError> {
        if let Some(contact) = text.parse().ok().and_then(|address| self.at(&address)) {
            return Ok(contact);
        }
        let mut found =
            self.people.values().filter(|contact| contact.name.to_lowercase() == text.trim().to_lowercase());
        match (found.next(), found.next()) {
            (Some(contact), None) => Ok(contact),
            (None, _) => Err(ContactError::Unknown),
            (Some(_), Some(_)) => Err(ContactError::Ambiguous),
        }
    }

    /// The links that were given out and are not forgotten yet, expired and used ones included.
    #[must_use]
    pub fn links(&self) -> &[OpenLink] {
        &self.links
    }

    /// Whether the public link is open.
    #[must_use]
    pub fn has_public_link(&self) -> bool {
        self.public_link
    }

    /// Whether whoever calls may ring.
    #[must_use]
    pub fn strangers_may_ring(&self) -> bool {
        self.strangers_may_ring
    }
}
