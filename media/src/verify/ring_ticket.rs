//! The ring ticket: who may make a phone ring, told to that phone alone.
//!
//! ```text
//! ticket = pub(x) ‖ ChaCha20-Poly1305(key, aad, pub(idI) ‖ vouch)                      96 octets
//! key    = HKDF-SHA-256(ikm = X25519(x, idR), info = "VFY1 ring" ‖ pub(x))
//! vouch  = HMAC-SHA-256(X25519(idI, idR) ‖ the link's token if one is used, aad)[0..16]
//! aad    = SHA-256 of the offer's certificate ‖ tls-id ‖ minutes since 1970 (8 octets)
//! ```
//! It stands in the offer of every call through a gateway; a caller who does not know the callee's key sends
//! octets that nobody but the callee can tell from a ticket. A phone that rang, or answered in whatever way, for
//! anybody else would tell them that it is switched on, and show them its key.
//!
//! A token vouches only together with the key: who has got hold of a link cannot ring as somebody else whose public key
//! they know.
//!
//! The nonce is constant because each key is used once: `x` is drawn per ticket. Who records tickets and later steals
//! `idR` learns who called.

use super::channel::mac;
use super::exchange::InviteToken;
use super::identity::{IdentityKey, IdentityPublic};
use rand_core::RngCore;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// Octets of a ticket.
pub const RING_TICKET_LEN: usize = 96;
/// Octets that vouch for the caller.
const VOUCH_LEN: usize = 16;
/// What is sealed: the caller's key, and what vouches for it.
const INSIDE_LEN: usize = 32 + VOUCH_LEN;
/// What the key of a ticket is derived under.
const LABEL: &[u8] = b"VFY1 ring";

/// The offer a ticket belongs to: in any other one it is worth nothing.
#[derive(Debug, Clone, Copy)]
pub struct RingOffer<'a> {
    /// SHA-256 of the caller's certificate.
    pub fingerprint: &'a [u8; 32],
    /// Names the key agreement (RFC 8842); empty where the offer has none.
    pub tls_id: &'a str,
}

/// A ticket that was made for this phone and this offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedTicket {
    /// The key that the caller says to have, and must prove in the call.
    pub caller: IdentityPublic,
    /// What vouches for that before the call.
    pub voucher: Voucher,
}

/// What vouches for the caller of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// The caller owns the key.
    Key,
    /// The caller owns the key and knows the token with this index.
    Link(usize),
    /// Nothing that this phone knows: a link that was withdrawn, or a forgery.
    Nothing,
}

/// Makes a ticket for the owner of `callee`; `token` is that of the callee's link, until it has been used. `None` if
/// `callee` is no usable key. `rng` must be the system's (or a test's).
pub fn make<R: RngCore>(
    identity: &IdentityKey,
    callee: &IdentityPublic,
    token: Option<&InviteToken>,
    offer: RingOffer<'_>,
    utc_minute: u64,
    rng: &mut R,
) -> Option<[u8; RING_TICKET_LEN]> {
    let once = IdentityKey::generate(rng);
    let public = once.public();
    let key = ticket_key(&*once.agree(callee.as_bytes())?, public.as_bytes())?;
    let aad = aad(offer, utc_minute);
    let owned = identity.agree(callee.as_bytes())?;
    let vouch = match token {
        Some(token) => vouch_by_link(&owned, token, &aad),
        None => mac(owned.as_ref(), &[&aad]),
    };
    let mut inside = Zeroizing::new([0; INSIDE_LEN]);
    inside[..32].copy_from_slice(identity.public().as_bytes());
    inside[32..].copy_from_slice(&vouch[..VOUCH_LEN]);
    let tag = key.seal_in_place_separate_tag(nonce(), Aad::from(&aad), inside.as_mut()).ok()?;
    let mut ticket = [0; RING_TICKET_LEN];
    ticket[..32].copy_from_slice(public.as_bytes());
    ticket[32..32 + INSIDE_LEN].copy_from_slice(inside.as_ref());
    ticket[32 + INSIDE_LEN..].copy_from_slice(tag.as_ref());
    Some(ticket)
}

/// What is sent instead of a ticket where none can be made. It begins with a real public key: about half of all random
/// octets are none, which would give the others away.
pub fn filler<R: RngCore>(rng: &mut R) -> [u8; RING_TICKET_LEN] {
    let mut ticket = [0; RING_TICKET_LEN];
    let (public, sealed) = ticket.split_at_mut(32);
    public.copy_from_slice(IdentityKey::generate(rng).public().as_bytes());
    rng.fill_bytes(sealed);
    ticket
}

/// Opens what came in an offer; `None` if it was not made for this phone, this offer and one of these minutes, or in
/// whatever way is no ticket.
///
/// Takes the same time for a good ticket, for one whose link is not known, and for filler: else the moment at which a
/// silent phone goes on with its work would tell them apart.
pub fn open(
    identity: &IdentityKey,
    ticket: &[u8],
    offer: RingOffer<'_>,
    utc_minutes: impl IntoIterator<Item = u64>,
    tokens: &[InviteToken],
) -> Option<OpenedTicket> {
    let ticket: &[u8; RING_TICKET_LEN] = ticket.try_into().ok()?;
    let (public, sealed) = ticket.split_first_chunk::<32>()?;
    let key = ticket_key(&*identity.agree(public)?, public)?;
    // Where it does not open, what follows is done with the ticket's outside, to no end.
    let mut inside = Zeroizing::new([0; INSIDE_LEN]);
    inside.copy_from_slice(&ticket[..INSIDE_LEN]);
    let mut bound = aad(offer, 0);
    let mut is_open = false;
    for minute in utc_minutes {
        let aad = aad(offer, minute);
        let mut sealed = Zeroizing::new(sealed.to_vec());
        if let Ok(opened) = key.open_in_place(nonce(), Aad::from(&aad), &mut sealed) {
            inside.copy_from_slice(opened);
            bound = aad;
            is_open = true;
        }
    }
    let (caller, vouch) = inside.split_first_chunk::<32>()?;
    let owned = identity.agree(caller)?;
    let by_key = bool::from(mac(owned.as_ref(), &[&bound])[..VOUCH_LEN].ct_eq(vouch));
    let mut link = u64::MAX;
    for (index, token) in (0_u64..).zip(tokens) {
        let known = vouch_by_link(&owned, token, &bound)[..VOUCH_LEN].ct_eq(vouch);
        link.conditional_assign(&index, known);
    }
    let voucher = match usize::try_from(link) {
        _ if by_key => Voucher::Key,
        Ok(index) if index < tokens.len() => Voucher::Link(index),
        Ok(_) | Err(_) => Voucher::Nothing,
    };
    let is_own = caller == identity.public().as_bytes();
    (is_open && !is_own).then(|| OpenedTicket { caller: IdentityPublic::from_bytes(*caller), voucher })
}

fn aad(offer: RingOffer<'_>, utc_minute: u64) -> Vec<u8> {
    [offer.fingerprint.as_slice(), offer.tls_id.as_bytes(), &utc_minute.to_be_bytes()].concat()
}

/// Only who has both the key and the token can make this.
fn vouch_by_link(owned: &[u8; 32], token: &InviteToken, aad: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 64]);
    key[..32].copy_from_slice(owned);
    key[32..].copy_from_slice(token.expose());
    mac(key.as_ref(), &[aad])
}

fn ticket_key(shared: &[u8; 32], public: &[u8; 32]) -> Option<LessSafeKey> {
    let info = [LABEL, public];
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(shared);
    let key: UnboundKey = key.expand(&info, &CHACHA20_POLY1305).ok()?.into();
    Some(LessSafeKey::new(key))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use curve25519_dalek::MontgomeryPoint;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const OFFER: RingOffer<'_> = RingOffer { fingerprint: &[7; 32], tls_id: "aTlsIdOf20Characters" };
    const MINUTE: u64 = 29_929_440;

    #[test]
    fn a_ticket_names_its_maker_to_its_callee_only() {
        let [alice, bob, carol] = people();
        let ticket = make(&alice, &bob.public(), None, OFFER, MINUTE, &mut rng(1)).unwrap();
        let opened = open_at(&bob, &ticket, MINUTE, &[]).unwrap();
        assert_eq!(opened, OpenedTicket { caller: alice.public(), voucher: Voucher::Key });
        assert_eq!(open_at(&carol, &ticket, MINUTE, &[]), None);
        assert_eq!(open_at(&alice, &ticket, MINUTE, &[]), None, "nor to its maker");
    }

    #[test]
    fn a_token_vouches_for_a_caller_who_is_not_known_yet() {
        let [alice, bob, _] = people();
        let tokens = [token(1), token(2), token(3)];
        for index in [0, 1, 2] {
            let ticket = make(&alice, &bob.public(), Some(&tokens[index]), OFFER, MINUTE, &mut rng(2)).unwrap();
            let opened = open_at(&bob, &ticket, MINUTE, &tokens).unwrap();
            assert_eq!(opened, OpenedTicket { caller: alice.public(), voucher: Voucher::Link(index) });
            assert_eq!(open_at(&bob, &ticket, MINUTE, &[token(9)]).unwrap().voucher, Voucher::Nothing);
        }
    }

    #[test]
    fn nobody_can_vouch_for_a_key_that_is_not_theirs() {
        let [alice, bob, mallory] = people();
        let (aad, token) = (aad(OFFER, MINUTE), token(1));
        // Mallory knows everything but Alice's secret, the token of a link included.
        let owned = mallory.agree(bob.public().as_bytes()).unwrap();
        let vouches = [
            mac(owned.as_ref(), &[&aad]),
            mac(token.expose(), &[&aad]),
            vouch_by_link(&owned, &token, &aad),
            vouch_by_link(&[0; 32], &token, &aad),
        ];
        for vouch in vouches {
            let once = IdentityKey::generate(&mut rng(3));
            let key = ticket_key(&once.agree(bob.public().as_bytes()).unwrap(), once.public().as_bytes()).unwrap();
            let mut sealed = [alice.public().as_bytes().as_slice(), &vouch[..VOUCH_LEN]].concat();
            let tag = key.seal_in_place_separate_tag(nonce(), Aad::from(&aad), &mut sealed).unwrap();
            let ticket = [once.public().as_bytes().as_slice(), &sealed, tag.as_ref()].concat();
            let opened = open_at(&bob, &ticket, MINUTE, std::slice::from_ref(&token)).unwrap();
            assert_eq!(opened, OpenedTicket { caller: alice.public(), voucher: Voucher::Nothing });
        }
    }

    #[test]
    fn a_change_of_any_bit_makes_it_no_ticket() {
        let [alice, bob, _] = people();
        let tokens = [token(1)];
        for token in [None, Some(&tokens[0])] {
            let ticket = make(&alice, &bob.public(), token, OFFER, MINUTE, &mut rng(4)).unwrap();
            for bit in 0..RING_TICKET_LEN * 8 {
                let mut changed = ticket;
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open_at(&bob, &changed, MINUTE, &tokens), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_ticket_is_worth_nothing_two_minutes_earlier_or_later_or_in_another_offer() {
        let [alice, bob, _] = people();
        let ticket = make(&alice, &bob.public(), None, OFFER, MINUTE, &mut rng(5)).unwrap();
        for (minute, opens) in [(MINUTE - 2, false), (MINUTE - 1, true), (MINUTE + 1, true), (MINUTE + 2, false)] {
            assert_eq!(open_at(&bob, &ticket, minute, &[]).is_some(), opens, "{minute}");
        }
        for other in [
            RingOffer { fingerprint: &[8; 32], ..OFFER },
            RingOffer { tls_id: "another", ..OFFER },
            RingOffer { tls_id: "", ..OFFER },
        ] {
            assert_eq!(open(&bob, &ticket, other, [MINUTE], &[]), None, "{other:?}");
        }
    }

    #[test]
    fn keys_of_low_order_and_the_callees_own_are_refused() {
        let [alice, bob, _] = people();
        for low in low_order() {
            assert_eq!(make(&alice, &IdentityPublic::from_bytes(low), None, OFFER, MINUTE, &mut rng(6)), None);
            let mut ticket = make(&alice, &bob.public(), None, OFFER, MINUTE, &mut rng(6)).unwrap();
            ticket[..32].copy_from_slice(&low);
            assert_eq!(open_at(&bob, &ticket, MINUTE, &[]), None);
        }
        let to_oneself = make(&bob, &bob.public(), None, OFFER, MINUTE, &mut rng(6)).unwrap();
        assert_eq!(open_at(&bob, &to_oneself, MINUTE, &[]), None);
    }

    #[test]
    fn filler_looks_like_a_ticket_and_opens_nowhere() {
        let [_, bob, _] = people();
        for seed in 0..40 {
            let filler = filler(&mut rng(seed));
            assert_eq!(open_at(&bob, &filler, MINUTE, &[]), None);
            assert!(can_be_a_public_key(&filler[..32]), "{seed}");
        }
        let random = (0..40).filter(|seed| {
            let mut octets = [0; 32];
            rng(*seed).fill_bytes(&mut octets);
            can_be_a_public_key(&octets)
        });
        assert!(random.count() < 15, "random octets would be told apart");
    }

    #[test]
    fn what_has_another_length_is_no_ticket() {
        let [alice, bob, _] = people();
        let ticket = make(&alice, &bob.public(), None, OFFER, MINUTE, &mut rng(7)).unwrap();
        for len in 0..RING_TICKET_LEN {
            assert_eq!(open_at(&bob, &ticket[..len], MINUTE, &[]), None);
        }
        assert_eq!(open_at(&bob, &[ticket.as_slice(), &[0]].concat(), MINUTE, &[]), None);
    }

    fn open_at(identity: &IdentityKey, ticket: &[u8], minute: u64, tokens: &[InviteToken]) -> Option<OpenedTicket> {
        open(identity, ticket, OFFER, [minute - 1, minute, minute + 1], tokens)
    }

    fn people() -> [IdentityKey; 3] {
        [11, 12, 13].map(|seed| IdentityKey::generate(&mut rng(seed)))
    }

    fn token(octet: u8) -> InviteToken {
        InviteToken::new([octet; 32])
    }

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    /// 0, 1, and a point of order 8.
    fn low_order() -> [[u8; 32]; 3] {
        let mut one = [0; 32];
        one[0] = 1;
        let order_8 = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
            0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ];
        [[0; 32], one, order_8]
    }

    /// As an attacker would look: whether the octets can be a public key at all. Octets on the twist, or with a part
    /// of small order, are none.
    fn can_be_a_public_key(octets: &[u8]) -> bool {
        let point = MontgomeryPoint(octets.try_into().unwrap());
        octets[31] < 128 && point.to_edwards(0).is_some_and(|point| point.is_torsion_free())
    }
}
