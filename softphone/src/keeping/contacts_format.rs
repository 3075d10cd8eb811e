//! How contacts and links are written inside the sealed contacts file. Integers are big-endian.
//!
//! ```text
//!   content  length(4) ‖ body ‖ zeros up to a size class
//!   body     switches(1) ‖ count(2) ‖ contact… ‖ count(2) ‖ link…
//!   contact  text(address) ‖ text(name) ‖ key ‖ octets?(token) ‖ marks(1) ‖ failed checks(4)
//!   key      0 | 1 ‖ key(32) | 2 ‖ key(32) ‖ how ‖ day | 3 ‖ key(32)      unknown, from link, verified, check anew
//!   how      0 | 1 | 2 ‖ day | 3                                          words, link, link of a day, key code
//!   link     id(8) ‖ token(32) ‖ text(name) ‖ day ‖ octets?(used by)
//!   text     length(2) ‖ UTF-8          octets?  0 | 1 ‖ octets(32)          day  Julian day number(4)
//! ```
//! There is one way to write a thing, contacts stand in the order of their addresses, and everything else is refused.

use time::Date;
use undertone_config::{AccountAddress, LinkToken};
use undertone_media::verify::IdentityPublic;
use zeroize::Zeroizing;

use crate::core::contacts::{
    Checked, Contact, Contacts, How, Key, LinkId, MAX_CONTACTS, MAX_NAME_LEN, MAX_OPEN_LINKS, OpenLink,
};

/// The smallest size class; each further one is twice as large, so that a length tells little about how many there are.
const SMALLEST_CLASS: usize = 4_096;
const LENGTH_LEN: usize = 4;
/// Longest address: an account's name, `@`, a host name.
const MAX_ADDRESS_LEN: usize = 32 + 1 + 253;
/// Longest name in octets: four for a character.
const MAX_NAME_OCTETS: usize = 4 * MAX_NAME_LEN;
/// Nothing longer is written for one contact or link.
const MAX_ENTRY_LEN: usize = 2 + MAX_ADDRESS_LEN + 2 + MAX_NAME_OCTETS + 42 + 33 + 1 + 4;
/// The largest size class, which holds as many contacts and links as there may be.
pub(super) const MAX_CONTENT_LEN: usize = 1 << 20;
const _: () = assert!((MAX_CONTACTS + MAX_OPEN_LINKS + 1) * MAX_ENTRY_LEN < MAX_CONTENT_LEN);

const PUBLIC_LINK: u8 = 1;
const STRANGERS_MAY_RING: u8 = 2;
const PROVES: u8 = 1;
const HIDE_FROM: u8 = 2;

/// Writes everything.
pub(super) fn encode(contacts: &Contacts) -> Zeroizing<Vec<u8>> {
    let entries = contacts.people().count() + contacts.links().len() + 1;
    // Reserved at once: growing would leave copies of tokens in freed memory.
    let mut content = Zeroizing::new(Vec::with_capacity(class_of(entries * MAX_ENTRY_LEN)));
    content.extend_from_slice(&[0; LENGTH_LEN]);
    let strangers = if contacts.strangers_may_ring() { STRANGERS_MAY_RING } else { 0 };
    content.push(strangers | if contacts.has_public_link() { PUBLIC_LINK } else { 0 });
    write_count(&mut content, contacts.people().count());
    contacts.people().for_each(|contact| write_contact(&mut content, contact));
    write_count(&mut content, contacts.links().len());
    contacts.links().iter().for_each(|link| write_link(&mut content, link));
    let body_len = u32::try_from(content.len() - LENGTH_LEN).unwrap_or(u32::MAX);
    content[..LENGTH_LEN].copy_from_slice(&body_len.to_be_bytes());
    let padded_len = class_of(content.len());
    content.resize(padded_len, 0);
    content
}

/// Reads what [`encode`] wrote; `None` for anything else.
pub(super) fn decode(content: &[u8]) -> Option<Contacts> {
    let (length, rest) = content.split_first_chunk::<LENGTH_LEN>()?;
    let (body, padding) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    if content.len() != class_of(LENGTH_LEN + body.len()) || padding.iter().any(|octet| *octet != 0) {
        return None;
    }
    let mut reader = Reader { rest: body };
    let switches = reader.marks(PUBLIC_LINK | STRANGERS_MAY_RING)?;
    let people = (0..reader.count()?).map(|_| reader.contact()).collect::<Option<Vec<_>>>()?;
    let links = (0..reader.count()?).map(|_| reader.link()).collect::<Option<Vec<_>>>()?;
    if !reader.rest.is_empty() || !people.is_sorted_by(|one, next| one.address < next.address) {
        return None;
    }
    Contacts::from_kept(people, links, switches & PUBLIC_LINK != 0, switches & STRANGERS_MAY_RING != 0).ok()
}

/// An address is read from several spellings and written in one.
fn same_text(address: &AccountAddress, text: &str) -> bool {
    address.to_string() == text
}

fn class_of(len: usize) -> usize {
    len.next_power_of_two().max(SMALLEST_CLASS)
}

fn write_contact(out: &mut Vec<u8>, contact: &Contact) {
    write_text(out, &contact.address.to_string());
    write_text(out, &contact.name);
    match &contact.key {
        Key::Unknown => out.push(0),
        Key::FromLink(key) => write_tagged(out, 1, key.as_bytes()),
        Key::Verified { key, checked } => {
            write_tagged(out, 2, key.as_bytes());
            match checked.how {
                How::Words => out.push(0),
                How::Link { made: None } => out.push(1),
                How::Link { made: Some(made) } => {
                    out.push(2);
                    write_day(out, made);
                }
                How::KeyCode => out.push(3),
            }
            write_day(out, checked.day);
        }
        Key::CheckAnew { before } => write_tagged(out, 3, before.as_bytes()),
    }
    write_optional(out, contact.token.as_ref().map(LinkToken::expose));
    out.push(if contact.proves { PROVES } else { 0 } | if contact.hide_from { HIDE_FROM } else { 0 });
    out.extend_from_slice(&contact.failed_checks.to_be_bytes());
}

fn write_link(out: &mut Vec<u8>, link: &OpenLink) {
    out.extend_from_slice(&link.id.0.to_be_bytes());
    out.extend_from_slice(link.token.expose());
    write_text(out, &link.name);
    write_day(out, link.made);
    write_optional(out, link.used_by.as_ref().map(IdentityPublic::as_bytes));
}

fn write_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn write_tagged(out: &mut Vec<u8>, tag: u8, octets: &[u8; 32]) {
    out.push(tag);
    out.extend_from_slice(octets);
}

fn write_optional(out: &mut Vec<u8>, octets: Option<&[u8; 32]>) {
    match octets {
        None => out.push(0),
        Some(octets) => write_tagged(out, 1, octets),
    }
}

fn write_day(out: &mut Vec<u8>, day: Date) {
    out.extend_from_slice(&day.to_julian_day().to_be_bytes());
}

/// What is left to be read.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn contact(&mut self) -> Option<Contact> {
        let text = self.text(MAX_ADDRESS_LEN)?;
        let address: AccountAddress = text.parse().ok().filter(|address| same_text(address, text))?;
        let name = self.text(MAX_NAME_OCTETS)?.to_owned();
        let key = match self.take::<1>()? {
            [0] => Key::Unknown,
            [1] => Key::FromLink(self.key()?),
            [2] => Key::Verified { key: self.key()?, checked: Checked { how: self.how()?, day: self.day()? } },
            [3] => Key::CheckAnew { before: self.key()? },
            _ => return None,
        };
        let token = self.optional()?.map(|token| LinkToken::new(*token));
        let marks = self.marks(PROVES | HIDE_FROM)?;
        let failed_checks = u32::from_be_bytes(*self.take()?);
        let (proves, hide_from) = (marks & PROVES != 0, marks & HIDE_FROM != 0);
        Some(Contact { address, name, key, token, proves, failed_checks, hide_from })
    }

    fn how(&mut self) -> Option<How> {
        match self.take::<1>()? {
            [0] => Some(How::Words),
            [1] => Some(How::Link { made: None }),
            [2] => Some(How::Link { made: Some(self.day()?) }),
            [3] => Some(How::KeyCode),
            _ => None,
        }
    }

    fn link(&mut self) -> Option<OpenLink> {
        Some(OpenLink {
            id: LinkId(u64::from_be_bytes(*self.take()?)),
            token: LinkToken::new(*self.take()?),
            name: self.text(MAX_NAME_OCTETS)?.to_owned(),
            made: self.day()?,
            used_by: self.optional()?.map(|key| IdentityPublic::from_bytes(*key)),
        })
    }

    fn count(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take()?))
    }

    fn text(&mut self, most: usize) -> Option<&'a str> {
        let len = usize::from(self.count()?);
        let (text, rest) = self.rest.split_at_checked(len).filter(|_| len <= most)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }

    fn key(&mut self) -> Option<IdentityPublic> {
        self.take().map(|key| IdentityPublic::from_bytes(*key))
    }

    /// The outer `None` is damage.
    fn optional(&mut self) -> Option<Option<&'a [u8; 32]>> {
        match self.take::<1>()? {
            [0] => Some(None),
            [1] => self.take().map(Some),
            _ => None,
        }
    }

    fn marks(&mut self, known: u8) -> Option<u8> {
        let [marks] = *self.take()?;
        (marks & !known == 0).then_some(marks)
    }

    fn day(&mut self) -> Option<Date> {
        Date::from_julian_day(i32::from_be_bytes(*self.take()?)).ok()
    }

    fn take<const LEN: usize>(&mut self) -> Option<&'a [u8; LEN]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::contacts::ContactChange;

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(contacts in any_contacts()) {
            let content = encode(&contacts);
            let read = decode(&content).unwrap();
            prop_assert_eq!(described(&read), described(&contacts));
            prop_assert_eq!(encode(&read), content);
        }

        #[test]
        fn nothing_else_is_read(contacts in any_contacts(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let content = encode(&contacts);
            for len in 0..64.min(content.len()) {
                prop_assert!(decode(&content[..len]).is_none());
            }
            let mut changed = content.to_vec();
            *at.get_mut(&mut changed) = to;
            // A changed octet is refused, or is what those other contacts are written like.
            if let Some(read) = decode(&changed) {
                prop_assert!(*encode(&read) == changed);
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut content = vec![0; SMALLEST_CLASS];
            let body_len = u32::try_from(noise.len()).unwrap();
            content[..LENGTH_LEN].copy_from_slice(&body_len.to_be_bytes());
            content[LENGTH_LEN..LENGTH_LEN + noise.len()].copy_from_slice(&noise);
            if let Some(read) = decode(&content) {
                prop_assert!(*encode(&read) == content);
            }
        }
    }

    #[test]
    fn an_address_is_read_in_one_spelling_only() {
        let mut contacts = Contacts::new();
        contacts.apply(ContactChange::Add { address: "bob@gw".parse().unwrap(), name: "x".into() }).unwrap();
        let mut content = encode(&contacts);
        let at = content.windows(6).position(|octets| octets == b"bob@gw").unwrap();
        content[at] = b'B';
        assert!(decode(&content).is_none());
    }

    #[test]
    fn the_length_tells_little_about_how_many_there_are() {
        let mut contacts = Contacts::new();
        assert_eq!(encode(&contacts).len(), SMALLEST_CLASS);
        let mut lengths = std::collections::BTreeSet::new();
        for number in 0..MAX_CONTACTS {
            let address = format!("account{number}@gateway.example").parse().unwrap();
            contacts.apply(ContactChange::Add { address, name: "A usual name".into() }).unwrap();
            lengths.insert(encode(&contacts).len());
        }
        assert!(lengths.len() <= 6, "{lengths:?}");
    }

    #[test]
    fn as_many_as_there_may_be_with_the_longest_of_everything_fit() {
        let name: String = std::iter::repeat_n('𝄞', MAX_NAME_LEN).collect();
        let day = Date::MAX;
        let checked = Checked { how: How::Link { made: Some(day) }, day };
        let host = [&"h".repeat(63), &"h".repeat(63), &"h".repeat(63), &"h".repeat(61)].map(String::as_str).join(".");
        let people = (0..MAX_CONTACTS).map(|number| Contact {
            address: format!("{number:032}@{host}").parse().unwrap(),
            name: name.clone(),
            key: Key::Verified { key: IdentityPublic::from_bytes([1; 32]), checked },
            token: Some(LinkToken::new([2; 32])),
            proves: true,
            failed_checks: u32::MAX,
            hide_from: true,
        });
        let links = (0..MAX_OPEN_LINKS).map(|number| OpenLink {
            id: LinkId(number as u64),
            token: LinkToken::new([3; 32]),
            name: name.clone(),
            made: day,
            used_by: Some(IdentityPublic::from_bytes([4; 32])),
        });
        let contacts = Contacts::from_kept(people, links.collect(), true, true).unwrap();
        let content = encode(&contacts);
        assert!(content.len() <= MAX_CONTENT_LEN && content.capacity() >= content.len());
        assert_eq!(described(&decode(&content).unwrap()), described(&contacts));
    }

    pub(in crate::keeping) fn any_contacts() -> impl Strategy<Value = Contacts> {
        let people = proptest::collection::vec(any_contact(), 0..8);
        let links = proptest::collection::vec(any_link(), 0..4);
        (people, links, any::<bool>(), any::<bool>()).prop_map(|(people, links, public, strangers)| {
            Contacts::from_kept(people, links, public, strangers).unwrap()
        })
    }

    fn any_contact() -> impl Strategy<Value = Contact> {
        let marks = (any::<bool>(), any::<bool>(), any::<u32>());
        let token = proptest::option::of(any::<[u8; 32]>());
        ("[a-z0-9]{1,32}@[a-z]{1,40}", "\\PC{1,60}", any_key(), token, marks).prop_map(
            |(address, name, key, token, (proves, hide_from, failed_checks))| Contact {
                address: address.parse().unwrap(),
                name,
                key,
                token: token.map(LinkToken::new),
                proves,
                failed_checks,
                hide_from,
            },
        )
    }

    fn any_key() -> impl Strategy<Value = Key> {
        (any::<[u8; 32]>(), any_how(), any_day(), 0..4).prop_map(|(key, how, day, which)| {
            let key = IdentityPublic::from_bytes(key);
            match which {
                0 => Key::Unknown,
                1 => Key::FromLink(key),
                2 => Key::Verified { key, checked: Checked { how, day } },
                _ => Key::CheckAnew { before: key },
            }
        })
    }

    fn any_how() -> impl Strategy<Value = How> {
        let made = proptest::option::of(any_day()).prop_map(|made| How::Link { made });
        prop_oneof![Just(How::Words), Just(How::KeyCode), made]
    }

    fn any_link() -> impl Strategy<Value = OpenLink> {
        let used_by = proptest::option::of(any::<[u8; 32]>());
        (any::<u64>(), any::<[u8; 32]>(), "\\PC{0,60}", any_day(), used_by).prop_map(
            |(id, token, name, made, used_by)| OpenLink {
                id: LinkId(id),
                token: LinkToken::new(token),
                name,
                made,
                used_by: used_by.map(IdentityPublic::from_bytes),
            },
        )
    }

    fn any_day() -> impl Strategy<Value = Date> {
        (Date::MIN.to_julian_day()..=Date::MAX.to_julian_day()).prop_map(|day| Date::from_julian_day(day).unwrap())
    }

    /// Every field as text: neither keys nor tokens show themselves otherwise.
    pub(in crate::keeping) fn described(contacts: &Contacts) -> String {
        let mut text = format!("{} {}\n", contacts.has_public_link(), contacts.strangers_may_ring());
        for contact in contacts.people() {
            let Contact { address, name, key, token, proves, failed_checks, hide_from } = contact;
            let octets = match key {
                Key::Unknown => None,
                Key::FromLink(key) | Key::Verified { key, .. } | Key::CheckAnew { before: key } => Some(key.as_bytes()),
            };
            let token = token.as_ref().map(LinkToken::expose);
            text += &format!("{address} {name:?} {key:?} {octets:?} {token:?} {proves} {failed_checks} {hide_from}\n");
        }
        for link in contacts.links() {
            let OpenLink { id, token, name, made, used_by } = link;
            let used_by = used_by.as_ref().map(IdentityPublic::as_bytes);
            text += &format!("{id:?} {:?} {name:?} {made} {used_by:?}\n", token.expose());
        }
        text
    }
}
