//! Key material of one association: wiped when dropped, never cloned, printed by name only.
//!
//! The DTLS exporter `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2) yields one block that is cut into
//! client key ‖ server key ‖ client salt ‖ server salt.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::dtls::Role;
use crate::srtp::Profile;

/// The label the exporter block is derived under (RFC 5764 §4.2).
pub const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Longest exporter block of any profile: two 32-byte keys, two 12-byte salts.
const MAX_BLOCK_LEN: usize = Profile::AeadAes256Gcm.exporter_len();

/// What the DTLS exporter yields for SRTP: the keys and salts of both directions.
///
/// The length always fits the profile it was made for.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ExporterBlock {
    #[zeroize(skip)]
    profile: Profile,
    bytes: [u8; MAX_BLOCK_LEN],
}

impl ExporterBlock {
    /// Copies exporter output; `None` if its length does not fit the profile.
    #[must_use]
    pub fn new(profile: Profile, exported: &[u8]) -> Option<Self> {
        if exported.len() != profile.exporter_len() {
            return None;
        }
        let mut bytes = [0; MAX_BLOCK_LEN];
        bytes[..exported.len()].copy_from_slice(exported);
        Some(Self { profile, bytes })
    }

    /// The profile whose keys these are.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The whole block, for the channel binding of the verification.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.bytes[..self.profile.exporter_len()]
    }

    /// The whole block, to be mixed with a post-quantum secret.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.profile.exporter_len()]
    }

    /// Master key and salt that protect what `sender` sends.
    pub(crate) fn master(&self, sender: Role) -> Master<'_> {
        let (key_len, salt_len) = (self.profile.key_len(), self.profile.salt_len());
        let (keys, salts) = self.expose().split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_salt, server_salt) = salts.split_at(salt_len);
        match sender {
            Role::Client => Master { key: client_key, salt: client_salt },
            Role::Server => Master { key: server_key, salt: server_salt },
        }
    }
}

impl std::fmt::Debug for ExporterBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExporterBlock")
    }
}

/// One direction's SRTP master key and master salt (RFC 3711 §3.2.1), borrowed from the block.
pub(crate) struct Master<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) salt: &'a [u8],
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_block_is_cut_into_client_key_server_key_client_salt_server_salt() {
        for profile in [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80] {
            let (key, salt) = (profile.key_len(), profile.salt_len());
            let mut exported = vec![1; key];
            exported.extend(vec![2; key]);
            exported.extend(vec![3; salt]);
            exported.extend(vec![4; salt]);
            let block = ExporterBlock::new(profile, &exported).unwrap();
            assert_eq!(block.master(Role::Client).key, vec![1; key]);
            assert_eq!(block.master(Role::Server).key, vec![2; key]);
            assert_eq!(block.master(Role::Client).salt, vec![3; salt]);
            assert_eq!(block.master(Role::Server).salt, vec![4; salt]);
        }
    }

    #[test]
    fn a_block_of_another_length_is_refused() {
        assert!(ExporterBlock::new(Profile::AeadAes256Gcm, &[0; 56]).is_none());
        assert!(ExporterBlock::new(Profile::AeadAes128Gcm, &[0; 60]).is_none());
    }

    #[test]
    fn printing_a_block_shows_no_key_byte() {
        let block = ExporterBlock::new(Profile::AeadAes128Gcm, &[0xab; 56]).unwrap();
        assert_eq!(format!("{block:?}"), "ExporterBlock");
    }
}
