//! The pin of a gateway: SHA-256 of its public key (SubjectPublicKeyInfo, as in RFC 7469 §2.4).
//!
//! A pin names the key, not the certificate, so it stays the same when the certificate is renewed.
//! Written as `sha256:` and 43 characters of base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;

/// What a written pin starts with: the name of its hash.
const PREFIX: &str = "sha256:";

/// SHA-256 of a SubjectPublicKeyInfo in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// Why a text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is not a gateway's pin; copy the whole text from “sha256:” on, as `undertone-gateway pin` prints it")]
pub struct PinError(String);

impl Pin {
    /// From the 32 octets of the hash.
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The 32 octets of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let refuse = || PinError(text.to_owned());
        let encoded = text.trim().strip_prefix(PREFIX).ok_or_else(refuse)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| refuse())?;
        Ok(Self(bytes.try_into().map_err(|_| refuse())?))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_survives_being_written_and_read() {
        let pin = Pin::from_sha256([0xa5; 32]);
        assert_eq!(pin.to_string().parse::<Pin>().expect("valid"), pin);
    }

    #[test]
    fn a_truncated_or_foreign_pin_is_refused() {
        let whole = Pin::from_sha256([7; 32]).to_string();
        for bad in [&whole[..whole.len() - 1], "", "sha256:", "sha1:AAAA", "sha256:!!!!"] {
            assert!(bad.parse::<Pin>().is_err(), "{bad:?}");
        }
    }
}
