//! The user name fragment and password by which a leg proves itself (RFC 8445 §5.3).

use rand_core::RngCore;
use std::fmt;
use zeroize::Zeroizing;

/// Characters of a user name fragment: 48 random bits, so that two live legs never share one.
pub const UFRAG_LEN: usize = 8;

/// Characters of a password: 144 random bits; RFC 8445 §5.3 asks for at least 128.
pub const PASSWORD_LEN: usize = 24;

/// RFC 8839 §5.4, `ice-char`: exactly 64 of them, six bits each.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The gateway's half of one leg's ICE credentials. Travels to the phone inside TLS, to the relay inside the process.
pub struct LegCredentials {
    ufrag: [u8; UFRAG_LEN],
    password: Zeroizing<[u8; PASSWORD_LEN]>,
}

impl LegCredentials {
    /// New credentials from the random source.
    pub fn draw(rng: &mut impl RngCore) -> Self {
        let mut credentials = Self { ufrag: [0; UFRAG_LEN], password: Zeroizing::new([0; PASSWORD_LEN]) };
        fill_with_ice_chars(&mut credentials.ufrag, rng);
        fill_with_ice_chars(credentials.password.as_mut(), rng);
        credentials
    }

    /// `a=ice-ufrag`.
    pub fn ufrag(&self) -> &str {
        std::str::from_utf8(&self.ufrag).expect("only characters of ICE_CHARS are written")
    }

    /// `a=ice-pwd`.
    pub fn password(&self) -> &str {
        std::str::from_utf8(self.password.as_ref()).expect("only characters of ICE_CHARS are written")
    }

    /// A second copy: one stays with the dialog for its SDP, one goes to the relay.
    pub fn duplicate(&self) -> Self {
        Self { ufrag: self.ufrag, password: self.password.clone() }
    }

    pub(super) fn ufrag_bytes(&self) -> &[u8; UFRAG_LEN] {
        &self.ufrag
    }
}

impl Drop for LegCredentials {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.ufrag);
    }
}

impl fmt::Debug for LegCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegCredentials")
    }
}

fn fill_with_ice_chars(text: &mut [u8], rng: &mut impl RngCore) {
    rng.fill_bytes(text);
    for byte in text {
        *byte = ICE_CHARS[usize::from(*byte & 63)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn credentials_are_ice_characters_of_the_right_length_and_never_alike() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let drawn = LegCredentials::draw(&mut rng);
            assert_eq!((drawn.ufrag().len(), drawn.password().len()), (8, 24));
            let ice_char = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
            assert!(drawn.ufrag().bytes().chain(drawn.password().bytes()).all(ice_char));
            assert!(seen.insert(drawn.ufrag().to_owned()) && seen.insert(drawn.password().to_owned()));
        }
    }

    #[test]
    fn debug_shows_only_the_name_of_the_type() {
        let drawn = LegCredentials::draw(&mut ChaCha20Rng::seed_from_u64(2));
        assert_eq!(format!("{drawn:?}"), "LegCredentials");
        assert_eq!(drawn.duplicate().password(), drawn.password());
    }
}
