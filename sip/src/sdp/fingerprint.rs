//! Certificate fingerprints (RFC 8122 §5). Only SHA-256 is accepted.

use std::fmt;

/// The SHA-256 hash of the DTLS certificate a side will show.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Hash of the certificate's DER bytes.
    pub sha256: [u8; 32],
}

impl Fingerprint {
    /// Reads `AB:CD:…` (the part after the hash's name).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut sha256 = [0_u8; 32];
        let mut parts = text.split(':');
        for byte in &mut sha256 {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self { sha256 })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.sha256.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
