//! What must hold for any bytes taken as a session description.

use undertone_sip::sdp::{Capabilities, Codec, Description, Direction, Fingerprint, Origin, answer, conclude};

/// Reading never panics; what was read is written and read again without loss; an answer, where there
/// is one, fits the offer on both sides.
pub fn check(bytes: &[u8]) {
    let Ok(offer) = Description::parse(bytes) else { return };
    let again = Description::parse(&offer.to_bytes()).expect("what was written can be read");
    assert!(again == offer, "{again:?} is not {offer:?}");
    let Ok(reply) = answer(&offer, &capabilities()) else { return };
    assert!(Description::parse(&reply.to_bytes()).expect("an answer can be read") == reply);
    let ours = conclude(&offer, &reply, false).expect("our answer fits");
    let theirs = conclude(&offer, &reply, true).expect("our answer fits");
    assert_ne!(ours.role, theirs.role);
    assert_eq!(ours.payloads, theirs.payloads);
}

fn capabilities() -> Capabilities {
    Capabilities {
        origin: Origin { id: 1, version: 1 },
        address: None,
        port: 9,
        fingerprint: Fingerprint { sha256: [7; 32] },
        tls_id: None,
        ice: None,
        codecs: vec![Codec::red(112, 111), Codec::opus(111), Codec::telephone_event(101, 8_000)],
        start_dtls: true,
        direction: Direction::SendRecv,
        vfy: true,
        pq: true,
        ptime_ms: 20,
    }
}
