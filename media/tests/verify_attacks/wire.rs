//! VFY1 once more, written from `docs/verification.md` alone: what somebody in between needs, who holds both
//! associations' keys and an account of his own, and is bound by nothing the product's code would insist on.

use rand_core::RngCore;
use ring::{digest, hmac};
use x25519_dalek::{PublicKey, StaticSecret};

/// `caps` of a phone that speaks VFY1 and no ML-KEM.
pub(crate) const CAPS: [u8; 4] = [0, 0, 0, 1];
/// Octets before the body of a message.
const HEADER: usize = 8;

/// One of the relay's key pairs; the public half is computed once.
#[derive(Clone)]
pub(crate) struct Pair {
    secret: StaticSecret,
    pub(crate) public: [u8; 32],
}

/// Long-term key, capabilities and address, as M2 and M3 carry them.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) identity: Pair,
    pub(crate) capabilities: [u8; 4],
    pub(crate) address: [u8; 32],
}

/// The relay as caller towards one phone.
pub(crate) struct Caller {
    pub(crate) cb: [u8; 32],
    pub(crate) ephemeral: Pair,
    pub(crate) random: [u8; 32],
    pub(crate) claim: Claim,
}

/// The relay as callee towards one phone.
pub(crate) struct Callee {
    pub(crate) cb: [u8; 32],
    pub(crate) ephemeral: Pair,
    pub(crate) random: [u8; 32],
    pub(crate) claim: Claim,
}

pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().unwrap()
}

pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().try_into().unwrap()
}

/// `adr`.
fn address(text: &str) -> [u8; 32] {
    hash(&[b"VFY1 adr", text.as_bytes()])
}

/// The 32 bits that the words of this transcript stand for.
pub(crate) fn words(transcript: &[u8; 32]) -> [u8; 4] {
    *mac(transcript, &[b"VFY1 sas"]).first_chunk().unwrap()
}

/// `T` of these messages: M1 as it was on the wire, of M2 and M3 what goes in.
pub(crate) fn transcript(cb: &[u8; 32], m1: &[u8], core2: &[u8], revealed: &[u8]) -> [u8; 32] {
    hash(&[cb, m1, core2, revealed])
}

/// The part of M2 that goes into `T`.
pub(crate) fn core2(m2: &[u8]) -> &[u8] {
    &m2[HEADER..HEADER + 132]
}

/// The part of M3 that goes into `T`.
pub(crate) fn revealed(m3: &[u8]) -> &[u8] {
    &m3[HEADER..HEADER + 100]
}

fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [b"VFY1", &[kind, 0][..], &length, &body].concat()
}

impl Pair {
    pub(crate) fn draw(rng: &mut impl RngCore) -> Self {
        let secret = StaticSecret::from(random(rng));
        Self { public: PublicKey::from(&secret).to_bytes(), secret }
    }

    fn agree(&self, peer: &[u8]) -> [u8; 32] {
        let peer: [u8; 32] = peer.try_into().unwrap();
        self.secret.diffie_hellman(&PublicKey::from(peer)).to_bytes()
    }
}

impl Claim {
    /// This key at this address, with what a phone of ours can do.
    pub(crate) fn of(identity: Pair, text: &str) -> Self {
        Self { identity, capabilities: CAPS, address: address(text) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.identity.public[..], &self.capabilities, &self.address].concat()
    }
}

impl Caller {
    /// Everything of M3 that goes into `T`.
    pub(crate) fn reveals(&self) -> Vec<u8> {
        [&self.random[..], &self.claim.bytes()].concat()
    }

    pub(crate) fn first(&self) -> Vec<u8> {
        frame(1, &[&self.ephemeral.public, &commitment(&self.cb, &self.reveals())])
    }

    /// `T` if it opens its commitment so.
    pub(crate) fn transcript(&self, m1: &[u8], m2: &[u8]) -> [u8; 32] {
        transcript(&self.cb, m1, core2(m2), &self.reveals())
    }

    pub(crate) fn third(&self, m1: &[u8], m2: &[u8]) -> Vec<u8> {
        let shared = self.claim.identity.agree(&m2[HEADER..HEADER + 32]);
        let tag = tag(&self.cb, b"I", &shared, &[&self.transcript(m1, m2), &[0; 16]]);
        frame(3, &[&self.reveals(), &[0; 16], &tag])
    }
}

impl Callee {
    fn core2(&self) -> Vec<u8> {
        [&self.ephemeral.public[..], &self.random, &self.claim.bytes()].concat()
    }

    pub(crate) fn second(&self, m1: &[u8]) -> Vec<u8> {
        let shared = self.claim.identity.agree(&m1[HEADER..HEADER + 32]);
        let core2 = self.core2();
        frame(2, &[&core2, &tag(&self.cb, b"R", &shared, &[m1, &core2])])
    }

    /// As far as it goes into `T`.
    pub(crate) fn second_without_tag(&self) -> Vec<u8> {
        frame(2, &[&self.core2()])
    }

    /// `T` if the caller reveals this.
    pub(crate) fn transcript(&self, m1: &[u8], revealed: &[u8]) -> [u8; 32] {
        transcript(&self.cb, m1, &self.core2(), revealed)
    }

    /// Whether M3 proves that the caller owns the key it shows.
    pub(crate) fn believes(&self, m1: &[u8], m3: &[u8]) -> bool {
        let shared = self.ephemeral.agree(&m3[HEADER + 32..HEADER + 64]);
        let (inv, shown) = m3[HEADER + 100..].split_at(16);
        tag(&self.cb, b"I", &shared, &[&self.transcript(m1, revealed(m3)), inv]) == shown
    }

    /// Whether M3 reveals what M1 committed to.
    pub(crate) fn was_committed(&self, m1: &[u8], m3: &[u8]) -> bool {
        commitment(&self.cb, revealed(m3)) == m1[HEADER + 32..]
    }

    pub(crate) fn fourth(&self, m1: &[u8], m3: &[u8]) -> Vec<u8> {
        let transcript = self.transcript(m1, revealed(m3));
        frame(4, &[&mac(&mac(&self.cb, &[b"VFY1 done"]), &[&transcript])])
    }
}

fn commitment(cb: &[u8; 32], reveals: &[u8]) -> [u8; 32] {
    hash(&[b"VFY1 commit", cb, reveals])
}

fn tag(cb: &[u8; 32], who: &[u8], shared: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    mac(&mac(cb, &[b"VFY1 auth", who, shared]), parts)
}

pub(crate) fn random(rng: &mut impl RngCore) -> [u8; 32] {
    let mut out = [0; 32];
    rng.fill_bytes(&mut out);
    out
}
