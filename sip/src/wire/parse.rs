//! The reader (RFC 3261 §7, §25): one message in, or the reason why not.
//!
//! One pass over the header section finds lines and names; the values of headers the element acts on are
//! checked where they stand, without allocation. A refused request keeps what a 400 response must copy
//! ([`Partial`]); a refused response or `ACK` is dropped, because nobody may answer it.

use super::cseq;
use super::grammar::{
    FieldError, has_control, is_control, is_space, is_token_byte, is_word_byte, number, split_commas, trim,
};
use super::header_name::HeaderName;
use super::headers::Headers;
use super::message::{Message, Request, Response};
use super::method::Method;
use super::uri::{self, Uri};
use super::{name_addr, via};

/// Most header fields of one message; longer ones are an attack on whoever walks the list.
pub const MAX_HEADERS: usize = 256;

/// Why bytes are not a SIP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused with {status} ({reason})")]
pub struct ParseError {
    /// 400, 505 or 513.
    pub status: u16,
    /// Reason phrase for the response.
    pub reason: &'static str,
    /// What a response needs; `None`: drop silently.
    pub partial: Option<Box<Partial>>,
}

/// The part of a refused request from which a response can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// The request's method.
    pub method: Method,
    /// `Via`, `From`, `To`, `Call-ID`, `CSeq` as far as they were there; at least a `Via` with a host.
    pub headers: Headers,
}

/// Reads one whole message: a datagram, or what [`super::StreamFramer`] cut out of a stream. Bytes after
/// the `Content-Length` are ignored (RFC 3261 §18.3), CRLFs before the start-line too (§7.5).
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let bytes = strip_leading_crlf(bytes);
    let error = |FieldError(reason): FieldError| ParseError { status: 400, reason, partial: None };
    let end = head_end(bytes);
    let head = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())])
        .map_err(|_| error(FieldError("Header Is Not UTF-8")))?;
    let (start, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let message = match end {
        Some(end) => read_message(start, fields, &bytes[end + 2..]),
        None => Err(FieldError("No End of Headers").into()),
    };
    message.map_err(|refused| ParseError {
        status: refused.status,
        reason: refused.reason,
        partial: harvest(start, fields),
    })
}

struct Refused {
    status: u16,
    reason: &'static str,
}

impl From<FieldError> for Refused {
    fn from(FieldError(reason): FieldError) -> Self {
        Self { status: 400, reason }
    }
}

fn read_message(start: &str, fields: &str, body: &[u8]) -> Result<Message, Refused> {
    let start = StartLine::read(start)?;
    let mut seen = Seen::default();
    let headers = read_headers(fields, &mut seen)?;
    seen.check_mandatory()?;
    let body = cut_body(body, seen.content_length)?;
    // `*` stands alone, and only where bindings are taken away (RFC 3261 §10.2.2).
    let star = headers.get_all(&HeaderName::Contact).any(|value| value == "*");
    if star && !(matches!(start, StartLine::Request { method: Method::Register, .. }) && headers.contact_is_star()) {
        return Err(FieldError("Bad Contact").into());
    }
    match start {
        StartLine::Request { method, uri } => {
            let (_, cseq_method) = cseq::scan(headers.get(&HeaderName::CSeq).unwrap_or_default())?;
            if cseq_method != method.as_str() {
                return Err(FieldError("CSeq Method Mismatch").into());
            }
            Ok(Message::Request(Request { method, uri, headers, body }))
        }
        StartLine::Response { status, reason } => {
            let reason = reason.to_owned();
            Ok(Message::Response(Response { status, reason, headers, body }))
        }
    }
}

enum StartLine<'a> {
    Request { method: Method, uri: Uri },
    Response { status: u16, reason: &'a str },
}

impl<'a> StartLine<'a> {
    fn read(line: &'a str) -> Result<Self, Refused> {
        if is_status_line(line) { Self::read_status(line) } else { Self::read_request(line) }
    }

    /// `SIP-Version SP Status-Code SP Reason-Phrase`; exactly three digits (RFC 4475 §3.1.2.19).
    fn read_status(line: &'a str) -> Result<Self, Refused> {
        const BAD: FieldError = FieldError("Bad Status-Line");
        let (version, rest) = line.split_once(' ').ok_or(BAD)?;
        let (code, reason) = rest.split_once(' ').ok_or(BAD)?;
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(Refused { status: 505, reason: "Version Not Supported" });
        }
        let status = number(code, 699, BAD)?;
        if code.len() != 3 || status < 100 || reason.bytes().any(is_control) {
            return Err(BAD.into());
        }
        Ok(Self::Response { status: u16::try_from(status).map_err(|_| BAD)?, reason })
    }

    /// `Method SP Request-URI SP SIP-Version`, single spaces only (RFC 4475 §3.1.2.8–10).
    fn read_request(line: &'a str) -> Result<Self, Refused> {
        const BAD: FieldError = FieldError("Bad Request-Line");
        let mut parts = line.split(' ');
        let (Some(method), Some(uri), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BAD.into());
        };
        let method = Method::parse(method).ok_or(BAD)?;
        check_version(version)?;
        Ok(Self::Request { method, uri: uri::parse_request_uri(uri)? })
    }
}

fn check_version(version: &str) -> Result<(), Refused> {
    if version.eq_ignore_ascii_case("SIP/2.0") {
        return Ok(());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let other_version = version
        .split_once('/')
        .filter(|(name, _)| name.eq_ignore_ascii_case("SIP"))
        .and_then(|(_, number)| number.split_once('.'))
        .is_some_and(|(major, minor)| digits(major) && digits(minor));
    if other_version {
        return Err(Refused { status: 505, reason: "Version Not Supported" });
    }
    Err(FieldError("Bad Request-Line").into())
}

fn is_status_line(line: &str) -> bool {
    line.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("SIP/"))
}

/// What the header walk has met: a bit per header that may occur only once.
#[derive(Default)]
struct Seen {
    once: u64,
    via: bool,
    content_length: Option<usize>,
}

impl Seen {
    fn single(&mut self, bit: u8, error: FieldError) -> Result<(), FieldError> {
        let mask = 1_u64 << bit;
        if self.once & mask != 0 {
            return Err(error);
        }
        self.once |= mask;
        Ok(())
    }

    fn has(&self, bit: u8) -> bool {
        self.once & (1 << bit) != 0
    }

    fn check_mandatory(&self) -> Result<(), FieldError> {
        if !self.via {
            return Err(FieldError("Missing Via"));
        }
        let mandatory =
            [(FROM, "Missing From"), (TO, "Missing To"), (CALL_ID, "Missing Call-ID"), (CSEQ, "Missing CSeq")];
        match mandatory.iter().find(|(bit, _)| !self.has(*bit)) {
            Some((_, reason)) => Err(FieldError(reason)),
            None => Ok(()),
        }
    }
}

const FROM: u8 = 0;
const TO: u8 = 1;
const CALL_ID: u8 = 2;
const CSEQ: u8 = 3;
const CONTENT_LENGTH: u8 = 4;
const MAX_FORWARDS: u8 = 5;

fn read_headers(fields: &str, seen: &mut Seen) -> Result<Headers, Refused> {
    let mut headers = Headers::with_capacity(16);
    for field in Fields::new(fields) {
        let (name, value) = split_field(field)?;
        if headers.len() == MAX_HEADERS {
            return Err(Refused { status: 513, reason: "Too Many Headers" });
        }
        let name = HeaderName::parse(name);
        let value = unfold(value);
        let value = trim(&value);
        check_value(&name, value, seen)?;
        headers.push(name, value);
    }
    Ok(headers)
}

/// Iterates over header fields, folded lines included.
struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Fields<'a> {
    fn new(rest: &'a str) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = self.rest.as_bytes();
        let mut from = 0;
        let end = loop {
            // Searching a char in text is the standard library's fastest search.
            let Some(offset) = self.rest[from..].find('\r') else { break bytes.len() };
            let at = from + offset;
            let ends_line = bytes.get(at + 1) == Some(&b'\n');
            if ends_line && !bytes.get(at + 2).copied().is_some_and(is_space) {
                break at;
            }
            from = at + 1;
        };
        let field = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        Some(field)
    }
}

/// `header-name HCOLON value`: white space may stand before the colon, not before the name.
fn split_field(field: &str) -> Result<(&str, &str), FieldError> {
    const BAD: FieldError = FieldError("Bad Header Name");
    let bytes = field.as_bytes();
    let length = bytes.iter().position(|&byte| !is_token_byte(byte)).ok_or(BAD)?;
    let after = bytes[length..].iter().position(|&byte| !is_space(byte)).ok_or(BAD)?;
    if length == 0 || bytes[length + after] != b':' {
        return Err(BAD);
    }
    Ok((&field[..length], &field[length + after + 1..]))
}

/// Joins folded lines: each CRLF becomes a space, so that a fold is white space like any other.
fn unfold(value: &str) -> std::borrow::Cow<'_, str> {
    if value.as_bytes().contains(&b'\r') { value.replace("\r\n", " ").into() } else { value.into() }
}

// A header this element does not act on is free text, so the wildcard is the rule here.
#[allow(clippy::wildcard_enum_match_arm)]
fn check_value(name: &HeaderName, value: &str, seen: &mut Seen) -> Result<(), Refused> {
    check_text(value)?;
    if let Some((bit, duplicate)) = single_bit(name) {
        seen.single(bit, FieldError(duplicate))?;
    }
    match name {
        HeaderName::Via => {
            seen.via = true;
            each(value, via::check)
        }
        HeaderName::From | HeaderName::To | HeaderName::ReplyTo | HeaderName::ReferTo => {
            name_addr::check(value).map_err(Into::into)
        }
        HeaderName::Contact if value == "*" => Ok(()),
        HeaderName::Contact => each(value, name_addr::check_contact),
        HeaderName::Route | HeaderName::RecordRoute | HeaderName::Path | HeaderName::ServiceRoute => {
            each(value, name_addr::check)
        }
        HeaderName::CallId => check_call_id(value).map_err(Into::into),
        HeaderName::CSeq => cseq::scan(value).map(|_| ()).map_err(Into::into),
        HeaderName::MaxForwards => check_number(value, 255, "Bad Max-Forwards"),
        HeaderName::Expires => check_number(value, u64::from(u32::MAX), "Bad Expires"),
        HeaderName::MinExpires => check_number(value, u64::from(u32::MAX), "Bad Min-Expires"),
        HeaderName::RetryAfter => check_retry_after(value),
        HeaderName::ContentLength => {
            let length = number(value, MAX_CONTENT_LENGTH, FieldError("Bad Content-Length"))?;
            seen.content_length = usize::try_from(length).ok();
            Ok(())
        }
        HeaderName::Date => check_date(value).map_err(Into::into),
        _ => Ok(()),
    }
}

/// Larger than any body a datagram or our stream framer can hold.
const MAX_CONTENT_LENGTH: u64 = u32::MAX as u64;

/// Headers that may occur once, with the reason for refusing a second one; all others may repeat.
#[allow(clippy::wildcard_enum_match_arm)]
fn single_bit(name: &HeaderName) -> Option<(u8, &'static str)> {
    Some(match name {
        HeaderName::From => (FROM, "Duplicate From"),
        HeaderName::To => (TO, "Duplicate To"),
        HeaderName::CallId => (CALL_ID, "Duplicate Call-ID"),
        HeaderName::CSeq => (CSEQ, "Duplicate CSeq"),
        HeaderName::ContentLength => (CONTENT_LENGTH, "Duplicate Content-Length"),
        HeaderName::MaxForwards => (MAX_FORWARDS, "Duplicate Max-Forwards"),
        HeaderName::ContentType => (6, "Duplicate Content-Type"),
        HeaderName::Expires => (7, "Duplicate Expires"),
        HeaderName::Date => (8, "Duplicate Date"),
        HeaderName::MinExpires => (9, "Duplicate Min-Expires"),
        HeaderName::SessionExpires => (10, "Duplicate Session-Expires"),
        HeaderName::MinSe => (11, "Duplicate Min-SE"),
        HeaderName::ContentDisposition => (12, "Duplicate Content-Disposition"),
        HeaderName::RetryAfter => (13, "Duplicate Retry-After"),
        HeaderName::RSeq => (14, "Duplicate RSeq"),
        HeaderName::RAck => (15, "Duplicate RAck"),
        HeaderName::Event => (16, "Duplicate Event"),
        HeaderName::ReferTo => (17, "Duplicate Refer-To"),
        HeaderName::Replaces => (18, "Duplicate Replaces"),
        HeaderName::ReplyTo => (19, "Duplicate Reply-To"),
        HeaderName::MimeVersion => (20, "Duplicate MIME-Version"),
        _ => return None,
    })
}

/// Control characters only in quoted pairs; a lone CR or LF is one of them.
fn check_text(value: &str) -> Result<(), FieldError> {
    const BAD: FieldError = FieldError("Control Character in Header");
    if !has_control(value.as_bytes()) {
        return Ok(());
    }
    let mut escaped = false;
    for byte in value.bytes() {
        if matches!(byte, b'\r' | b'\n') || (is_control(byte) && !escaped) {
            return Err(BAD);
        }
        escaped = byte == b'\\' && !escaped;
    }
    Ok(())
}

fn each(value: &str, check: fn(&str) -> Result<(), FieldError>) -> Result<(), Refused> {
    for element in split_commas(value) {
        check(element)?;
    }
    Ok(())
}

fn check_number(value: &str, max: u64, reason: &'static str) -> Result<(), Refused> {
    number(value, max, FieldError(reason))?;
    Ok(())
}

/// `word [ "@" word ]`
fn check_call_id(value: &str) -> Result<(), FieldError> {
    let (first, second) = value.split_once('@').unwrap_or((value, "x"));
    let word = |text: &str| !text.is_empty() && text.bytes().all(is_word_byte);
    if word(first) && word(second) { Ok(()) } else { Err(FieldError("Bad Call-ID")) }
}

/// `delta-seconds [ comment ] *( SEMI … )`
fn check_retry_after(value: &str) -> Result<(), Refused> {
    let digits = value.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    check_number(digits, u64::from(u32::MAX), "Bad Retry-After")
}

/// `wkday "," SP 2DIGIT SP month SP 4DIGIT SP time SP "GMT"` (RFC 4475 §3.1.2.12).
fn check_date(value: &str) -> Result<(), FieldError> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let sound = || {
        let (day_name, rest) = value.split_once(", ")?;
        let mut parts = rest.split(' ');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let (time, zone) = (parts.next()?, parts.next()?);
        let clock = time.split(':').filter(|part| digits(part, 2)).count() == 3 && time.len() == 8;
        let names = DAYS.iter().any(|name| name.eq_ignore_ascii_case(day_name))
            && MONTHS.iter().any(|name| name.eq_ignore_ascii_case(month));
        let sound = names && digits(day, 2) && digits(year, 4) && clock;
        (sound && zone.eq_ignore_ascii_case("GMT") && parts.next().is_none()).then_some(())
    };
    sound().ok_or(FieldError("Bad Date"))
}

fn cut_body(body: &[u8], content_length: Option<usize>) -> Result<Vec<u8>, FieldError> {
    match content_length {
        None => Ok(body.to_vec()),
        Some(length) => body.get(..length).map(<[u8]>::to_vec).ok_or(FieldError("Content-Length Too Large")),
    }
}

/// Collects what a 400 must copy; off the fast path.
fn harvest(start: &str, fields: &str) -> Option<Box<Partial>> {
    if is_status_line(start) {
        return None;
    }
    let method = Method::parse(start.split(' ').next()?)?;
    if matches!(method, Method::Ack) {
        return None;
    }
    let mut headers = Headers::new();
    for field in Fields::new(fields).take(MAX_HEADERS) {
        let Ok((name, value)) = split_field(field) else { continue };
        let name = HeaderName::parse(name);
        let copied =
            matches!(name, HeaderName::Via | HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq);
        let repeated = name != HeaderName::Via && headers.get(&name).is_some();
        let value = unfold(value);
        let value = trim(&value);
        if copied && !repeated && check_text(value).is_ok() {
            headers.push(name, value);
        }
    }
    // A response needs a way back; a broken parameter or a foreign version does not take it away.
    via::scan_way_back(headers.get(&HeaderName::Via)?).ok()?;
    Some(Box::new(Partial { method, headers }))
}

fn strip_leading_crlf(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Offset just behind the last header line's CRLF: where the empty line starts.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|&byte| byte == b'\r')?;
        if bytes[at..].starts_with(b"\r\n\r\n") {
            return Some(at + 2);
        }
        from = at + 1;
    }
}
