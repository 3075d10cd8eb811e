//! What a VFY1 run is bound to: the SRTP keys, both certificates as seen in the handshake, and the
//! addresses of both accounts. Also the two primitives everything here is made of, SHA-256 and HMAC.

use crate::dtls::Role;
use crate::keys::ExporterBlock;
use ring::{digest, hmac};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// SHA-256 over the concatenation of `parts`.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// HMAC-SHA-256 under `key` over the concatenation of `parts`.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// `CB`: names one DTLS association by its keys and both certificates. A relay that terminates DTLS
/// has two associations and so two different bindings.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ChannelBinding([u8; 32]);

impl ChannelBinding {
    /// From the exporter block and the certificates' SHA-256 as seen in the handshake.
    pub fn new(keys: &ExporterBlock, role: Role, local_fingerprint: &[u8; 32], peer_fingerprint: &[u8; 32]) -> Self {
        let (client, server) = match role {
            Role::Client => (local_fingerprint, peer_fingerprint),
            Role::Server => (peer_fingerprint, local_fingerprint),
        };
        let keys = mac(b"VFY1 channel", &[keys.expose()]);
        Self(hash(&[b"VFY1 cb", keys.as_ref(), client, server]))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelBinding")
    }
}

/// `adr`: the hash under which an account's address takes part, so that a gateway cannot route the
/// call to another honest account unnoticed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressHash([u8; 32]);

impl AddressHash {
    /// Of `user@domain`; letters are taken in lower case.
    pub fn of(address: &str) -> Self {
        Self(hash(&[b"VFY1 adr", address.to_ascii_lowercase().as_bytes()]))
    }

    pub(super) fn from_wire(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressHash")
    }
}
