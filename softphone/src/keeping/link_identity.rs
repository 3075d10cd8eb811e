//! The identity on its way to a further device of the same person: sealed into the join link with a one-time code that
//! is told in another way than the link.
//!
//! ```text
//!   identity key (32) ‖ contacts key (32) ‖ SHA-256 of the account, gateway, pin and operator of the link (32)
//! ```
//! With its place sealed in, the identity cannot be led to another gateway by who changes the link on its way.

use rand_core::RngCore;
use ring::digest::{Context, SHA256};
use thiserror::Error;
use undertone_config::{AccountAddress, HostPort, JoinLink, OperatorKey, Pin, Secret};
use zeroize::Zeroizing;

use super::identity_file::{CONTENT_LEN, KeptIdentity};
use super::seal::{self, Cost, Magic, Opener, SealError};

const MAGIC: &Magic = b"undertone link\0\x01";
/// Octets of a hash.
const PLACE_LEN: usize = 32;
/// Letters and digits of a code, of 5 bits each: 80 bits, behind 64 MiB of memory for every guess.
const CODE_LEN: usize = 16;
/// Letters in one breath.
const GROUP_LEN: usize = 4;
/// RFC 4648 §6: nothing in it looks like another.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What opens the identity in a link. Wiped when dropped; no `Clone`, opaque `Debug`.
pub struct LinkCode(Secret);

/// What a link says about where its account is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The account.
    pub address: &'a AccountAddress,
    /// Where the gateway listens.
    pub gateway: &'a HostPort,
    /// The gateway's key.
    pub pin: Pin,
    /// Under which key its next one is announced.
    pub operator: OperatorKey,
}

/// Why the identity in a link was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkIdentityError {
    /// Intact, but the code is another one's.
    #[error("this code does not open the identity in this link: read it again, letter by letter, and try once more")]
    WrongCode,
    /// Cut, or of another version.
    #[error("the identity in this link cannot be read: make a new link with `undertone device add`")]
    Damaged,
    /// It was sealed for another account, gateway or key.
    #[error(
        "this link was changed on its way, so that it leads to another gateway: do not use it, and make a new one with \
         `undertone device add`"
    )]
    OtherPlace,
    /// The machine has not enough memory for the check of the code.
    #[error("the code cannot be checked: 64 MiB of free memory are needed; close some programs and try again")]
    NoMemory,
}

impl LinkCode {
    /// Draws one. `rng` must be the system's (or a test's).
    pub fn draw<R: RngCore>(rng: &mut R) -> Self {
        let mut code = String::with_capacity(CODE_LEN);
        let mut octets = Zeroizing::new([0; CODE_LEN]);
        rng.fill_bytes(octets.as_mut());
        code.extend(octets.iter().map(|octet| char::from(ALPHABET[usize::from(octet % 32)])));
        Self(Secret::new(code))
    }

    /// Reads what a person typed: in any case, with any pauses, and with digits that look like letters.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut code = Zeroizing::new(String::with_capacity(CODE_LEN + 1));
        for typed in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let meant = match typed.to_ascii_uppercase() {
                '0' => 'O',
                '1' => 'I',
                '8' => 'B',
                other => other,
            };
            let is_usable = u8::try_from(meant).is_ok_and(|letter| ALPHABET.contains(&letter));
            if !is_usable || code.len() == CODE_LEN {
                return None;
            }
            code.push(meant);
        }
        (code.len() == CODE_LEN).then(|| Self(Secret::new(std::mem::take(&mut *code))))
    }

    /// In groups, to be read aloud.
    #[must_use]
    pub fn shown(&self) -> Zeroizing<String> {
        let mut shown = Zeroizing::new(String::with_capacity(CODE_LEN + CODE_LEN / GROUP_LEN));
        for (at, letter) in self.0.expose().chars().enumerate() {
            if at > 0 && at % GROUP_LEN == 0 {
                shown.push(' ');
            }
            shown.push(letter);
        }
        shown
    }
}

impl std::fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkCode")
    }
}

impl<'a> Place<'a> {
    /// Where a link leads.
    #[must_use]
    pub fn of(link: &'a JoinLink) -> Self {
        let operator = OperatorKey::from_bytes(link.operator);
        Self { address: &link.address, gateway: &link.gateway, pin: link.pin, operator }
    }

    fn hash(&self) -> [u8; PLACE_LEN] {
        let mut context = Context::new(&SHA256);
        // None of these texts can hold the octet between them.
        for text in [self.address.to_string(), self.gateway.to_string()] {
            context.update(text.as_bytes());
            context.update(b"\0");
        }
        context.update(self.pin.as_bytes());
        context.update(self.operator.as_bytes());
        let mut hash = [0; PLACE_LEN];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// Seals an identity for the link that leads to `place`.
///
/// # Errors
/// When the code cannot be worked on.
pub fn seal_for<R: RngCore>(
    kept: &KeptIdentity,
    place: &Place<'_>,
    code: &LinkCode,
    cost: Cost,
    rng: &mut R,
) -> Result<Vec<u8>, LinkIdentityError> {
    let mut content = Zeroizing::new([0; CONTENT_LEN + PLACE_LEN]);
    content[..CONTENT_LEN].copy_from_slice(kept.content().as_ref());
    content[CONTENT_LEN..].copy_from_slice(&place.hash());
    let sealed = seal::seal(MAGIC, content.as_ref(), Opener::Passphrase(&code.0, cost), rng);
    sealed.map_err(|_| LinkIdentityError::NoMemory)
}

/// Opens the identity in the link that leads to `place`.
///
/// # Errors
/// When it is not intact, not of this code, or not for this place.
pub fn open_from(
    sealed: &[u8],
    place: &Place<'_>,
    code: &LinkCode,
    cost: Cost,
) -> Result<KeptIdentity, LinkIdentityError> {
    let content = seal::open(MAGIC, sealed, Opener::Passphrase(&code.0, cost)).map_err(|why| match why {
        SealError::WrongKey => LinkIdentityError::WrongCode,
        SealError::NoMemory => LinkIdentityError::NoMemory,
        SealError::Damaged | SealError::Newer => LinkIdentityError::Damaged,
    })?;
    let (keys, sealed_place) = content.split_at_checked(CONTENT_LEN).ok_or(LinkIdentityError::Damaged)?;
    if sealed_place != place.hash() {
        return Err(LinkIdentityError::OtherPlace);
    }
    KeptIdentity::from_content(keys).ok_or(LinkIdentityError::Damaged)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use undertone_config::MAX_SEALED_LEN;

    use super::*;

    #[test]
    fn an_identity_travels_sealed_and_opens_with_its_code_only() {
        let (mut rng, link) = (ChaCha20Rng::seed_from_u64(1), Link::default());
        let kept = KeptIdentity::generate(&mut rng);
        let code = LinkCode::draw(&mut rng);
        let sealed = seal_for(&kept, &link.place(), &code, Cost::TRIAL, &mut rng).unwrap();
        assert!(sealed.len() <= MAX_SEALED_LEN);
        let typed = LinkCode::read(&code.shown().to_lowercase()).unwrap();
        let opened = open_from(&sealed, &link.place(), &typed, Cost::TRIAL).unwrap();
        assert!(opened.identity.public() == kept.identity.public());
        assert_eq!(opened.contacts_key.expose(), kept.contacts_key.expose());
        let wrong = open_from(&sealed, &link.place(), &LinkCode::draw(&mut rng), Cost::TRIAL);
        assert_eq!(wrong.err(), Some(LinkIdentityError::WrongCode));
        let cut = open_from(&sealed[..sealed.len() - 1], &link.place(), &code, Cost::TRIAL);
        assert_eq!(cut.err(), Some(LinkIdentityError::Damaged));
    }

    #[test]
    fn an_identity_does_not_open_in_a_link_to_any_other_place() {
        let (mut rng, link) = (ChaCha20Rng::seed_from_u64(2), Link::default());
        let kept = KeptIdentity::generate(&mut rng);
        let code = LinkCode::draw(&mut rng);
        let sealed = seal_for(&kept, &link.place(), &code, Cost::TRIAL, &mut rng).unwrap();
        for changed in [
            Link { address: "mallory@gw.example".parse().unwrap(), ..Link::default() },
            Link { gateway: "evil.example:5061".parse().unwrap(), ..Link::default() },
            Link { pin: Pin::from_sha256([9; 32]), ..Link::default() },
            Link { operator: OperatorKey::from_bytes([9; 32]), ..Link::default() },
        ] {
            let opened = open_from(&sealed, &changed.place(), &code, Cost::TRIAL);
            assert_eq!(opened.err(), Some(LinkIdentityError::OtherPlace));
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it_and_never_printed() {
        let code = LinkCode::read("abcd-efgh ijkl 2345").unwrap();
        assert_eq!(code.shown().as_str(), "ABCD EFGH IJKL 2345");
        assert_eq!(LinkCode::read("0000 1111 8888 AAAA").unwrap().shown().as_str(), "OOOO IIII BBBB AAAA");
        for bad in ["", "ABCD EFGH IJKL 234", "ABCD EFGH IJKL 23456", "ABCD EFGH IJKL 239!", "ABCD EFGH IJKL 23é5"] {
            assert!(LinkCode::read(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{code:?}"), "LinkCode");
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        assert_ne!(LinkCode::draw(&mut rng).shown(), LinkCode::draw(&mut rng).shown());
    }

    struct Link {
        address: AccountAddress,
        gateway: HostPort,
        pin: Pin,
        operator: OperatorKey,
    }

    impl Default for Link {
        fn default() -> Self {
            Self {
                address: "alice@gw.example".parse().unwrap(),
                gateway: "gw.example:5061".parse().unwrap(),
                pin: Pin::from_sha256([3; 32]),
                operator: OperatorKey::from_bytes([4; 32]),
            }
        }
    }

    impl Link {
        fn place(&self) -> Place<'_> {
            Place { address: &self.address, gateway: &self.gateway, pin: self.pin, operator: self.operator }
        }
    }
}
