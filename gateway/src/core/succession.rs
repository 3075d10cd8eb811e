//! Succession: how phones learn the gateway's next key before it is in use.
//!
//! ```text
//! Undertone-Next-Pin: sha256:<43> serial=<number> sig=<86>
//! sig = Ed25519(operator, "undertone next pin" ‖ 0 ‖ domain in lower case ‖ 0 ‖ serial, 8 octets, big-endian ‖ pin)
//! ```
//! The operator's key is not on the gateway: whoever takes the gateway over can announce nothing. Phones know its
//! public half from their join link and keep the announcement with the highest serial.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use undertone_config::{Domain, OperatorKey, Pin};

/// Separates these signatures from anything else the key may ever sign.
const CONTEXT: &[u8] = b"undertone next pin\0";

/// Greatest serial: the store's integers are signed.
pub const MAX_SERIAL: u64 = i64::MAX as u64;

/// The gateway's next pin, signed by its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The next key's.
    pub pin: Pin,
    /// Grows with every announcement.
    pub serial: u64,
    /// The operator's signature.
    pub signature: [u8; 64],
}

/// The text is no announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no announcement; give the whole line that `undertone-gateway next-key sign` printed, in quotes")]
pub struct AnnouncementError;

impl Announcement {
    /// Signs a pin.
    pub fn sign(pin: Pin, serial: u64, domain: &Domain, operator: &Ed25519KeyPair) -> Self {
        let mut signature = [0; 64];
        signature.copy_from_slice(operator.sign(&message(&pin, serial, domain)).as_ref());
        Self { pin, serial, signature }
    }

    /// Whether this operator signed it for this domain.
    pub fn is_by(&self, operator: &OperatorKey, domain: &Domain) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, operator.as_bytes());
        key.verify(&message(&self.pin, self.serial, domain), &self.signature).is_ok()
    }
}

fn message(pin: &Pin, serial: u64, domain: &Domain) -> Vec<u8> {
    let domain = domain.as_str().to_ascii_lowercase();
    [CONTEXT, domain.as_bytes(), b"\0", &serial.to_be_bytes(), pin.as_bytes()].concat()
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} serial={} sig={}", self.pin, self.serial, URL_SAFE_NO_PAD.encode(self.signature))
    }
}

impl FromStr for Announcement {
    type Err = AnnouncementError;

    fn from_str(text: &str) -> Result<Self, AnnouncementError> {
        let mut words = text.split_whitespace();
        let mut next = |key| words.next().and_then(|word| word.strip_prefix(key)).ok_or(AnnouncementError);
        let pin = next("")?.parse().map_err(|_| AnnouncementError)?;
        let serial = next("serial=")?.parse().map_err(|_| AnnouncementError)?;
        let signature = URL_SAFE_NO_PAD.decode(next("sig=")?).map_err(|_| AnnouncementError)?;
        let signature = signature.try_into().map_err(|_| AnnouncementError)?;
        if serial > MAX_SERIAL || words.next().is_some() {
            return Err(AnnouncementError);
        }
        Ok(Self { pin, serial, signature })
    }
}

/// What phones and links are told of the gateway's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Succession {
    /// The operator's key, if there is one.
    pub operator: Option<OperatorKey>,
    /// The next key's announcement, while there is one.
    pub announcement: Option<Announcement>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::signature::KeyPair as _;

    #[test]
    fn an_announcement_survives_being_written_and_read_and_is_its_operators() {
        let made = announcement();
        let read: Announcement = made.to_string().parse().unwrap();
        assert_eq!(read, made);
        assert!(read.is_by(&public(&operator(1)), &domain("gw.example")));
        assert!(!read.is_by(&public(&operator(2)), &domain("gw.example")));
        assert!(!read.is_by(&public(&operator(1)), &domain("gw2.example")));
        assert_eq!(made.to_string().len(), "sha256:".len() + 43 + " serial=7 sig=".len() + 86);
    }

    #[test]
    fn one_changed_part_voids_the_signature() {
        let (key, domain) = (public(&operator(1)), domain("gw.example"));
        let other_pin = Announcement { pin: Pin::from_sha256([4; 32]), ..announcement() };
        let other_serial = Announcement { serial: 8, ..announcement() };
        let mut other_signature = announcement();
        other_signature.signature[63] ^= 1;
        for changed in [other_pin, other_serial, other_signature] {
            assert!(!changed.is_by(&key, &domain));
        }
    }

    #[test]
    fn the_signed_octets_are_those_of_the_specification() {
        let octets = message(&Pin::from_sha256([3; 32]), 0x0102, &domain("GW.example"));
        assert_eq!(octets, [&b"undertone next pin\0gw.example\0\0\0\0\0\0\0\x01\x02"[..], &[3; 32]].concat());
    }

    #[test]
    fn what_is_no_announcement_is_refused() {
        let good = announcement().to_string();
        for bad in [
            String::new(),
            good[..good.len() - 1].to_owned(),
            good.replace("serial=7", ""),
            good.replace("serial=7", "serial=-7"),
            good.replace("serial=7", "serial=9223372036854775808"),
            format!("{good} more"),
        ] {
            assert_eq!(bad.parse::<Announcement>(), Err(AnnouncementError), "{bad}");
        }
    }

    fn operator(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn public(key: &Ed25519KeyPair) -> OperatorKey {
        OperatorKey::from_bytes(key.public_key().as_ref().try_into().unwrap())
    }

    fn domain(text: &str) -> Domain {
        text.parse().unwrap()
    }

    fn announcement() -> Announcement {
        Announcement::sign(Pin::from_sha256([3; 32]), 7, &domain("gw.example"), &operator(1))
    }
}
