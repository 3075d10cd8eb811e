//! What keys, tokens and words show of themselves, and that a stored key is the same key.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Instant;
use undertone_media::dtls;
use undertone_media::verify::{AddressHash, IdentityKey, IdentityPublic, InviteToken};

use super::honest_call;
use super::line::{ALICE, Line, key};

#[test]
fn keys_tokens_and_words_are_printed_by_name_only() {
    let line = Line::draw(&mut ChaCha20Rng::seed_from_u64(1));
    let call = honest_call(&line, 0, Instant::now());
    let words = call.alice.result.unwrap().words;
    let printed = [
        format!("{:?}", key(1)),
        format!("{:?}", key(1).public()),
        format!("{:?}", InviteToken::new([7; 32])),
        format!("{:?}", AddressHash::of(ALICE)),
        format!("{words:?}"),
        format!("{:?}", words.halves()[0]),
        format!("{:?}", line.binding(dtls::Role::Client)),
        format!("{:?}", call.alice.exchange),
    ];
    let names =
        ["IdentityKey", "IdentityPublic", "InviteToken", "AddressHash", "SafetyWords", "Half", "ChannelBinding"];
    assert_eq!(printed[..7], names);
    assert_eq!(printed[7], "Exchange { role: Initiator, .. }");
}

#[test]
fn an_identity_survives_being_stored() {
    let key = key(1);
    let again = IdentityKey::from_bytes(&key.to_bytes());
    assert_eq!(again.public().as_bytes(), key.public().as_bytes());
    assert_eq!(again.public(), IdentityPublic::from_bytes(*key.public().as_bytes()));
    assert_ne!(key.public().as_bytes(), super::key(2).public().as_bytes());
}

#[test]
fn a_made_up_half_looks_like_a_real_one() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let call = honest_call(&Line::draw(&mut rng), 0, Instant::now());
    for half in call.alice.result.unwrap().words.halves() {
        for _ in 0..100 {
            for decoy in half.decoys(&mut rng) {
                let digits = decoy.digits();
                assert!(digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit()), "{digits}");
                assert!(decoy.words().iter().all(|word| word.len() > 2), "{:?}", decoy.words());
            }
        }
    }
}
