//! The token of an invite, as a REGISTER carries it: `Authorization: Undertone-Token token="…"`.

use std::fmt;

use zeroize::Zeroizing;

/// Characters of 32 octets in base64url without padding.
const TOKEN_LEN: usize = 43;

/// Lets one device into an account, once. Wiped when dropped; no `Clone`, opaque `Debug`.
pub struct JoinToken(Zeroizing<String>);

impl JoinToken {
    /// Takes over 43 characters of base64url; `None` if they are none.
    pub fn new(token: Zeroizing<String>) -> Option<Self> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (token.len() == TOKEN_LEN && token.bytes().all(usable)).then_some(Self(token))
    }

    /// The value of the header.
    pub(crate) fn authorization(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("Undertone-Token token=\"{}\"", self.0.as_str()))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_stand_in_a_header_is_a_token_and_it_is_never_printed() {
        let token = |text: String| JoinToken::new(Zeroizing::new(text));
        assert_eq!(format!("{:?}", token("s-_9".repeat(11)[1..].to_owned())), "Some(JoinToken)");
        for bad in ["", &"a".repeat(42), &"a".repeat(44), &format!("{}\"", "a".repeat(42))] {
            assert!(token(bad.to_owned()).is_none(), "{bad}");
        }
    }
}
