//! The published vectors of RFC 7714 §16–17 and RFC 3711 appendix B, bit for bit.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::srtp::key_derivation::derive;

const RTP_PACKET: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361\
                          20696e207061727465732074726573";
const RTCP_PACKET: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                           deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const RTCP_INDEX: u32 = 0x5d4;

struct GcmVector {
    algorithm: &'static aead::Algorithm,
    srtp: &'static str,
    srtcp: &'static str,
}

const VECTORS: [GcmVector; 2] = [
    GcmVector {
        algorithm: &aead::AES_128_GCM,
        srtp: "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a\
               51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        srtcp: "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda\
                4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    },
    GcmVector {
        algorithm: &aead::AES_256_GCM,
        srtp: "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a02\
               76ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        srtcp: "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be\
                8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    },
];

#[test]
fn rfc_7714_section_16_srtp_packets_are_reproduced_and_opened() {
    for vector in &VECTORS {
        let cipher = vector.cipher();
        let plain = unhex(RTP_PACKET);
        let mut packet = plain.clone();
        packet.resize(plain.len() + 16, 0);
        let len = cipher.seal_rtp(&mut packet, 12, plain.len(), 0x5501_a0b2, 0xf17b);
        assert_eq!(packet[..len], unhex(vector.srtp));
        let len = cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap();
        assert_eq!(packet[..len], plain);
    }
}

#[test]
fn rfc_7714_section_17_srtcp_packets_are_reproduced_and_opened() {
    for vector in &VECTORS {
        let cipher = vector.cipher();
        let plain = unhex(RTCP_PACKET);
        let mut packet = plain.clone();
        packet.resize(plain.len() + 20, 0);
        let len = cipher.seal_rtcp(&mut packet, plain.len(), 0x4d61_7273, RTCP_INDEX);
        assert_eq!(packet[..len], unhex(vector.srtcp));
        let word = RtcpIndex { encrypted: true, index: RTCP_INDEX };
        assert_eq!(cipher.rtcp_index(&packet), Some(word));
        let len = cipher.open_rtcp(&mut packet, 0x4d61_7273, RTCP_INDEX).unwrap();
        assert_eq!(packet[..len], plain);
    }
}

#[test]
fn rfc_3711_appendix_b_2_key_stream_is_reproduced() {
    let key = Aes128::new(&Array::from(bytes::<16>("2b7e151628aed2a6abf7158809cf4f3c")));
    let iv = counter_mode_iv(&bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd"), 0, 0);
    let mut stream = vec![0; 0xff02 * BLOCK_LEN];
    apply_key_stream(&key, iv, &mut stream);
    let blocks = [
        (0, "e03ead0935c95e80e166b16dd92b4eb4"),
        (1, "d23513162b02d0f72a43a2fe4a5f97ab"),
        (2, "41e95b3bb0a2e8dd477901e4fca894c0"),
        (0xfeff, "ec8cdf7398607cb0f2d21675ea9ea1e4"),
        (0xff00, "362b7c3c6773516318a077d7fc5073ae"),
        (0xff01, "6a2cc3787889374fbeb4c81b17ba6c44"),
    ];
    for (number, expected) in blocks {
        assert_eq!(stream[number * BLOCK_LEN..][..BLOCK_LEN], unhex(expected), "block {number:x}");
    }
}

#[test]
fn rfc_3711_appendix_b_3_session_keys_are_reproduced() {
    let (key, salt) = (unhex("e1f97a0d3e018be0d64fa32c06de4139"), unhex("0ec675ad498afeebb6960b3aabe6"));
    let master = Master { key: &key, salt: &salt };
    let derived = |label, len| {
        let mut out = vec![0; len];
        derive(Profile::AesCm128HmacSha1_80, &master, label, &mut out);
        out
    };
    assert_eq!(derived(Label::RtpEncryption, 16), unhex("c61e7a93744f39ee10734afe3ff7a087"));
    assert_eq!(derived(Label::RtpSalt, 14), unhex("30cbbc08863d8c85d49db34a9ae1"));
    assert_eq!(
        derived(Label::RtpAuthentication, 94),
        unhex(
            "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175\
             578ef72270986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c\
             59bbfc2f34db60dbdfb2"
        )
    );
}

#[test]
fn rfc_6188_section_7_2_session_keys_of_256_bit_are_reproduced() {
    let key = unhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
    let salt = unhex("3b04803de51ee7c96423ab5b78d2");
    let master = Master { key: &key, salt: &salt };
    let mut out = [0; 32];
    derive(Profile::AeadAes256Gcm, &master, Label::RtpEncryption, &mut out);
    assert_eq!(out[..], unhex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
}

impl GcmVector {
    /// The vectors give session keys, so no derivation takes place.
    fn cipher(&self) -> Cipher {
        let key: Vec<u8> = (0..32).take(self.algorithm.key_len()).collect();
        Cipher::Gcm {
            key: LessSafeKey::new(UnboundKey::new(self.algorithm, &key).unwrap()),
            salt: Zeroizing::new(bytes("517569642070726f2071756f")),
        }
    }
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    unhex(hex).try_into().unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| u8::try_from(digit).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
