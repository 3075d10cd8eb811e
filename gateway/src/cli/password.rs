//! Passwords of accounts: always generated, so that a stolen verifier cannot be turned back into one.

use rand_core::RngCore;
use undertone_config::Secret;
use zeroize::Zeroizing;

/// Characters of a password: 28 of 5 bits are 140 bits, above the 128 that digest verifiers rely on.
pub(super) const PASSWORD_CHARS: usize = 28;

/// Characters between two hyphens, which are there for the eye.
const GROUP: usize = 4;

/// 32 characters that are not mistaken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new password.
pub(super) fn draw(rng: &mut impl RngCore) -> Secret {
    let mut bytes = Zeroizing::new([0; PASSWORD_CHARS]);
    rng.fill_bytes(bytes.as_mut());
    // Reserved at once, so that growing leaves no copy behind.
    let mut text = String::with_capacity(PASSWORD_CHARS + PASSWORD_CHARS / GROUP);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn a_password_is_28_characters_in_groups_and_never_the_same() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let drawn: BTreeSet<String> = (0..1_000).map(|_| draw(&mut rng).expose().to_owned()).collect();
        assert_eq!(drawn.len(), 1_000);
        let unambiguous: BTreeSet<u8> = ALPHABET.iter().copied().collect();
        assert_eq!(unambiguous.len(), 32);
        for password in drawn {
            let groups: Vec<&str> = password.split('-').collect();
            assert_eq!(groups.len(), PASSWORD_CHARS / GROUP);
            assert!(groups.iter().all(|group| group.len() == GROUP && group.bytes().all(|b| unambiguous.contains(&b))));
        }
    }
}
