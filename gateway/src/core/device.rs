//! Devices: how the gateway knows a phone that has no password.
//!
//! A phone proves a key of its own with a TLS client certificate (RFC 8446 §4.4.2); all that is kept of it is the
//! SHA-256 of that key. The hash is no secret: it opens nothing without the key, so it is compared as any other value.

use std::fmt::{self, Write as _};

use ring::digest;

/// SHA-256 of a device's SubjectPublicKeyInfo (DER), proven by the handshake of its flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceHash([u8; 32]);

impl DeviceHash {
    /// The hash of a key, given as SubjectPublicKeyInfo in DER.
    pub fn of_key(spki: &[u8]) -> Self {
        Self(sha256(spki))
    }

    /// A hash read from the store.
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The 32 octets.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.chars().map_while(|c| c.to_digit(16)?.try_into().ok()).collect();
        if text.len() != 64 || digits.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (octet, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = pair[0] << 4 | pair[1];
        }
        Some(Self(hash))
    }

    /// 64 hexadecimal digits, for the account's own devices and its operator.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, octet| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        })
    }
}

/// It identifies a person's phone, so it stays out of logs.
impl fmt::Debug for DeviceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceHash")
    }
}

pub(super) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_being_written_and_read_and_does_not_show() {
        let hash = DeviceHash::of_key(b"key");
        assert_eq!(DeviceHash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(DeviceHash::from_hex(&hash.to_hex().to_uppercase()), Some(hash));
        assert_ne!(hash, DeviceHash::of_key(b"yek"));
        assert_eq!(format!("{hash:?}"), "DeviceHash");
    }

    #[test]
    fn what_is_no_hash_is_none() {
        let good = DeviceHash::of_key(b"key").to_hex();
        for bad in ["", &good[1..], &format!("{good}0"), &format!("g{}", &good[1..]), &format!("ä{}", &good[2..])] {
            assert_eq!(DeviceHash::from_hex(bad), None, "{bad}");
        }
    }
}
