//! One direction's cipher for RTP or for RTCP: AES-GCM (RFC 7714) or AES-CM with HMAC-SHA1
//! (RFC 3711 §4.1.1, §4.2.1). Knows packet layouts, keeps no state about packets.
//!
//! ring wipes no key schedule on drop; session keys outside of it are wiped.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use super::header::RTCP_HEADER_LEN;
use super::key_derivation::{AUTH_KEY_LEN, Label, derive};
use super::profile::Profile;
use crate::keys::Master;

const GCM_TAG_LEN: usize = 16;
const HMAC_TAG_LEN: usize = 10;
/// E bit and 31-bit index of SRTCP.
const INDEX_WORD_LEN: usize = 4;
/// Says that an SRTCP packet is encrypted.
const E_BIT: u32 = 1 << 31;
/// Key stream is made in pieces of this many blocks, so that the hardware works on several at once.
const BLOCKS_AT_ONCE: usize = 8;
const BLOCK_LEN: usize = 16;

/// The tag did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unauthentic;

/// Which packets a cipher is for; each has session keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Rtp,
    Rtcp,
}

#[allow(clippy::large_enum_variant, reason = "there are four per call, and the usual one is the large one")]
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: Zeroizing<[u8; 12]> },
    CounterMode { key: Box<Aes128>, salt: Zeroizing<[u8; 14]>, authentication: hmac::Key },
}

impl Cipher {
    pub(super) fn new(profile: Profile, master: &Master<'_>, purpose: Use) -> Self {
        let (encryption, authentication, salting) = match purpose {
            Use::Rtp => (Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt),
            Use::Rtcp => (Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt),
        };
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..profile.key_len()];
        derive(profile, master, encryption, key);
        match profile {
            Profile::AeadAes256Gcm => Self::gcm(&aead::AES_256_GCM, profile, master, key, salting),
            Profile::AeadAes128Gcm => Self::gcm(&aead::AES_128_GCM, profile, master, key, salting),
            Profile::AesCm128HmacSha1_80 => {
                let mut salt = Zeroizing::new([0; 14]);
                derive(profile, master, salting, &mut *salt);
                let mut secret = Zeroizing::new([0; AUTH_KEY_LEN]);
                derive(profile, master, authentication, &mut *secret);
                let key: &[u8; 16] = (&*key).try_into().expect("AES-CM-128 has a 128-bit key");
                Self::CounterMode {
                    key: Box::new(Aes128::new(&Array::from(*key))),
                    salt,
                    authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*secret),
                }
            }
        }
    }

    fn gcm(
        algorithm: &'static aead::Algorithm,
        profile: Profile,
        master: &Master<'_>,
        key: &[u8],
        salting: Label,
    ) -> Self {
        let mut salt = Zeroizing::new([0; 12]);
        derive(profile, master, salting, &mut *salt);
        let key = UnboundKey::new(algorithm, key).expect("the profile's key length is the algorithm's");
        Self::Gcm { key: LessSafeKey::new(key), salt }
    }

    /// Encrypts `packet[header_len..plain_len]` and writes the tag behind it. The caller has made
    /// sure that the tag fits. Returns the length on the wire.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        plain_len: usize,
        ssrc: u32,
        index: u64,
    ) -> usize {
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = packet.split_at_mut(header_len);
                let (body, end) = rest.split_at_mut(plain_len - header_len);
                let tag = key
                    .seal_in_place_separate_tag(gcm_rtp_nonce(salt, ssrc, index), Aad::from(&*header), body)
                    .expect("a datagram is shorter than the limit of AES-GCM");
                end[..GCM_TAG_LEN].copy_from_slice(tag.as_ref());
                plain_len + GCM_TAG_LEN
            }
            Self::CounterMode { key, salt, authentication } => {
                let iv = counter_mode_iv(salt, ssrc, index);
                apply_key_stream(key, iv, &mut packet[header_len..plain_len]);
                let tag = hmac_tag(authentication, &packet[..plain_len], rollover_counter(index));
                packet[plain_len..plain_len + HMAC_TAG_LEN].copy_from_slice(&tag);
                plain_len + HMAC_TAG_LEN
            }
        }
    }

    /// Verifies and decrypts; returns the length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, Unauthentic> {
        match self {
            Self::Gcm { key, salt } => {
                let (header, sealed) = packet.split_at_mut(header_len);
                let body = key
                    .open_in_place(gcm_rtp_nonce(salt, ssrc, index), Aad::from(&*header), sealed)
                    .map_err(|_| Unauthentic)?;
                Ok(header_len + body.len())
            }
            Self::CounterMode { key, salt, authentication } => {
                let plain_len = packet.len().checked_sub(HMAC_TAG_LEN).ok_or(Unauthentic)?;
                if plain_len < header_len {
                    return Err(Unauthentic);
                }
                let (signed, tag) = packet.split_at_mut(plain_len);
                verify_hmac(authentication, signed, rollover_counter(index), tag)?;
                let iv = counter_mode_iv(salt, ssrc, index);
                apply_key_stream(key, iv, &mut signed[header_len..]);
                Ok(plain_len)
            }
        }
    }

    /// Encrypts an RTCP compound packet and appends tag and index word in the order of the profile.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], plain_len: usize, ssrc: u32, index: u32) -> usize {
        let word = (E_BIT | index).to_be_bytes();
        let (body, end) = packet.split_at_mut(plain_len);
        match self {
            Self::Gcm { key, salt } => {
                let aad = gcm_rtcp_aad(body, word);
                let tag = key
                    .seal_in_place_separate_tag(
                        gcm_rtcp_nonce(salt, ssrc, index),
                        Aad::from(aad),
                        &mut body[RTCP_HEADER_LEN..],
                    )
                    .expect("a datagram is shorter than the limit of AES-GCM");
                end[..GCM_TAG_LEN].copy_from_slice(tag.as_ref());
                end[GCM_TAG_LEN..GCM_TAG_LEN + INDEX_WORD_LEN].copy_from_slice(&word);
                plain_len + GCM_TAG_LEN + INDEX_WORD_LEN
            }
            Self::CounterMode { key, salt, authentication } => {
                let iv = counter_mode_iv(salt, ssrc, u64::from(index));
                apply_key_stream(key, iv, &mut body[RTCP_HEADER_LEN..]);
                let tag = hmac_tag(authentication, body, word);
                end[..INDEX_WORD_LEN].copy_from_slice(&word);
                end[INDEX_WORD_LEN..INDEX_WORD_LEN + HMAC_TAG_LEN].copy_from_slice(&tag);
                plain_len + INDEX_WORD_LEN + HMAC_TAG_LEN
            }
        }
    }

    /// Reads E bit and index from the end of an SRTCP packet, before anything is verified.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<RtcpIndex> {
        let behind_word = match self {
            Self::Gcm { .. } => 0,
            Self::CounterMode { .. } => HMAC_TAG_LEN,
        };
        let end = packet.len().checked_sub(behind_word)?;
        let word: &[u8; INDEX_WORD_LEN] = packet.get(..end)?.last_chunk()?;
        let word = u32::from_be_bytes(*word);
        Some(RtcpIndex { encrypted: word & E_BIT != 0, index: word & !E_BIT })
    }

    /// Verifies and decrypts an encrypted SRTCP packet; returns the length of the compound packet.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<usize, Unauthentic> {
        let word = (E_BIT | index).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let end = packet.len().checked_sub(INDEX_WORD_LEN).ok_or(Unauthentic)?;
                if end < RTCP_HEADER_LEN {
                    return Err(Unauthentic);
                }
                let aad = gcm_rtcp_aad(packet, word);
                let body = key
                    .open_in_place(gcm_rtcp_nonce(salt, ssrc, index), Aad::from(aad), &mut packet[RTCP_HEADER_LEN..end])
                    .map_err(|_| Unauthentic)?;
                Ok(RTCP_HEADER_LEN + body.len())
            }
            Self::CounterMode { key, salt, authentication } => {
                let overhead = INDEX_WORD_LEN + HMAC_TAG_LEN;
                let plain_len = packet.len().checked_sub(overhead).ok_or(Unauthentic)?;
                if plain_len < RTCP_HEADER_LEN {
                    return Err(Unauthentic);
                }
                let (body, end) = packet.split_at_mut(plain_len);
                verify_hmac(authentication, body, word, &end[INDEX_WORD_LEN..])?;
                let iv = counter_mode_iv(salt, ssrc, u64::from(index));
                apply_key_stream(key, iv, &mut body[RTCP_HEADER_LEN..]);
                Ok(plain_len)
            }
        }
    }
}

/// The last word of an SRTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RtcpIndex {
    pub(super) encrypted: bool,
    pub(super) index: u32,
}

/// RFC 7714 §8.1: 16 zero bits, SSRC, rollover counter, sequence number; XOR salt.
fn gcm_rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.1: 16 zero bits, SSRC, 17 zero bits, index; XOR salt.
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[8..12], &index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.2: the readable header and the index word.
fn gcm_rtcp_aad(packet: &[u8], word: [u8; INDEX_WORD_LEN]) -> [u8; RTCP_HEADER_LEN + INDEX_WORD_LEN] {
    let mut aad = [0; RTCP_HEADER_LEN + INDEX_WORD_LEN];
    aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
    aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
    aad
}

/// RFC 3711 §4.1.1: (salt · 2^16) XOR (SSRC · 2^64) XOR (index · 2^16).
fn counter_mode_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; BLOCK_LEN] {
    let mut iv = [0; BLOCK_LEN];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
    iv
}

/// XORs the key stream over `data`; the block counter is the last 16 bits of the IV.
fn apply_key_stream(key: &Aes128, iv: [u8; BLOCK_LEN], data: &mut [u8]) {
    let mut number: u16 = 0;
    for piece in data.chunks_mut(BLOCKS_AT_ONCE * BLOCK_LEN) {
        let mut stream = [Array::from(iv); BLOCKS_AT_ONCE];
        for block in &mut stream {
            block[14..].copy_from_slice(&number.to_be_bytes());
            number = number.wrapping_add(1);
        }
        key.encrypt_blocks(&mut stream);
        for (part, block) in piece.chunks_mut(BLOCK_LEN).zip(&stream) {
            xor(part, block);
        }
    }
}

fn rollover_counter(index: u64) -> [u8; 4] {
    let index = index.to_be_bytes();
    [index[2], index[3], index[4], index[5]]
}

/// HMAC-SHA1 over the packet and what follows it implicitly, cut to 80 bit.
fn hmac_tag(key: &hmac::Key, packet: &[u8], suffix: [u8; 4]) -> [u8; HMAC_TAG_LEN] {
    let mut context = hmac::Context::with_key(key);
    context.update(packet);
    context.update(&suffix);
    let mut tag = [0; HMAC_TAG_LEN];
    tag.copy_from_slice(&context.sign().as_ref()[..HMAC_TAG_LEN]);
    tag
}

fn verify_hmac(key: &hmac::Key, packet: &[u8], suffix: [u8; 4], tag: &[u8]) -> Result<(), Unauthentic> {
    let expected = hmac_tag(key, packet, suffix);
    if bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], tag)) { Ok(()) } else { Err(Unauthentic) }
}

fn xor(target: &mut [u8], other: &[u8]) {
    for (byte, other) in target.iter_mut().zip(other) {
        *byte ^= other;
    }
}

#[cfg(test)]
#[path = "cipher_test.rs"]
mod tests;
