//! Invite tokens: how the one-use secret of a join link reaches the gateway, and what is kept of it.
//!
//! ```text
//! Authorization: Undertone-Token token="<32 octets as base64url, 43 characters>"
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use undertone_config::LinkToken;
use undertone_sip::wire::{HeaderName, Request};
use zeroize::Zeroizing;

use super::device::sha256;

/// The authentication scheme's name.
const SCHEME: &str = "Undertone-Token";

/// SHA-256 of a token: all the store knows of an invite's secret. Tokens are random, so it cannot be turned back, and
/// how long a comparison takes helps nobody to guess one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &LinkToken) -> Self {
        Self(sha256(token.expose()))
    }

    /// The 32 octets.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// The header cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The token a REGISTER brings, if it brings one.
pub(super) fn token_of(request: &Request) -> Result<Option<TokenHash>, Malformed> {
    let named = |value: &str| value.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    let mut values = request.headers.get_all(&HeaderName::Authorization).filter(|value| named(value));
    let Some(value) = values.next() else { return Ok(None) };
    let text = value[SCHEME.len()..].trim_start().strip_prefix("token=\"").and_then(|rest| rest.strip_suffix('"'));
    let octets = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.ok_or(Malformed)?).map_err(|_| Malformed)?);
    let token = LinkToken::new(octets.as_slice().try_into().map_err(|_| Malformed)?);
    Ok(Some(TokenHash::of(&token)))
}

/// A token as text.
pub(super) fn encode(token: &LinkToken) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(token.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use undertone_sip::wire::Method;
    use undertone_sip::wire::uri::parse_uri;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = LinkToken::new([7; 32]);
        let header = format!("undertone-token token=\"{}\"", *encode(&token));
        assert_eq!(token_of(&request(&["Digest realm=\"x\"", &header])), Ok(Some(TokenHash::of(&token))));
        assert_eq!(token_of(&request(&["Digest realm=\"x\"", "ä"])), Ok(None));
        assert_eq!(format!("{:?}", TokenHash::of(&token)), "TokenHash");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = encode(&LinkToken::new([7; 32]));
        for bad in [
            "Undertone-Token".to_owned(),
            "Undertone-Token token=".to_owned(),
            format!("Undertone-Token token={}", *good),
            format!("Undertone-Token token=\"{}\"", &good[1..]),
            format!("Undertone-Token token=\"{}A\"", *good),
            format!("Undertone-Token token=\"{}\", token=\"{}\"", *good, *good),
            format!("Undertone-Token token=\"{}\"", "!".repeat(43)),
        ] {
            assert_eq!(token_of(&request(&[&bad])), Err(Malformed), "{bad}");
        }
    }

    fn request(values: &[&str]) -> Request {
        let mut request = Request::new(Method::Register, parse_uri("sip:gw.example").expect("valid"));
        for value in values {
            request.headers.push(HeaderName::Authorization, *value);
        }
        request
    }
}
