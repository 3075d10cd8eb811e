//! What a well-formed request must still be refused for, before anybody looks at its meaning
//! (RFC 3261 §8.2.2–8.2.3, RFC 4475 §3.3): scheme, required extensions, body type.

use super::header_name::HeaderName;
use super::message::Request;
use super::method::Method;
use super::uri;

/// Option tags this library implements (RFC 4028, RFC 5626).
const SUPPORTED: [&str; 2] = ["timer", "outbound"];

/// A refusal of a request: the response to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Response status.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'static str,
    /// A header the response must carry (`Unsupported`, `Accept`, …).
    pub header: Option<(HeaderName, String)>,
}

/// Checks a request that [`super::parse`] accepted. `ACK` is never refused, since it cannot be answered;
/// `CANCEL` is not checked for extensions (RFC 3261 §8.2.2.3).
pub fn screen(request: &Request) -> Result<(), Refusal> {
    if matches!(request.method, Method::Ack) {
        return Ok(());
    }
    check_scheme(request)?;
    if !matches!(request.method, Method::Cancel) {
        check_extensions(request)?;
    }
    check_body(request)
}

fn check_scheme(request: &Request) -> Result<(), Refusal> {
    if !uri::is_sip(&request.uri) {
        return Err(Refusal { status: 416, reason: "Unsupported URI Scheme", header: None });
    }
    // A registrar's address of record is a SIP URI (RFC 3261 §10.3; RFC 4475 §3.3.4).
    let address = request.headers.to();
    if matches!(request.method, Method::Register) && !address.is_ok_and(|to| uri::is_sip(&to.uri)) {
        return Err(Refusal { status: 400, reason: "To Is Not a SIP Address", header: None });
    }
    Ok(())
}

fn check_extensions(request: &Request) -> Result<(), Refusal> {
    let required = [HeaderName::Require, HeaderName::ProxyRequire];
    let unknown: Vec<&str> = required
        .iter()
        .flat_map(|name| request.headers.values(name))
        .filter(|tag| !SUPPORTED.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let header = Some((HeaderName::Unsupported, unknown.join(", ")));
    Err(Refusal { status: 420, reason: "Bad Extension", header })
}

fn check_body(request: &Request) -> Result<(), Refusal> {
    let wants_sdp = matches!(request.method, Method::Invite | Method::Update);
    let is_read = wants_sdp || matches!(request.method, Method::Message);
    if is_read && !request.body.is_empty() && request.headers.is_encoded() {
        let header = Some((HeaderName::AcceptEncoding, "identity".to_owned()));
        return Err(Refusal { status: 415, reason: "Unsupported Content Encoding", header });
    }
    if !wants_sdp {
        return Ok(());
    }
    if !request.body.is_empty() && request.headers.content_type().as_deref() != Some("application/sdp") {
        let header = Some((HeaderName::Accept, "application/sdp".to_owned()));
        return Err(Refusal { status: 415, reason: "Unsupported Media Type", header });
    }
    // The answer is SDP; a caller that does not accept it cannot be answered (RFC 4475 §3.3.15).
    if request.headers.get(&HeaderName::Accept).is_some() && !accepts_sdp(request) {
        return Err(Refusal { status: 406, reason: "Not Acceptable", header: None });
    }
    Ok(())
}

fn accepts_sdp(request: &Request) -> bool {
    request.headers.values(&HeaderName::Accept).any(|range| {
        let range = range.split(';').next().unwrap_or_default();
        let range: String = range.split_ascii_whitespace().collect();
        ["application/sdp", "application/*", "*/*"].iter().any(|r| r.eq_ignore_ascii_case(&range))
    })
}
