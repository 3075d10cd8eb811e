//! Digest authentication with SHA-256 (RFC 8760, RFC 7616), `qop=auth` only.
//!
//! ```text
//! 401 WWW-Authenticate: Digest realm, nonce, algorithm=SHA-256, qop="auth"   ◀─ Challenge
//! Authorization: Digest username, realm, nonce, uri, response, cnonce, nc    ─▶ Credentials
//! ```
//! MD5 and answers without `qop` are refused with a typed reason: no setting makes them acceptable.

use std::fmt;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::wire::Method;

/// Longest value of one parameter; ours stay below 100 characters.
const MAX_VALUE: usize = 1024;
/// Most parameters of one header value.
const MAX_PARAMETERS: usize = 32;

/// Why a challenge or credentials cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DigestError {
    /// Another scheme than `Digest`.
    #[error("authentication scheme is not Digest")]
    OtherScheme,
    /// Not `auth-scheme name=value, …`.
    #[error("authentication header cannot be read")]
    Malformed,
    /// A parameter that must be there is not.
    #[error("authentication header lacks {0}")]
    Missing(&'static str),
    /// MD5, or no algorithm named, which means MD5.
    #[error("MD5 digest is refused, use SHA-256")]
    Md5Refused,
    /// Neither MD5 nor SHA-256.
    #[error("digest algorithm is not SHA-256")]
    UnknownAlgorithm,
    /// `qop` without `auth`.
    #[error("digest without qop=auth is refused")]
    NoQopAuth,
}

/// What a server asks for (`WWW-Authenticate`, `Proxy-Authenticate`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Protection space.
    pub realm: String,
    /// Server's nonce.
    pub nonce: String,
    /// Text to hand back.
    pub opaque: Option<String>,
    /// The earlier nonce was right but too old: answer again without asking for the password.
    pub stale: bool,
}

/// A client's proof (`Authorization`, `Proxy-Authorization`).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Account name.
    pub username: String,
    /// Protection space.
    pub realm: String,
    /// Server's nonce.
    pub nonce: String,
    /// The `uri` parameter: the Request-URI as the client saw it.
    pub uri: String,
    /// Client's nonce.
    pub cnonce: String,
    /// How often the client has used this nonce.
    pub nc: u32,
    /// SHA-256 response.
    pub response: [u8; 32],
    /// Text handed back.
    pub opaque: Option<String>,
}

/// `H(username:realm:password)`: as good as the password within its realm, so handled as a secret.
pub struct Ha1(Zeroizing<[u8; 32]>);

impl Ha1 {
    /// From stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the account store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// `H(username:realm:password)` (RFC 7616 §3.4.2).
pub fn ha1(username: &str, realm: &str, password: &str) -> Ha1 {
    let text = Zeroizing::new(format!("{username}:{realm}:{password}"));
    Ha1::from_bytes(sha256(text.as_bytes()))
}

/// The response for `qop=auth` (RFC 7616 §3.4.1).
pub fn compute_response(ha1: &Ha1, method: &Method, uri: &str, nonce: &str, nc: u32, cnonce: &str) -> [u8; 32] {
    let ha2 = hex(&sha256(format!("{method}:{uri}").as_bytes()));
    let secret = Zeroizing::new(hex(ha1.as_bytes()));
    let text = Zeroizing::new(format!("{}:{nonce}:{nc:08x}:{cnonce}:auth:{ha2}", secret.as_str()));
    sha256(text.as_bytes())
}

impl Challenge {
    /// Reads a header value. Servers may send one header per algorithm: take the first that is `Ok`.
    pub fn parse(value: &str) -> Result<Self, DigestError> {
        let parameters = Parameters::parse(value)?;
        check_algorithm(&parameters)?;
        let qop = parameters.get("qop").ok_or(DigestError::NoQopAuth)?;
        if !qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) {
            return Err(DigestError::NoQopAuth);
        }
        Ok(Self {
            realm: parameters.required("realm")?,
            nonce: parameters.required("nonce")?,
            opaque: parameters.get("opaque").map(str::to_owned),
            stale: parameters.get("stale").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        })
    }

    /// The credentials that answer this challenge.
    pub fn answer(&self, username: &str, ha1: &Ha1, method: &Method, uri: &str, nc: u32, cnonce: &str) -> Credentials {
        Credentials {
            username: username.to_owned(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: uri.to_owned(),
            cnonce: cnonce.to_owned(),
            nc,
            response: compute_response(ha1, method, uri, &self.nonce, nc, cnonce),
            opaque: self.opaque.clone(),
        }
    }
}

/// The header value.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm={}, nonce={}", Quoted(&self.realm), Quoted(&self.nonce))?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", Quoted(opaque))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        f.write_str(", algorithm=SHA-256, qop=\"auth\"")
    }
}

impl Credentials {
    /// Reads a header value.
    pub fn parse(value: &str) -> Result<Self, DigestError> {
        let parameters = Parameters::parse(value)?;
        check_algorithm(&parameters)?;
        if !parameters.get("qop").is_some_and(|qop| qop.eq_ignore_ascii_case("auth")) {
            return Err(DigestError::NoQopAuth);
        }
        let nc = parameters.required("nc")?;
        if nc.len() != 8 || !nc.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(DigestError::Malformed);
        }
        Ok(Self {
            username: parameters.required("username")?,
            realm: parameters.required("realm")?,
            nonce: parameters.required("nonce")?,
            uri: parameters.required("uri")?,
            cnonce: parameters.required("cnonce")?,
            nc: u32::from_str_radix(&nc, 16).map_err(|_| DigestError::Malformed)?,
            response: unhex(&parameters.required("response")?).ok_or(DigestError::Malformed)?,
            opaque: parameters.get("opaque").map(str::to_owned),
        })
    }

    /// Whether the response proves knowledge of the password; takes the same time for every wrong one.
    /// The caller checks realm, nonce, `nc` and that `uri` is the request's.
    pub fn verify(&self, ha1: &Ha1, method: &Method) -> bool {
        let expected = compute_response(ha1, method, &self.uri, &self.nonce, self.nc, &self.cnonce);
        expected.ct_eq(&self.response).into()
    }
}

/// The header value.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{}\", \
             algorithm=SHA-256, cnonce={}, qop=auth, nc={:08x}",
            Quoted(&self.username),
            Quoted(&self.realm),
            Quoted(&self.nonce),
            Quoted(&self.uri),
            hex(&self.response),
            Quoted(&self.cnonce),
            self.nc,
        )?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", Quoted(opaque))?;
        }
        Ok(())
    }
}

fn check_algorithm(parameters: &Parameters<'_>) -> Result<(), DigestError> {
    match parameters.get("algorithm") {
        Some(name) if name.eq_ignore_ascii_case("SHA-256") => Ok(()),
        None => Err(DigestError::Md5Refused),
        Some(name) if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("MD5")) => {
            Err(DigestError::Md5Refused)
        }
        Some(_) => Err(DigestError::UnknownAlgorithm),
    }
}

/// `name=value` pairs of a header value, unquoted.
struct Parameters<'a>(Vec<(&'a str, String)>);

impl<'a> Parameters<'a> {
    fn parse(value: &'a str) -> Result<Self, DigestError> {
        let value = value.trim();
        let (scheme, mut rest) = value.split_once([' ', '\t']).ok_or(DigestError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(DigestError::OtherScheme);
        }
        let mut found: Vec<(&str, String)> = Vec::new();
        loop {
            let (name, after) = rest.split_once('=').ok_or(DigestError::Malformed)?;
            let name = name.trim();
            let (value, after) = read_value(after.trim_start())?;
            let repeated = found.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            if repeated || value.len() > MAX_VALUE || found.len() == MAX_PARAMETERS {
                return Err(DigestError::Malformed);
            }
            found.push((name, value));
            match after.trim_start().strip_prefix(',') {
                Some(more) => rest = more,
                None if after.trim().is_empty() => return Ok(Self(found)),
                None => return Err(DigestError::Malformed),
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &'static str) -> Result<String, DigestError> {
        self.get(name).map(str::to_owned).ok_or(DigestError::Missing(name))
    }
}

/// A quoted string or a token, and what follows it.
fn read_value(text: &str) -> Result<(String, &str), DigestError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(text.len());
        return match &text[..end] {
            "" => Err(DigestError::Malformed),
            token => Ok((token.to_owned(), &text[end..])),
        };
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next().ok_or(DigestError::Malformed)?.1),
            c => value.push(c),
        }
    }
    Err(DigestError::Malformed)
}

/// Writes a quoted string; line ends cannot be expressed in one and become spaces.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => f.write_str(" ")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    const RESPONSE: &str = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

    fn rfc7616() -> (Ha1, Method) {
        let secret = ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        (secret, Method::Extension("GET".to_owned()))
    }

    #[test]
    fn the_example_of_rfc_7616_comes_out_bit_exact() {
        let (secret, method) = rfc7616();
        let response = compute_response(&secret, &method, "/dir/index.html", NONCE, 1, CNONCE);
        assert_eq!(hex(&response), RESPONSE);
    }

    #[test]
    fn the_credentials_of_rfc_7616_are_read_and_verified() {
        let (secret, method) = rfc7616();
        let header = format!(
            "Digest username=\"Mufasa\",\n realm=\"http-auth@example.org\", \
             uri=\"/dir/index.html\", algorithm=SHA-256, nonce=\"{NONCE}\", nc=00000001, \
             cnonce=\"{CNONCE}\", qop=auth, response=\"{RESPONSE}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let credentials = Credentials::parse(&header).unwrap();
        assert!(credentials.verify(&secret, &method));
        assert!(!credentials.verify(&secret, &Method::Invite));
        assert!(!credentials.verify(&ha1("Mufasa", "http-auth@example.org", "x"), &method));
        assert_eq!(Credentials::parse(&credentials.to_string()), Ok(credentials));
    }

    #[test]
    fn an_answered_challenge_verifies_and_both_survive_the_wire() {
        let challenge = Challenge {
            realm: "gw \"quoted\\ name".to_owned(),
            nonce: "n".to_owned(),
            opaque: Some("o".to_owned()),
            stale: true,
        };
        assert_eq!(Challenge::parse(&challenge.to_string()), Ok(challenge.clone()));
        let secret = ha1("alice", &challenge.realm, "secret");
        let credentials = challenge.answer("alice", &secret, &Method::Register, "sips:gw.example", 7, "c");
        let read = Credentials::parse(&credentials.to_string()).unwrap();
        assert!(read.verify(&secret, &Method::Register));
        assert_eq!(read.nc, 7);
    }

    #[test]
    fn md5_is_refused_by_name_and_by_default() {
        let md5 = "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
        assert_eq!(Challenge::parse(md5), Err(DigestError::Md5Refused));
        let unnamed = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
        assert_eq!(Challenge::parse(unnamed), Err(DigestError::Md5Refused));
        let session = "Digest realm=\"r\", nonce=\"n\", algorithm=md5-sess, qop=\"auth\"";
        assert_eq!(Challenge::parse(session), Err(DigestError::Md5Refused));
        let other = "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256, qop=\"auth\"";
        assert_eq!(Challenge::parse(other), Err(DigestError::UnknownAlgorithm));
    }

    #[test]
    fn what_lacks_a_part_or_repeats_one_is_refused_with_its_reason() {
        let no_qop = "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256";
        assert_eq!(Challenge::parse(no_qop), Err(DigestError::NoQopAuth));
        let integrity = "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth-int\"";
        assert_eq!(Challenge::parse(integrity), Err(DigestError::NoQopAuth));
        let twice = "Digest realm=\"r\", nonce=\"n\", nonce=\"m\", algorithm=SHA-256, qop=\"auth\"";
        assert_eq!(Challenge::parse(twice), Err(DigestError::Malformed));
        let no_nonce = "Digest realm=\"r\", algorithm=SHA-256, qop=\"auth\"";
        assert_eq!(Challenge::parse(no_nonce), Err(DigestError::Missing("nonce")));
        assert_eq!(Challenge::parse("Basic Zm9v"), Err(DigestError::OtherScheme));
        assert_eq!(Challenge::parse("Digest realm=\"r"), Err(DigestError::Malformed));
        assert_eq!(Challenge::parse("Digest"), Err(DigestError::Malformed));
    }

    #[test]
    fn quotes_and_line_ends_in_values_cannot_leave_their_place() {
        let challenge = Challenge {
            realm: "a\", nonce=\"evil\r\nX: y".to_owned(),
            nonce: "n".to_owned(),
            opaque: None,
            stale: false,
        };
        let text = challenge.to_string();
        assert!(!text.contains(['\r', '\n']));
        assert_eq!(Challenge::parse(&text).unwrap().nonce, "n");
    }

    #[test]
    fn secrets_do_not_show_in_debug_text() {
        let secret = ha1("a", "b", "c");
        assert_eq!(format!("{secret:?}"), "Ha1");
    }
}
