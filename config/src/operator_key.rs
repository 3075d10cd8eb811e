//! The public half of a gateway operator's key (Ed25519, RFC 8032), under which the gateway's next key is announced.
//!
//! Written as 43 characters of base64url without padding.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;

/// A public Ed25519 key. Whether it is a point of the curve shows when something is checked with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OperatorKey([u8; 32]);

/// Why a text is no operator's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "“{0}” is not an operator's key; it has 43 letters, digits, hyphens and underscores: join again with a new link"
)]
pub struct OperatorKeyError(String);

impl OperatorKey {
    /// From the 32 octets of the key.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The 32 octets of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for OperatorKey {
    type Err = OperatorKeyError;

    fn from_str(text: &str) -> Result<Self, OperatorKeyError> {
        let refuse = || OperatorKeyError(text.to_owned());
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refuse())?;
        Ok(Self(bytes.try_into().map_err(|_| refuse())?))
    }
}

impl fmt::Display for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_being_written_and_read_and_a_cut_one_is_refused() {
        let key = OperatorKey::from_bytes([0xa5; 32]);
        let text = key.to_string();
        assert_eq!((text.len(), text.parse::<OperatorKey>()), (43, Ok(key)));
        for bad in [&text[..42], "", "!", &format!("{text}A"), &format!("{text}=")] {
            assert!(bad.parse::<OperatorKey>().is_err(), "{bad:?}");
        }
    }
}
