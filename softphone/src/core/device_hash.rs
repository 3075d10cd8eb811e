//! What a gateway knows a device by: SHA-256 of the public half of its key (SubjectPublicKeyInfo in DER).

use std::fmt;
use std::str::FromStr;

/// Octets of the hash.
const LEN: usize = 32;

/// A device of an account. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceHash([u8; LEN]);

/// Not 64 small hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the name of a device: `undertone device list` shows them")]
pub struct NoDeviceHash;

impl DeviceHash {
    /// From the 32 octets.
    #[must_use]
    pub fn from_sha256(hash: [u8; LEN]) -> Self {
        Self(hash)
    }
}

impl FromStr for DeviceHash {
    type Err = NoDeviceHash;

    fn from_str(text: &str) -> Result<Self, NoDeviceHash> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 2 * LEN || !text.bytes().all(is_digit) {
            return Err(NoDeviceHash);
        }
        let mut hash = [0; LEN];
        for (octet, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *octet = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| NoDeviceHash)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for DeviceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for DeviceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceHash")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written_and_nothing_else_is_one() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(text.parse::<DeviceHash>().unwrap().to_string(), text);
        for bad in ["", &text[1..], &text.to_uppercase(), &format!("{text}0"), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(bad.parse::<DeviceHash>(), Err(NoDeviceHash), "{bad}");
        }
    }
}
