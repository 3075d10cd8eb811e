//! Links: the one text that a person passes on to be called, to join a gateway, or to add a device.
//!
//! ```text
//! contact  undertone:bob@gw.example#t=TOKEN&k=KEY
//! join     undertone:alice@gw.example#[i=IDENTITY&][c=CONTACT&[t=TOKEN&]k=KEY&]g=HOST:PORT&p=PIN&o=OPERATOR&x=EXPIRY&j=TOKEN
//! ```
//! Everything after the `#` stays on the machines of the two people. Values are base64url without padding. Parts are
//! written so that a required one is last: a link that was cut anywhere is damaged, never another valid link.

use crate::account::AccountAddress;
use crate::host_port::HostPort;
use crate::pin::Pin;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What every link starts with.
const SCHEME: &str = "undertone:";
/// Longest link that is read: more than a QR code can hold.
pub const MAX_LINK_LEN: usize = 2_048;
/// Longest sealed identity in a link, in octets: two keys, and what sealing them adds.
pub const MAX_SEALED_LEN: usize = 512;

/// What a link says.
#[derive(Debug)]
pub enum Link {
    /// How to call somebody, and how to know that it is they.
    Contact(ContactLink),
    /// How to set up an account on a gateway.
    Join(Box<JoinLink>),
}

/// A person to call.
#[derive(Debug)]
pub struct ContactLink {
    /// Where they are called.
    pub address: AccountAddress,
    /// Their public identity key (X25519).
    pub key: [u8; 32],
    /// Proves to them, once, that this link was used; `None` in a public link.
    pub token: Option<LinkToken>,
}

/// An account to be taken over on a gateway.
#[derive(Debug)]
pub struct JoinLink {
    /// The account.
    pub address: AccountAddress,
    /// Where the gateway listens.
    pub gateway: HostPort,
    /// The gateway's key.
    pub pin: Pin,
    /// The public key (Ed25519) under which the operator announces the gateway's next key.
    pub operator: [u8; 32],
    /// Until when the gateway takes the token, in seconds since 1970.
    pub expires_s: u64,
    /// Lets one device in, once.
    pub token: LinkToken,
    /// Whom to add as a contact at the same time.
    pub contact: Option<ContactLink>,
    /// The account's identity for a further device of the same person, sealed.
    pub identity: Option<Vec<u8>>,
}

/// The 32 secret octets of a link. Wiped when dropped; no `Clone`, opaque `Debug`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct LinkToken([u8; 32]);

/// Why a text is no link. The text itself is not repeated: it holds secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not start like one.
    #[error("this is not an Undertone link: paste the whole text, from “undertone:” on")]
    NotALink,
    /// A part is missing or cut.
    #[error("this link is damaged or not complete: copy all of it again, or ask for a new one")]
    Damaged,
    /// A part that this version does not know.
    #[error("this link was made by a newer version of Undertone: update this phone, then use it again")]
    Newer,
}

impl LinkToken {
    /// Takes over 32 random octets.
    pub fn new(token: [u8; 32]) -> Self {
        Self(token)
    }

    /// The octets, to be used and not kept.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken")
    }
}

impl ContactLink {
    /// The link's text.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = start(&self.address, MAX_LINK_LEN);
        self.write_token_and_key(&mut text);
        text
    }

    fn write_token_and_key(&self, text: &mut String) {
        if let Some(token) = &self.token {
            write_part(text, 't', &encode(token.expose()));
        }
        write_part(text, 'k', &encode(&self.key));
    }
}

impl JoinLink {
    /// The link's text.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = start(&self.address, MAX_LINK_LEN);
        if let Some(identity) = &self.identity {
            write_part(&mut text, 'i', &encode(identity));
        }
        if let Some(contact) = &self.contact {
            write_part(&mut text, 'c', &contact.address.to_string());
            contact.write_token_and_key(&mut text);
        }
        write_part(&mut text, 'g', &self.gateway.to_string());
        write_part(&mut text, 'p', &encode(self.pin.as_bytes()));
        write_part(&mut text, 'o', &encode(&self.operator));
        write_part(&mut text, 'x', &self.expires_s.to_string());
        write_part(&mut text, 'j', &encode(self.token.expose()));
        text
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let is_link = text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        if !is_link {
            return Err(LinkError::NotALink);
        }
        if text.len() > MAX_LINK_LEN {
            return Err(LinkError::Damaged);
        }
        let (address, parts) = text[SCHEME.len()..].split_once('#').ok_or(LinkError::Damaged)?;
        let address = address.parse().map_err(|_| LinkError::Damaged)?;
        let parts = Parts::read(parts)?;
        if parts.joins() { parts.join(address) } else { parts.contact(address).map(Self::Contact) }
    }
}

/// The parts of a link as they stand, each at most once.
#[derive(Default)]
struct Parts<'a> {
    identity: Option<&'a str>,
    contact: Option<&'a str>,
    token: Option<&'a str>,
    key: Option<&'a str>,
    gateway: Option<&'a str>,
    pin: Option<&'a str>,
    operator: Option<&'a str>,
    expires: Option<&'a str>,
    join: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, LinkError> {
        let mut parts = Self::default();
        for part in text.split('&') {
            let (key, value) = part.split_once('=').ok_or(LinkError::Damaged)?;
            let place = match key {
                "i" => &mut parts.identity,
                "c" => &mut parts.contact,
                "t" => &mut parts.token,
                "k" => &mut parts.key,
                "g" => &mut parts.gateway,
                "p" => &mut parts.pin,
                "o" => &mut parts.operator,
                "x" => &mut parts.expires,
                "j" => &mut parts.join,
                _ => return Err(LinkError::Newer),
            };
            if place.replace(value).is_some() {
                return Err(LinkError::Damaged);
            }
        }
        Ok(parts)
    }

    /// Any part that only a join link has; then all of them must be there.
    fn joins(&self) -> bool {
        let join_only = [self.identity, self.contact, self.gateway, self.pin, self.operator, self.expires, self.join];
        join_only.iter().any(Option::is_some)
    }

    fn contact(&self, address: AccountAddress) -> Result<ContactLink, LinkError> {
        let token = self.token.map(octets).transpose()?.map(|token| LinkToken::new(*token));
        Ok(ContactLink { address, key: *octets(self.key.ok_or(LinkError::Damaged)?)?, token })
    }

    fn join(self, address: AccountAddress) -> Result<Link, LinkError> {
        let damaged = LinkError::Damaged;
        let contact = match (self.contact, self.key, self.token) {
            (Some(contact), _, _) => Some(self.contact(contact.parse().map_err(|_| damaged)?)?),
            (None, None, None) => None,
            (None, Some(_), _) | (None, None, Some(_)) => return Err(damaged),
        };
        let identity = self.identity.map(|text| decode(text, MAX_SEALED_LEN)).transpose()?;
        Ok(Link::Join(Box::new(JoinLink {
            address,
            gateway: self.gateway.ok_or(damaged)?.parse().map_err(|_| damaged)?,
            pin: Pin::from_sha256(*octets(self.pin.ok_or(damaged)?)?),
            operator: *octets(self.operator.ok_or(damaged)?)?,
            expires_s: self.expires.ok_or(damaged)?.parse().map_err(|_| damaged)?,
            token: LinkToken::new(*octets(self.join.ok_or(damaged)?)?),
            contact,
            identity: identity.map(|identity| identity.to_vec()),
        })))
    }
}

fn start(address: &AccountAddress, capacity: usize) -> Zeroizing<String> {
    // Never grown, so that no unwiped copy of a token stays behind.
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    text.push_str(SCHEME);
    text.push_str(&address.to_string());
    text
}

fn write_part(text: &mut String, key: char, value: &str) {
    text.push(if text.contains('#') { '&' } else { '#' });
    text.push(key);
    text.push('=');
    text.push_str(value);
}

fn encode(octets: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(octets))
}

fn octets(text: &str) -> Result<Zeroizing<[u8; 32]>, LinkError> {
    let decoded = decode(text, 32)?;
    Ok(Zeroizing::new(decoded.as_slice().try_into().map_err(|_| LinkError::Damaged)?))
}

fn decode(text: &str, most: usize) -> Result<Zeroizing<Vec<u8>>, LinkError> {
    let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| LinkError::Damaged)?);
    if decoded.is_empty() || decoded.len() > most { Err(LinkError::Damaged) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_contact_link_comes_back_as_it_was() {
        for token in [Some(LinkToken::new([9; 32])), None] {
            let link = ContactLink { address: "bob@gw.example".parse().unwrap(), key: [7; 32], token };
            let text = link.to_text();
            assert!(text.starts_with("undertone:bob@gw.example#"), "{}", *text);
            let Link::Contact(read) = text.parse().unwrap() else { panic!("no contact") };
            assert_eq!((read.address, read.key), (link.address, link.key));
            assert_eq!(read.token.as_ref().map(LinkToken::expose), link.token.as_ref().map(LinkToken::expose));
        }
    }

    #[test]
    fn a_join_link_comes_back_as_it_was_with_contact_and_identity() {
        let Link::Join(read) = join(true).to_text().parse().unwrap() else { panic!("no join link") };
        let made = join(true);
        assert_eq!(read.address, made.address);
        assert_eq!(read.gateway.to_string(), made.gateway.to_string());
        assert_eq!((read.pin, read.operator, read.expires_s), (made.pin, made.operator, made.expires_s));
        assert_eq!(read.token.expose(), made.token.expose());
        assert_eq!(read.identity, made.identity);
        assert_eq!(read.contact.unwrap().key, [7; 32]);
        let Link::Join(bare) = join(false).to_text().parse().unwrap() else { panic!("no join link") };
        assert!(bare.contact.is_none() && bare.identity.is_none());
    }

    #[test]
    fn a_link_that_was_cut_anywhere_is_no_other_link() {
        let contact = ContactLink {
            address: "bob@gw.example".parse().unwrap(),
            key: [7; 32],
            token: Some(LinkToken::new([9; 32])),
        };
        for text in [contact.to_text(), join(true).to_text(), join(false).to_text()] {
            for len in 0..text.len() {
                assert!(text[..len].parse::<Link>().is_err(), "{len} of {}", *text);
            }
        }
    }

    #[test]
    fn what_is_no_link_is_refused_in_words() {
        let says = |text: &str| text.parse::<Link>().unwrap_err();
        assert_eq!(says("https://gw.example"), LinkError::NotALink);
        assert_eq!(says(""), LinkError::NotALink);
        assert_eq!(says("ündertone:"), LinkError::NotALink);
        let good = ContactLink { address: "bob@gw.example".parse().unwrap(), key: [7; 32], token: None }.to_text();
        assert_eq!(says(&format!("{}&z=1", *good)), LinkError::Newer);
        assert_eq!(says(&format!("{0}&{1}", *good, good.split_once('#').unwrap().1)), LinkError::Damaged);
        assert_eq!(says(&format!("{}{}", *good, "A".repeat(MAX_LINK_LEN))), LinkError::Damaged);
        assert_eq!(says("undertone:bob@gw.example"), LinkError::Damaged);
        assert!(good.to_uppercase().replace("UNDERTONE", "Undertone").parse::<Link>().is_err());
        assert!(format!("  {}\n", *good).parse::<Link>().is_ok());
    }

    #[test]
    fn debug_shows_no_token() {
        let text = format!("{:?}", join(true));
        assert!(text.contains("LinkToken") && !text.contains("9, 9"), "{text}");
    }

    fn join(whole: bool) -> JoinLink {
        let contact = ContactLink {
            address: "bob@gw.example".parse().unwrap(),
            key: [7; 32],
            token: Some(LinkToken::new([9; 32])),
        };
        JoinLink {
            address: "alice@gw.example".parse().unwrap(),
            gateway: "gw.example:5061".parse().unwrap(),
            pin: Pin::from_sha256([3; 32]),
            operator: [4; 32],
            expires_s: 1_800_000_000,
            token: LinkToken::new([9; 32]),
            contact: whole.then_some(contact),
            identity: whole.then(|| vec![5; 168]),
        }
    }
}
