//! `undertone contact`: the people this phone knows. What concerns links that were given out is in
//! [`contact_link`](super::contact_link).

use serde_json::{Value, json};
use undertone_config::{AccountAddress, AccountAddressError, ContactLink, Link, LinkError, PhoneConfig};
use undertone_media::verify::IdentityPublic;

use super::arguments::Arguments;
use super::contact_arguments::{ContactTask, Verify};
use super::identity::agreed;
use super::setup::paths;
use super::today::today;
use super::{Failure, contact_link, link_argument, passphrase, say};
use crate::core::contacts::{Checked, Contact, ContactChange, ContactError, Contacts, How, Key};
use crate::core::event::clean;
use crate::keeping::contacts_file::{ChangeError, ContactsFile};
use crate::keeping::identity_file::{exists, identity_path};

/// The contacts of this profile, opened, and whose they are.
#[derive(Debug)]
pub(super) struct Book {
    /// The own key.
    pub(super) own_key: IdentityPublic,
    /// The own address, once there is an account.
    pub(super) own_address: Option<AccountAddress>,
    /// What is on the disk.
    pub(super) contacts: Contacts,
    file: ContactsFile,
}

/// Runs the command.
///
/// # Errors
/// When the identity or the contacts cannot be opened, or what is wanted does not fit them. Nothing is changed then.
pub(super) fn run(arguments: &Arguments, task: &ContactTask) -> Result<(), Failure> {
    let mut book = Book::open(arguments)?;
    match task {
        ContactTask::Add { who, name } => add(arguments, &mut book, who, name.as_deref().unwrap_or_default()),
        ContactTask::List => {
            list(arguments, &book.contacts);
            Ok(())
        }
        ContactTask::Show { who } => {
            show(arguments, book.named(who)?);
            Ok(())
        }
        ContactTask::Rename { who, name } => {
            let address = book.named(who)?.address.clone();
            book.change(ContactChange::Rename { address: address.clone(), name: name.clone() })?;
            tell(arguments, &book, &address, "Renamed: ")
        }
        ContactTask::Remove { who } => remove(arguments, &mut book, who),
        ContactTask::Verify(wanted) => verify(arguments, &mut book, wanted),
        ContactTask::Link(wanted) => contact_link::make(arguments, &mut book, wanted),
        ContactTask::Links => {
            contact_link::list(arguments, &book.contacts);
            Ok(())
        }
        ContactTask::Withdraw { link } => contact_link::withdraw(arguments, &mut book, link),
        ContactTask::Strangers { switch } => strangers(arguments, &mut book, switch.is_on()),
        ContactTask::HideFrom { who, switch } => {
            let address = book.named(who)?.address.clone();
            book.change(ContactChange::HideFrom { address: address.clone(), on: switch.is_on() })?;
            let does = if switch.is_on() { "leave out your address" } else { "show your address" };
            tell(arguments, &book, &address, &format!("Your calls to them {does}: "))
        }
    }
}

impl Book {
    fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let paths = paths(arguments)?;
        let kept = passphrase::opened(arguments, &identity_path(paths.folder()))?.kept;
        let config = paths.config_file();
        let own = if exists(&config) { Some(PhoneConfig::load(&config)?.address) } else { None };
        let (file, contacts) = ContactsFile::open(paths.folder(), kept.contacts_key)?;
        Ok(Self { own_key: kept.identity.public(), own_address: own, contacts, file })
    }

    /// Makes one change on the disk.
    ///
    /// # Errors
    /// When it is refused or cannot be written.
    pub(super) fn change(&mut self, change: ContactChange) -> Result<(), Failure> {
        self.contacts = self.file.change(change)?;
        Ok(())
    }

    /// A contact by name or address; as an address, a bare name is on one's own gateway, as where one adds or calls.
    fn named(&self, who: &str) -> Result<&Contact, Failure> {
        match self.contacts.named(who) {
            Ok(contact) => Ok(contact),
            Err(ContactError::Unknown) if let Ok(address) = self.address(who) => self.at(&address),
            Err(why) => Err(ChangeError::from(why).into()),
        }
    }

    fn at(&self, address: &AccountAddress) -> Result<&Contact, Failure> {
        self.contacts.at(address).ok_or(Failure::Change(ChangeError::Refused(ContactError::Unknown)))
    }

    /// An address as people type it: a bare name is on one's own gateway.
    fn address(&self, text: &str) -> Result<AccountAddress, Failure> {
        match (text.parse(), &self.own_address) {
            (Ok(address), _) => Ok(address),
            (Err(AccountAddressError::NoDomain(_)), Some(own)) => {
                let name = text.parse().map_err(argument)?;
                Ok(AccountAddress::new(name, own.domain().clone()))
            }
            (Err(why), _) => Err(argument(why)),
        }
    }
}

fn add(arguments: &Arguments, book: &mut Book, who: &str, name: &str) -> Result<(), Failure> {
    let text = link_argument::text(who)?;
    let name = name.to_owned();
    let (address, change) = match text.parse() {
        Ok(Link::Contact(link)) => {
            refuse_oneself(book, &link)?;
            (link.address.clone(), ContactChange::AddLink { link, name })
        }
        Ok(Link::Join(_)) => return Err(refused("this link joins a gateway: use it with `undertone join`")),
        // A part of a link may hold its secret, so it is not repeated as a wrong address would be.
        Err(LinkError::NotALink) if !text.contains(['#', '=']) => {
            let address = book.address(&text)?;
            if book.own_address.as_ref() == Some(&address) {
                return Err(refused("this is your own address: add the address of somebody else"));
            }
            (address.clone(), ContactChange::Add { address, name })
        }
        Err(why) => return Err(argument(why)),
    };
    book.change(change)?;
    tell(arguments, book, &address, "Added: ")
}

fn refuse_oneself(book: &Book, link: &ContactLink) -> Result<(), Failure> {
    if book.own_address.as_ref() == Some(&link.address) || book.own_key.as_bytes() == &link.key {
        return Err(refused("this is your own link: give it to somebody else, and add the link that they give you"));
    }
    Ok(())
}

fn remove(arguments: &Arguments, book: &mut Book, who: &str) -> Result<(), Failure> {
    let contact = book.named(who)?;
    let (address, line) = (contact.address.clone(), line(contact));
    book.change(ContactChange::Remove { address: address.clone() })?;
    if arguments.json {
        say(&json!({ "event": "contact_removed", "address": address.to_string() }).to_string());
    } else {
        say(&format!("Removed, and its key forgotten: {line}"));
    }
    Ok(())
}

fn verify(arguments: &Arguments, book: &mut Book, wanted: &Verify) -> Result<(), Failure> {
    if wanted.anew {
        return check_anew(arguments, book, wanted);
    }
    let contact = book.named(&wanted.who)?;
    let name = clean(&contact.name);
    let Some(code) = &wanted.key_code else {
        compare(arguments, book, contact);
        return Ok(());
    };
    let Some(key) = contact.key.pinned().copied() else {
        return Err(refused(&format!(
            "no key of {name} is known on this phone, so there is nothing to compare: add their link, or call them and \
             pick the safety words"
        )));
    };
    if spelled_alike(code) != spelled_alike(&key.key_code()) {
        return Err(refused(&format!(
            "this is not the key code that this phone has for {name}: read it again together; if it still differs, \
             somebody may be posing as them, so do not trust calls with them. Nothing was changed"
        )));
    }
    let (address, checked) = (contact.address.clone(), Checked { how: How::KeyCode, day: today() });
    book.change(ContactChange::Verify { address: address.clone(), key, checked })?;
    tell(arguments, book, &address, "The key codes are equal: ")
}

fn check_anew(arguments: &Arguments, book: &mut Book, wanted: &Verify) -> Result<(), Failure> {
    let contact = book.named(&wanted.who)?;
    let (address, name) = (contact.address.clone(), clean(&contact.name));
    if contact.key == Key::Unknown {
        return Err(refused(&format!("{name} was never verified: call them and pick the safety words")));
    }
    let meaning = format!(
        "The next call with {name} will take whatever key the other phone shows, and ask both of you to pick safety \
         words. Do this only if {name} told you in another way, best in person, that their phone or their key is new."
    );
    if !wanted.yes {
        if !passphrase::can_ask(arguments) {
            return Err(refused(&format!("{meaning} Nothing was changed: add --yes to do it")));
        }
        say(&meaning);
        if !agreed("ANEW")? {
            say("Nothing was changed.");
            return Ok(());
        }
    }
    book.change(ContactChange::CheckAnew { address: address.clone() })?;
    tell(arguments, book, &address, "")
}

/// Shows both codes, to be compared by other means.
fn compare(arguments: &Arguments, book: &Book, contact: &Contact) {
    let (own, theirs) = (book.own_key.key_code(), contact.key.pinned().map(IdentityPublic::key_code));
    if arguments.json {
        let mut line = described(contact);
        line["event"] = json!("key_codes");
        line["own_key_code"] = json!(own);
        say(&line.to_string());
        return;
    }
    let name = clean(&contact.name);
    say(&format!("Your key code: {own}"));
    match theirs {
        Some(theirs) => say(&format!(
            "Key code of {name}: {theirs}\nMeet, or use another way in which you know that it is {name}: each reads the \
             own code from the own phone. Then `undertone contact verify NAME --key-code CODE` with the code you heard."
        )),
        None => say(&format!(
            "No key of {name} is known on this phone: add their link, or call them and pick the safety words."
        )),
    }
}

fn strangers(arguments: &Arguments, book: &mut Book, may_ring: bool) -> Result<(), Failure> {
    book.change(ContactChange::StrangersMayRing(may_ring))?;
    if arguments.json {
        say(&json!({ "event": "strangers", "may_ring": may_ring }).to_string());
    } else if may_ring {
        say(
            "Whoever calls may ring, under the address that the gateway gives for them, which proves nothing. Anybody can \
             tell whether your phone is on.",
        );
    } else {
        say("Only contacts and holders of your links may ring: to everybody else your phone seems to be off.");
    }
    Ok(())
}

fn list(arguments: &Arguments, contacts: &Contacts) {
    if arguments.json {
        let people: Vec<_> = contacts.people().map(described).collect();
        let (public, strangers) = (contacts.has_public_link(), contacts.strangers_may_ring());
        let list = json!({
            "event": "contacts", "contacts": people, "public_link": public, "strangers_may_ring": strangers,
        });
        say(&list.to_string());
        return;
    }
    if contacts.people().next().is_none() {
        say("No contacts yet: `undertone contact add LINK`, or `undertone contact link NAME` to be added by others.");
    }
    contacts.people().for_each(|contact| say(&line(contact)));
}

fn show(arguments: &Arguments, contact: &Contact) {
    if arguments.json {
        say(&described(contact).to_string());
        return;
    }
    say(&line(contact));
    if let Some(key) = contact.key.pinned() {
        say(&format!("Key code: {}", key.key_code()));
    }
    if contact.failed_checks > 0 {
        say(&format!("Checks that failed in calls: {}", contact.failed_checks));
    }
    if contact.hide_from {
        say("Your calls to them leave out your address: only their phone can read who calls.");
    }
}

/// Tells what became of a contact.
fn tell(arguments: &Arguments, book: &Book, address: &AccountAddress, words: &str) -> Result<(), Failure> {
    let contact = book.at(address)?;
    if arguments.json {
        say(&described(contact).to_string());
    } else {
        say(&format!("{words}{}", line(contact)));
    }
    Ok(())
}

fn line(contact: &Contact) -> String {
    format!("{} ({}): {}", clean(&contact.name), contact.address, contact.key)
}

fn described(contact: &Contact) -> Value {
    json!({
        "event": "contact",
        "address": contact.address.to_string(),
        "name": clean(&contact.name),
        "verified": contact.key.is_verified(),
        "state": contact.key.to_string(),
        "key_code": contact.key.pinned().map(IdentityPublic::key_code),
        "failed_checks": contact.failed_checks,
        "hide_from": contact.hide_from,
    })
}

/// A key code without what people put between its letters.
fn spelled_alike(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

pub(super) fn refused(why: &str) -> Failure {
    Failure::Refused(why.to_owned())
}

fn argument(why: impl std::fmt::Display) -> Failure {
    Failure::Argument(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_code_may_be_written_with_anything_between_its_letters() {
        let code = IdentityPublic::from_bytes([7; 32]).key_code();
        for written in [code.clone(), code.to_lowercase(), code.replace(' ', ""), code.replace(' ', "-")] {
            assert_eq!(spelled_alike(&written), spelled_alike(&code));
        }
        assert_ne!(spelled_alike(&code[1..]), spelled_alike(&code));
    }
}
