//! The gateway's next key, as its operator announces it: what makes a phone take another key than the one it was given.
//!
//! ```text
//!   Undertone-Next-Pin: sha256:… serial=7 sig=…        in the 200 to REGISTER
//!   sig = Ed25519 (RFC 8032) of  "undertone next pin\0" ‖ domain ‖ "\0" ‖ serial (8 octets, big-endian) ‖ pin (32)
//! ```
//! The operator's key came with the link by which the account joined, and its private half is not on the gateway: who
//! takes the gateway over cannot announce anything. What is not signed is counted and changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use undertone_config::{AnnouncedPin, OperatorKey};
use undertone_sip::wire::Headers;

/// The header that carries an announcement.
pub const NEXT_PIN_HEADER: &str = "Undertone-Next-Pin";
/// What a signature is for, so that it is good for nothing else.
const PURPOSE: &[u8] = b"undertone next pin\0";

/// What the operator has announced so far.
#[derive(Debug)]
pub struct Announcements {
    domain: String,
    operator: OperatorKey,
    newest: Option<u64>,
    counters: Counters,
}

/// What was ignored, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// No announcement at all.
    pub malformed: u64,
    /// Not signed by the operator.
    pub not_signed: u64,
}

/// What came of the headers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// A key to be kept.
    Announced(AnnouncedPin),
    /// Somebody announces a key in the operator's name; told once.
    NotSigned,
}

impl Announcements {
    /// Listens for announcements of `operator` for the gateway of `domain`, newer than `newest`.
    #[must_use]
    pub fn new(domain: &str, operator: OperatorKey, newest: Option<u64>) -> Self {
        Self { domain: domain.to_ascii_lowercase(), operator, newest, counters: Counters::default() }
    }

    /// What was ignored so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Looks for an announcement in an answer of the gateway.
    pub fn hear(&mut self, headers: &Headers) -> Heard {
        let found = headers.iter().find(|(name, _)| name.as_str().eq_ignore_ascii_case(NEXT_PIN_HEADER));
        let Some((_, value)) = found else { return Heard::Nothing };
        let Some((announced, signature)) = read(value) else {
            self.counters.malformed += 1;
            return Heard::Nothing;
        };
        let message = signed_text(&self.domain, announced);
        let operator = UnparsedPublicKey::new(&ED25519, self.operator.as_bytes());
        if operator.verify(&message, &signature).is_err() {
            self.counters.not_signed += 1;
            return if self.counters.not_signed == 1 { Heard::NotSigned } else { Heard::Nothing };
        }
        if self.newest.is_some_and(|newest| announced.serial <= newest) {
            return Heard::Nothing;
        }
        self.newest = Some(announced.serial);
        Heard::Announced(announced)
    }
}

/// The octets that the operator signs.
fn signed_text(domain: &str, announced: AnnouncedPin) -> Vec<u8> {
    [PURPOSE, domain.as_bytes(), b"\0", &announced.serial.to_be_bytes(), announced.pin.as_bytes()].concat()
}

/// Exactly what an operator's command writes, nothing like it.
fn read(value: &str) -> Option<(AnnouncedPin, Vec<u8>)> {
    let mut words = value.split(' ');
    let (pin, serial, signature) = (words.next()?, words.next()?, words.next()?);
    let digits = serial.strip_prefix("serial=")?;
    let announced = AnnouncedPin { pin: pin.parse().ok()?, serial: digits.parse().ok()? };
    let signature = URL_SAFE_NO_PAD.decode(signature.strip_prefix("sig=")?).ok()?;
    let is_exact = words.next().is_none() && digits == announced.serial.to_string() && pin == announced.pin.to_string();
    (is_exact && signature.len() == ED25519_SIGNATURE_LEN).then_some((announced, signature))
}

/// RFC 8032 §5.1.6.
const ED25519_SIGNATURE_LEN: usize = 64;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use undertone_config::Pin;
    use undertone_sip::wire::HeaderName;

    use super::*;

    const DOMAIN: &str = "gw.example";

    #[test]
    fn what_the_operator_signed_is_taken_once_and_nothing_older_after_it() {
        let mut announcements = listening(None);
        let second = announcement(DOMAIN, 2, &signer());
        assert_eq!(announcements.hear(&headers(&second)), Heard::Announced(announced(2)));
        for value in [&second, &announcement(DOMAIN, 1, &signer())] {
            assert_eq!(announcements.hear(&headers(value)), Heard::Nothing);
        }
        let third = headers(&announcement(DOMAIN, 3, &signer()));
        assert_eq!(announcements.hear(&third), Heard::Announced(announced(3)));
        assert_eq!(listening(Some(3)).hear(&third), Heard::Nothing, "kept from an earlier run");
        assert_eq!(announcements.hear(&Headers::new()), Heard::Nothing);
        assert_eq!(announcements.counters(), Counters::default());
    }

    #[test]
    fn another_signer_domain_pin_or_number_changes_nothing_and_is_told_once() {
        let good = announcement(DOMAIN, 7, &signer());
        let other_pin = Pin::from_sha256([8; 32]).to_string();
        let forged = [
            announcement(DOMAIN, 7, &Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()),
            announcement("other.example", 7, &signer()),
            good.replace("serial=7", "serial=8"),
            good.replace(&announced(7).pin.to_string(), &other_pin),
        ];
        let mut announcements = listening(None);
        let heard: Vec<Heard> = forged.iter().map(|value| announcements.hear(&headers(value))).collect();
        assert_eq!(heard, [Heard::NotSigned, Heard::Nothing, Heard::Nothing, Heard::Nothing]);
        assert_eq!(announcements.counters(), Counters { malformed: 0, not_signed: 4 });
        assert_eq!(announcements.hear(&headers(&good)), Heard::Announced(announced(7)), "the true one still counts");
    }

    #[test]
    fn only_the_exact_form_is_read() {
        let good = announcement(DOMAIN, 7, &signer());
        let mut announcements = listening(None);
        let wrong = [
            String::new(),
            good.replace(' ', "  "),
            good.replace("serial=7", "serial=07"),
            good.replace("serial=7", "serial=+7"),
            good.replace("serial=7", "serial=18446744073709551616"),
            good.replace("sha256:", "sha1:"),
            format!("{good} x"),
            good[..good.len() - 1].to_owned(),
            format!("{good}A"),
            good.replace("sig=", "signature="),
        ];
        for value in &wrong {
            assert_eq!(announcements.hear(&headers(value)), Heard::Nothing, "{value}");
        }
        assert_eq!(announcements.counters(), Counters { malformed: wrong.len() as u64, not_signed: 0 });
        let any_case = Headers::from_iter([(HeaderName::Other("undertone-next-pin".into()), good)]);
        assert_eq!(announcements.hear(&any_case), Heard::Announced(announced(7)));
    }

    fn signer() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap()
    }

    fn listening(newest: Option<u64>) -> Announcements {
        let public = signer().public_key().as_ref().try_into().unwrap();
        Announcements::new("GW.example", OperatorKey::from_bytes(public), newest)
    }

    fn announced(serial: u64) -> AnnouncedPin {
        AnnouncedPin { pin: Pin::from_sha256([5; 32]), serial }
    }

    fn announcement(domain: &str, serial: u64, signer: &Ed25519KeyPair) -> String {
        let announced = announced(serial);
        let mut text = b"undertone next pin\0".to_vec();
        text.extend_from_slice(domain.as_bytes());
        text.push(0);
        text.extend_from_slice(&serial.to_be_bytes());
        text.extend_from_slice(&[5; 32]);
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(&text));
        format!("{} serial={serial} sig={signature}", announced.pin)
    }

    fn headers(value: &str) -> Headers {
        Headers::from_iter([(HeaderName::Other(NEXT_PIN_HEADER.into()), value.to_owned())])
    }
}
