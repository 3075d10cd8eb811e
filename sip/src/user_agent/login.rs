//! A name and password that answer digest challenges (RFC 3261 §22, RFC 8760).

use std::fmt;

use zeroize::Zeroizing;

use crate::digest::{Challenge, ha1};
use crate::wire::uri::uri_to_string;
use crate::wire::{HeaderName, Method, Response, Uri};

/// An account's name and password.
pub struct Login {
    username: String,
    password: Zeroizing<String>,
}

impl Login {
    /// Takes the password over; it is wiped with this object.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Zeroizing::new(password.into()) }
    }

    /// Whether the challenge only asks for a fresh nonce: the password was right.
    pub(crate) fn is_stale(response: &Response) -> bool {
        let asked = [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate];
        asked
            .iter()
            .flat_map(|name| response.headers.get_all(name))
            .find_map(|value| Challenge::parse(value).ok())
            .is_some_and(|challenge| challenge.stale)
    }

    /// The header that answers a 401 or 407, if one of its challenges is one we accept.
    pub(crate) fn answer(
        &self,
        response: &Response,
        method: &Method,
        uri: &Uri,
        cnonce: &str,
    ) -> Option<(HeaderName, String)> {
        let (asked, answer) = match response.status {
            401 => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
            407 => (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
            _ => return None,
        };
        let challenge = response.headers.get_all(&asked).find_map(|v| Challenge::parse(v).ok())?;
        let ha1 = ha1(&self.username, &challenge.realm, &self.password);
        let uri = uri_to_string(uri);
        let credentials = challenge.answer(&self.username, &ha1, method, &uri, 1, cnonce);
        Some((answer, credentials.to_string()))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}
