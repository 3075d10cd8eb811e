//! Every way in which contacts and links change.

use thiserror::Error;
use time::Date;
use undertone_config::{AccountAddress, ContactLink};
use undertone_media::verify::IdentityPublic;

use super::contact::{Checked, Contact, How, Key, short_name, shown_name};
use super::open_link::{LinkId, OpenLink};
use super::{Contacts, MAX_CONTACTS, MAX_OPEN_LINKS};

/// One change.
#[derive(Debug)]
pub enum ContactChange {
    /// Add somebody by address.
    Add {
        /// Where they are called.
        address: AccountAddress,
        /// What to call them here; empty: as their account.
        name: String,
    },
    /// Add somebody by their link, or give a known contact the key of its link.
    AddLink {
        /// The link.
        link: ContactLink,
        /// What to call them here; empty: as their account.
        name: String,
    },
    /// Call a contact something else.
    Rename {
        /// Who.
        address: AccountAddress,
        /// The new name.
        name: String,
    },
    /// Forget a contact and its key.
    Remove {
        /// Who.
        address: AccountAddress,
    },
    /// This key was verified as this contact's; adds the contact if it is not one.
    Verify {
        /// Who.
        address: AccountAddress,
        /// Their key.
        key: IdentityPublic,
        /// By what and when.
        checked: Checked,
    },
    /// Take another key for this contact at the next call, after words have been picked.
    CheckAnew {
        /// Who.
        address: AccountAddress,
    },
    /// The contact's phone has proved a key: from now on it must. If it is the verified one, the token of their link has
    /// done its service.
    Proves {
        /// Who.
        address: AccountAddress,
    },
    /// A check of this contact failed.
    CheckFailed {
        /// Who.
        address: AccountAddress,
    },
    /// Leave this account's address out of calls to them, or put it in again.
    HideFrom {
        /// Who.
        address: AccountAddress,
        /// `true`: hide.
        on: bool,
    },
    /// A link was given out.
    GiveOut(OpenLink),
    /// Nobody may use this link any more.
    Withdraw(LinkId),
    /// Somebody proved this link and this key in a call: they become a verified contact.
    UseLink {
        /// Which link.
        link: LinkId,
        /// Their key.
        key: IdentityPublic,
        /// The address they proved.
        address: AccountAddress,
        /// The day.
        today: Date,
    },
    /// Open or close the public link.
    PublicLink(bool),
    /// Let whoever calls ring, or only contacts and holders of links.
    StrangersMayRing(bool),
}

/// Why a change was not made. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContactError {
    /// There is no such contact.
    #[error("there is no such contact: `undertone contact list` shows all")]
    Unknown,
    /// Several have this name.
    #[error("several contacts have this name: use the address instead")]
    Ambiguous,
    /// There is one already.
    #[error("this contact exists already: `undertone contact show` shows it, `rename` gives it another name")]
    Exists,
    /// A link shows another key than the one that is verified.
    #[error(
        "this link has another key than the one that was verified for this contact: somebody may be posing as them. \
         Ask them in another way; if they have a new phone, remove the contact and add the link again"
    )]
    OtherKey,
    /// A link shows another key than the link by which this contact was added.
    #[error(
        "this contact was added by a link with another key, and one of the two links may be false. Ask them in another \
         way which one is theirs; if it is this one, remove the contact and add the link again"
    )]
    OtherLink,
    /// No more fit in.
    #[error("there are too many contacts or open links: remove some first")]
    Full,
    /// There is no such link.
    #[error("there is no such open link: `undertone contact links` shows all")]
    NoLink,
    /// The link's days are over.
    #[error("this link has expired: make a new one")]
    LinkExpired,
    /// Another phone has used the link before.
    #[error("this link has been used before by another phone: somebody else may have got hold of it")]
    LinkUsed,
    /// The link was made for somebody else than the contact who has this address.
    #[error("this link was made for somebody else than this contact")]
    LinkForAnother,
}

impl Contacts {
    /// Makes one change, whole or not at all.
    ///
    /// # Errors
    /// When it does not fit what is there; nothing is changed then.
    pub fn apply(&mut self, change: ContactChange) -> Result<(), ContactError> {
        match change {
            ContactChange::Add { address, name } => self.add(Contact::new(address, &name)),
            ContactChange::AddLink { link, name } => self.add_link(link, &name),
            ContactChange::Rename { address, name } => {
                let contact = self.who(&address)?;
                contact.name = shown_name(&name, &address);
                Ok(())
            }
            ContactChange::Remove { address } => self.people.remove(&address).map(drop).ok_or(ContactError::Unknown),
            ContactChange::Verify { address, key, checked } => self.verify(address, key, checked, ""),
            ContactChange::CheckAnew { address } => self.check_anew(&address),
            ContactChange::Proves { address } => self.proves(&address),
            ContactChange::CheckFailed { address } => {
                self.who(&address).map(|contact| contact.failed_checks = contact.failed_checks.saturating_add(1))
            }
            ContactChange::HideFrom { address, on } => self.who(&address).map(|contact| contact.hide_from = on),
            ContactChange::GiveOut(link) => self.give_out(link),
            ContactChange::Withdraw(id) => {
                let before = self.links.len();
                self.links.retain(|link| link.id != id);
                if self.links.len() < before { Ok(()) } else { Err(ContactError::NoLink) }
            }
            ContactChange::UseLink { link, key, address, today } => self.use_link(link, key, address, today),
            ContactChange::PublicLink(on) => {
                self.public_link = on;
                Ok(())
            }
            ContactChange::StrangersMayRing(on) => {
                self.strangers_may_ring = on;
                Ok(())
            }
        }
    }

    fn who(&mut self, address: &AccountAddress) -> Result<&mut Contact, ContactError> {
        self.people.get_mut(address).ok_or(ContactError::Unknown)
    }

    fn add(&mut self, contact: Contact) -> Result<(), ContactError> {
        if self.people.contains_key(&contact.address) {
            return Err(ContactError::Exists);
        }
        if self.people.len() >= MAX_CONTACTS {
            return Err(ContactError::Full);
        }
        self.people.insert(contact.address.clone(), contact);
        Ok(())
    }

    /// A link is the word of the contact itself, but it never replaces a key that is known, except on wish.
    fn add_link(&mut self, link: ContactLink, name: &str) -> Result<(), ContactError> {
        let key = IdentityPublic::from_bytes(link.key);
        if let Some(contact) = self.people.get_mut(&link.address) {
            match contact.key {
                Key::Verified { key: verified, .. } if verified != key => return Err(ContactError::OtherKey),
                Key::Verified { .. } => return Err(ContactError::Exists),
                Key::FromLink(before) if before != key => return Err(ContactError::OtherLink),
                Key::Unknown | Key::FromLink(_) | Key::CheckAnew { .. } => {}
            }
            contact.key = Key::FromLink(key);
            // The public link of somebody whose one-use link is known takes nothing away.
            contact.token = link.token.or(contact.token.take());
            if !name.trim().is_empty() {
                contact.name = shown_name(name, &link.address);
            }
            return Ok(());
        }
        let contact = Contact::new(link.address, name);
        self.add(Contact { key: Key::FromLink(key), token: link.token, ..contact })
    }

    fn verify(
        &mut self,
        address: AccountAddress,
        key: IdentityPublic,
        checked: Checked,
        name: &str,
    ) -> Result<(), ContactError> {
        if !self.people.contains_key(&address) {
            self.add(Contact::new(address.clone(), name))?;
        }
        let contact = self.who(&address)?;
        match contact.key {
            // Verified in the meantime, perhaps in another window: the first word stands.
            Key::Verified { key: verified, .. } if verified != key => return Err(ContactError::OtherKey),
            Key::Verified { .. } => {}
            Key::FromLink(expected) if expected != key => return Err(ContactError::OtherKey),
            Key::Unknown | Key::FromLink(_) | Key::CheckAnew { .. } => contact.key = Key::Verified { key, checked },
        }
        // Codes are compared without a call: the other phone does not know this one yet, and rings only for the token.
        if checked.how != How::KeyCode {
            contact.token = None;
        }
        contact.proves = true;
        Ok(())
    }

    fn proves(&mut self, address: &AccountAddress) -> Result<(), ContactError> {
        let contact = self.who(address)?;
        contact.proves = true;
        if contact.key.is_verified() {
            contact.token = None;
        }
        Ok(())
    }

    fn check_anew(&mut self, address: &AccountAddress) -> Result<(), ContactError> {
        let contact = self.who(address)?;
        if let Key::Verified { key: before, .. } | Key::FromLink(before) = contact.key {
            contact.key = Key::CheckAnew { before };
            contact.token = None;
        }
        Ok(())
    }

    fn give_out(&mut self, mut link: OpenLink) -> Result<(), ContactError> {
        let today = link.made;
        link.name = short_name(&link.name);
        self.links.retain(|link| !link.is_forgotten(today));
        if self.links.len() >= MAX_OPEN_LINKS {
            return Err(ContactError::Full);
        }
        self.links.push(link);
        Ok(())
    }

    /// A token is spent for one key: the same phone may come again, another one is a warning.
    fn use_link(
        &mut self,
        id: LinkId,
        key: IdentityPublic,
        address: AccountAddress,
        today: Date,
    ) -> Result<(), ContactError> {
        let link = self.links.iter().find(|link| link.id == id).ok_or(ContactError::NoLink)?;
        if link.used_by.is_some_and(|used_by| used_by != key) {
            return Err(ContactError::LinkUsed);
        }
        if link.is_expired(today) {
            return Err(ContactError::LinkExpired);
        }
        let (name, made) = (link.name.clone(), link.made);
        // Whoever holds it is known by its name, and so cannot become somebody else who is known already.
        let unproven = self.people.get(&address).filter(|contact| contact.key.pinned().is_none());
        if unproven.is_some_and(|contact| contact.name.to_lowercase() != name.to_lowercase()) {
            return Err(ContactError::LinkForAnother);
        }
        let checked = Checked { how: How::Link { made: Some(made) }, day: today };
        self.verify(address, key, checked, &name)?;
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            link.used_by = Some(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use undertone_config::LinkToken;

    use super::*;
    use crate::core::contacts::LINK_LIFE_DAYS;

    const TODAY: Date = Date::MIN;

    #[test]
    fn a_contact_added_by_address_becomes_verified_and_another_key_is_refused_from_then_on() {
        let mut contacts = Contacts::new();
        contacts.apply(ContactChange::Add { address: bob(), name: "  Bob\u{202e}\r\n ".into() }).unwrap();
        assert_eq!(contacts.at(&bob()).unwrap().name, "Bob");
        assert_eq!(contacts.apply(add("x")), Err(ContactError::Exists));
        contacts.apply(verify(1)).unwrap();
        contacts.apply(verify(1)).unwrap();
        assert_eq!(contacts.apply(verify(2)), Err(ContactError::OtherKey));
        assert_eq!(contacts.known_by(&key(1)).unwrap().address, bob());
        assert!(contacts.known_by(&key(2)).is_none());
        assert!(contacts.at(&bob()).unwrap().key.is_verified() && contacts.at(&bob()).unwrap().proves);
    }

    #[test]
    fn a_link_never_replaces_a_verified_key_but_fills_an_unknown_one() {
        let mut contacts = Contacts::new();
        contacts.apply(add("Bob")).unwrap();
        contacts.apply(by_link(1)).unwrap();
        assert_eq!(contacts.at(&bob()).unwrap().name, "Bob");
        assert_eq!(contacts.at(&bob()).unwrap().key, Key::FromLink(key(1)));
        assert_eq!(contacts.apply(verify(2)), Err(ContactError::OtherKey));
        contacts.apply(verify(1)).unwrap();
        assert!(contacts.at(&bob()).unwrap().token.is_none(), "it has done its service");
        assert_eq!(contacts.apply(by_link(2)), Err(ContactError::OtherKey));
        assert_eq!(contacts.apply(by_link(1)), Err(ContactError::Exists));
    }

    #[test]
    fn a_second_link_with_another_key_is_refused_and_a_public_one_takes_no_token_away() {
        let mut contacts = Contacts::new();
        contacts.apply(by_link(1)).unwrap();
        assert_eq!(contacts.apply(by_link(2)), Err(ContactError::OtherLink));
        assert_eq!(contacts.at(&bob()).unwrap().key, Key::FromLink(key(1)));
        let link = ContactLink { address: bob(), key: [1; 32], token: None };
        contacts.apply(ContactChange::AddLink { link, name: "Bobby".into() }).unwrap();
        let contact = contacts.at(&bob()).unwrap();
        assert!(contact.token.is_some() && contact.name == "Bobby");
        contacts.apply(ContactChange::CheckAnew { address: bob() }).unwrap();
        contacts.apply(by_link(2)).unwrap();
        assert_eq!(contacts.at(&bob()).unwrap().key, Key::FromLink(key(2)), "whoever is to be checked anew");
    }

    #[test]
    fn a_link_verifies_a_contact_without_a_key_only_under_the_name_it_was_made_for() {
        let mut contacts = Contacts::new();
        contacts.apply(ContactChange::GiveOut(link(7))).unwrap();
        contacts.apply(add("Alice")).unwrap();
        let use_link = || ContactChange::UseLink { link: LinkId(7), key: key(1), address: bob(), today: TODAY };
        assert_eq!(contacts.apply(use_link()), Err(ContactError::LinkForAnother));
        assert!(contacts.links()[0].used_by.is_none() && contacts.at(&bob()).unwrap().key == Key::Unknown);
        let name = "bobby FROM the link".into();
        contacts.apply(ContactChange::Rename { address: bob(), name }).unwrap();
        contacts.apply(use_link()).unwrap();
        assert!(contacts.at(&bob()).unwrap().key.is_verified());
    }

    #[test]
    fn whoever_is_checked_anew_has_no_pinned_key_until_verified_again() {
        let mut contacts = Contacts::new();
        contacts.apply(verify(1)).unwrap();
        contacts.apply(ContactChange::CheckAnew { address: bob() }).unwrap();
        let contact = contacts.at(&bob()).unwrap();
        assert!(contact.key.pinned().is_none() && contact.proves, "the proof stays required");
        contacts.apply(verify(2)).unwrap();
        assert_eq!(contacts.at(&bob()).unwrap().key.pinned(), Some(&key(2)));
    }

    #[test]
    fn a_link_is_good_for_one_key_within_its_days() {
        let mut contacts = Contacts::new();
        contacts.apply(ContactChange::GiveOut(link(7))).unwrap();
        let mut use_by = |key_number, later| {
            let today = TODAY.saturating_add(time::Duration::days(later));
            contacts.apply(ContactChange::UseLink { link: LinkId(7), key: key(key_number), address: bob(), today })
        };
        assert_eq!(use_by(1, LINK_LIFE_DAYS + 1), Err(ContactError::LinkExpired));
        use_by(1, LINK_LIFE_DAYS).unwrap();
        use_by(1, LINK_LIFE_DAYS).unwrap();
        assert_eq!(use_by(2, 1), Err(ContactError::LinkUsed));
        let contact = contacts.at(&bob()).unwrap();
        assert_eq!(contact.name, "Bobby from the link");
        assert_eq!(contact.key.to_string(), format!("verified by link of {TODAY}, on {}", day(LINK_LIFE_DAYS)));
        contacts.apply(ContactChange::Withdraw(LinkId(7))).unwrap();
        assert_eq!(contacts.apply(ContactChange::Withdraw(LinkId(7))), Err(ContactError::NoLink));
    }

    #[test]
    fn contacts_and_links_have_their_bounds_and_old_links_make_room() {
        let mut contacts = Contacts::new();
        for number in 0..MAX_CONTACTS {
            let address = format!("a{number}@gw.example").parse().unwrap();
            contacts.apply(ContactChange::Add { address, name: String::new() }).unwrap();
        }
        assert_eq!(contacts.apply(add("Bob")), Err(ContactError::Full));
        for number in 0..MAX_OPEN_LINKS {
            contacts.apply(ContactChange::GiveOut(link(number as u64))).unwrap();
        }
        assert_eq!(contacts.apply(ContactChange::GiveOut(link(999))), Err(ContactError::Full));
        contacts.apply(ContactChange::GiveOut(OpenLink { made: day(365), ..link(999) })).unwrap();
        assert_eq!(contacts.links().len(), 1);
    }

    #[test]
    fn a_contact_is_found_by_address_or_by_a_name_that_only_one_has() {
        let mut contacts = Contacts::new();
        contacts.apply(add("Bob")).unwrap();
        let other = "bob2@gw.example".parse().unwrap();
        assert_eq!(contacts.named(" bOB ").unwrap().address, bob());
        contacts.apply(ContactChange::Add { address: other, name: "Bob".into() }).unwrap();
        assert_eq!(contacts.named("Bob").unwrap_err(), ContactError::Ambiguous);
        assert_eq!(contacts.named("sip:bob@gw.example").unwrap().address, bob());
        assert_eq!(contacts.named("carol").unwrap_err(), ContactError::Unknown);
    }

    fn bob() -> AccountAddress {
        "bob@gw.example".parse().unwrap()
    }

    fn key(number: u8) -> IdentityPublic {
        IdentityPublic::from_bytes([number; 32])
    }

    fn day(later: i64) -> Date {
        TODAY.saturating_add(time::Duration::days(later))
    }

    fn add(name: &str) -> ContactChange {
        ContactChange::Add { address: bob(), name: name.into() }
    }

    fn by_link(number: u8) -> ContactChange {
        let token = Some(LinkToken::new([9; 32]));
        let link = ContactLink { address: bob(), key: [number; 32], token };
        ContactChange::AddLink { link, name: String::new() }
    }

    fn verify(number: u8) -> ContactChange {
        let checked = Checked { how: How::Words, day: TODAY };
        ContactChange::Verify { address: bob(), key: key(number), checked }
    }

    fn link(id: u64) -> OpenLink {
        let name = "Bobby from the link".into();
        OpenLink { id: LinkId(id), token: LinkToken::new([id as u8; 32]), name, made: TODAY, used_by: None }
    }
}
