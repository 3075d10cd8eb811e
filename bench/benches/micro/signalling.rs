//! SIP, SDP and digest of an ordinary call through our gateway.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use undertone_sip::digest::{Challenge, Credentials, ha1};
use undertone_sip::sdp::{Codec, Description, Fingerprint, Ice, Origin};
use undertone_sip::wire::{self, Message, Method};

const INVITE_HEAD: &str = "INVITE sip:bob@gw.example SIP/2.0\r\n\
    Via: SIP/2.0/TLS x.invalid;branch=z9hG4bK8f3a5c7e9b1d2f406182a4c6e8f0a2b4;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@gw.example>;tag=6c1f0e2d4b3a59687786a5b4\r\n\
    To: <sip:bob@gw.example>\r\n\
    Call-ID: 0f1e2d3c4b5a69788796a5b4c3d2e1f0\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:9c8b7a6f5e4d@x.invalid;transport=tls>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n\
    Supported: timer, outbound\r\n\
    Session-Expires: 1800\r\n\
    Content-Type: application/sdp\r\n";

pub(crate) fn benches(c: &mut Criterion) {
    let sdp = offer().to_bytes();
    let mut invite = format!("{INVITE_HEAD}Content-Length: {}\r\n\r\n", sdp.len()).into_bytes();
    invite.extend_from_slice(&sdp);
    let message: Message = wire::parse(&invite).unwrap();

    let mut group = c.benchmark_group("sip");
    group.throughput(Throughput::Bytes(invite.len() as u64));
    group.bench_function("parse INVITE with SDP", |b| b.iter(|| wire::parse(black_box(&invite)).is_ok()));
    let mut out = Vec::with_capacity(2 * invite.len());
    group.bench_function("write INVITE with SDP", |b| {
        b.iter(|| {
            out.clear();
            wire::write(black_box(&message), &mut out);
            out.len()
        });
    });
    group.throughput(Throughput::Bytes(sdp.len() as u64));
    group.bench_function("parse SDP offer", |b| b.iter(|| Description::parse(black_box(&sdp)).is_ok()));
    group.finish();

    let verifier = ha1("alice", "gw.example", "a generated password of 128 bits");
    let challenge = Challenge {
        realm: "gw.example".into(),
        nonce: "00112233445566778899aabbccddeeff".into(),
        opaque: None,
        stale: false,
    };
    let answer = challenge.answer("alice", &verifier, &Method::Register, "sip:gw.example", 1, "8f3a5c7e9b1d2f40");
    let text = answer.to_string();
    let mut group = c.benchmark_group("digest");
    group.bench_function("parse and verify SHA-256 credentials", |b| {
        b.iter(|| Credentials::parse(black_box(&text)).is_ok_and(|proof| proof.verify(&verifier, &Method::Register)));
    });
    group.finish();
}

/// What one of our phones offers.
fn offer() -> Description {
    let codecs = vec![Codec::red(112, 111), Codec::opus(111), Codec::telephone_event(101, 48_000)];
    let mut offer =
        Description::new(Origin { id: 0x1234_5678, version: 1 }, Fingerprint { sha256: [0xab; 32] }, codecs);
    offer.tls_id = Some("0123456789abcdef0123456789abcdef".into());
    offer.ice = Some(Ice {
        ufrag: "a1b2c3d4".into(),
        pwd: "0123456789abcdef01234567".into(),
        lite: false,
        candidates: Vec::new(),
    });
    offer.vfy = true;
    offer
}
