//! What stands where a ring ticket is expected. The input is 8 octets of time, 32 of a fingerprint, the ticket, and
//! 20 octets or fewer of a tls-id.

use undertone_media::verify::ring_ticket::{RING_TICKET_LEN, RingOffer, Voucher, open};
use undertone_media::verify::{IdentityKey, InviteToken};

/// Octets before the ticket.
const BEFORE: usize = 40;
/// Longest tls-id that is looked at.
const TLS_ID: usize = 20;

/// Panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let (callee, caller) = (IdentityKey::from_bytes(&[1; 32]), IdentityKey::from_bytes(&[2; 32]));
    let tokens = [InviteToken::new([3; 32]), InviteToken::new([4; 32])];
    let Some((minute, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some((fingerprint, rest)) = rest.split_first_chunk::<32>() else { return };
    let minute = u64::from_be_bytes(*minute);
    let (ticket, tls_id) = rest.split_at(rest.len().min(RING_TICKET_LEN));
    let tls_id = String::from_utf8_lossy(&tls_id[..tls_id.len().min(TLS_ID)]);
    let offer = RingOffer { fingerprint, tls_id: &tls_id };
    let around = [minute.wrapping_sub(1), minute, minute.wrapping_add(1)];
    let Some(opened) = open(&callee, ticket, offer, around, &tokens) else { return };
    assert_eq!(opened.caller, caller.public(), "a forged ticket opened");
    assert_ne!(opened.voucher, Voucher::Nothing, "the corpus holds good ones only");
    assert!(bytes.len() >= BEFORE + RING_TICKET_LEN);
    for at in 0..RING_TICKET_LEN {
        let mut changed = ticket.to_vec();
        changed[at] ^= 1;
        assert!(open(&callee, &changed, offer, around, &tokens).is_none(), "octet {at} may be changed");
    }
}
