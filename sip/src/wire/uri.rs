//! SIP and SIPS URIs (RFC 3261 §19.1) read into and written from [`rsip::Uri`].
//!
//! Canonical form: scheme and host in lower case, `%`-escapes of unreserved characters taken out, other
//! escapes kept with upper-case digits, so equal URIs have equal parts. A URI's `?headers` are checked
//! and dropped: nothing here acts on them (§19.1.5) and they must not travel on. Other schemes keep
//! their text as an opaque domain name. `rsip`'s own parser and `Display` are never used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rsip::Transport;
pub use rsip::Uri;
use rsip::common::uri::{Auth, Host, HostWithPort, Param, Scheme};

use super::grammar::{Cursor, FieldError, is_uri_byte, number};
use super::params::MAX_PARAMS;

const BAD_URI: FieldError = FieldError("Bad URI");
const BAD_HOST: FieldError = FieldError("Bad Host in URI");

/// Reads a URI of any scheme.
pub fn parse_uri(text: &str) -> Result<Uri, FieldError> {
    match scan(text)? {
        Parts::Opaque { scheme, rest } => Ok(opaque(scheme, rest)),
        Parts::Sip(parts) => parts.into_uri(),
    }
}

/// Appends the URI. Characters a component may not hold are percent-escaped (in a user or parameter)
/// or left out (in a host), so nothing can escape from its place.
pub fn write_uri(uri: &Uri, out: &mut String) {
    if let Some(Scheme::Other(scheme)) = &uri.scheme {
        let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        out.extend(scheme.chars().filter(legal));
        out.push(':');
        let rest = uri.host_with_port.host.to_string();
        write_escaped(&rest, is_uri_byte, out);
        return;
    }
    out.push_str(if matches!(uri.scheme, Some(Scheme::Sips)) { "sips:" } else { "sip:" });
    if let Some(auth) = &uri.auth {
        write_escaped(&auth.user, is_user_byte, out);
        if let Some(password) = &auth.password {
            out.push(':');
            write_escaped(password, is_password_byte, out);
        }
        out.push('@');
    }
    write_host(&uri.host_with_port.host, out);
    if let Some(port) = &uri.host_with_port.port {
        out.push_str(&format!(":{}", port.value()));
    }
    for param in &uri.params {
        write_param(param, out);
    }
}

/// The URI as text.
pub fn uri_to_string(uri: &Uri) -> String {
    let mut text = String::with_capacity(64);
    write_uri(uri, &mut text);
    text
}

/// A URI parameter's value, whatever variant of [`rsip::Param`] holds it; `None` if it is absent.
/// A parameter without value gives an empty text.
pub fn uri_param(uri: &Uri, name: &str) -> Option<String> {
    uri.params.iter().find_map(|param| {
        let (n, value) = param_parts(param);
        n.eq_ignore_ascii_case(name).then(|| value.unwrap_or_default())
    })
}

/// The host as text, IPv6 addresses in brackets.
pub fn host_to_string(host: &Host) -> String {
    let mut text = String::with_capacity(32);
    write_host(host, &mut text);
    text
}

/// Whether this is a `sip:` or `sips:` URI.
pub fn is_sip(uri: &Uri) -> bool {
    !matches!(uri.scheme, Some(Scheme::Other(_)))
}

/// A `sip:` URI of a user (if any) at a host.
pub fn sip_uri(user: Option<&str>, host: Host, port: Option<u16>) -> Uri {
    Uri {
        scheme: Some(Scheme::Sip),
        auth: user.map(|user| Auth { user: user.to_owned(), password: None }),
        host_with_port: HostWithPort { host, port: port.map(Into::into) },
        params: Vec::new(),
        headers: Vec::new(),
    }
}

/// Checks a URI without allocating.
pub(super) fn check(text: &str) -> Result<(), FieldError> {
    match scan(text)? {
        Parts::Opaque { .. } => Ok(()),
        Parts::Sip(parts) => parts.check(),
    }
}

/// Reads a Request-URI: a SIP one may not carry `?headers` (RFC 3261 §19.1.1).
pub(super) fn parse_request_uri(text: &str) -> Result<Uri, FieldError> {
    match scan(text)? {
        Parts::Opaque { scheme, rest } => Ok(opaque(scheme, rest)),
        Parts::Sip(SipParts { headers: Some(_), .. }) => Err(FieldError("Headers in Request-URI")),
        Parts::Sip(parts) => parts.into_uri(),
    }
}

enum Parts<'a> {
    Opaque { scheme: &'a str, rest: &'a str },
    Sip(SipParts<'a>),
}

struct SipParts<'a> {
    secure: bool,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: Option<&'a str>,
}

fn scan(text: &str) -> Result<Parts<'_>, FieldError> {
    let mut cursor = Cursor::new(text);
    let scheme = cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !cursor.eat(b':') {
        return Err(FieldError("Bad URI Scheme"));
    }
    let secure = scheme.eq_ignore_ascii_case("sips");
    if !secure && !scheme.eq_ignore_ascii_case("sip") {
        let rest = cursor.rest();
        if rest.is_empty() || !well_escaped(rest, is_uri_byte) {
            return Err(BAD_URI);
        }
        return Ok(Parts::Opaque { scheme, rest });
    }
    let (user, password) = scan_userinfo(&mut cursor)?;
    let host = scan_host(&mut cursor).ok_or(BAD_HOST)?;
    let port = if cursor.eat(b':') {
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        let port = number(digits, u64::from(u16::MAX), FieldError("Bad Port in URI"))?;
        u16::try_from(port).ok()
    } else {
        None
    };
    let rest = cursor.rest();
    let (params, headers) = match rest.split_once('?') {
        Some((params, headers)) => (params, Some(headers)),
        None => (rest, None),
    };
    Ok(Parts::Sip(SipParts { secure, user, password, host, port, params, headers }))
}

fn scan_userinfo<'a>(cursor: &mut Cursor<'a>) -> Result<(Option<&'a str>, Option<&'a str>), FieldError> {
    const BAD_USER: FieldError = FieldError("Bad User in URI");
    // No other component may hold an `@`, so the first one ends the user part.
    if !cursor.rest().contains('@') {
        return Ok((None, None));
    }
    let info = cursor.take_through(b'@').ok_or(BAD_USER)?;
    let (user, password) = match info.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (info, None),
    };
    if user.is_empty()
        || !well_escaped(user, is_user_byte)
        || !password.is_none_or(|password| well_escaped(password, is_password_byte))
    {
        return Err(BAD_USER);
    }
    Ok((Some(user), password))
}

impl SipParts<'_> {
    fn check(&self) -> Result<(), FieldError> {
        each_param(self.params, |_, _| {})?;
        self.headers.map_or(Ok(()), check_headers)
    }

    fn into_uri(self) -> Result<Uri, FieldError> {
        let mut params = Vec::new();
        each_param(self.params, |name, value| {
            params.push(make_param(canonical(name), value.map(canonical)));
        })?;
        self.headers.map_or(Ok(()), check_headers)?;
        Ok(Uri {
            scheme: Some(if self.secure { Scheme::Sips } else { Scheme::Sip }),
            auth: self.user.map(|user| Auth { user: canonical(user), password: self.password.map(canonical) }),
            host_with_port: HostWithPort { host: make_host(self.host), port: self.port.map(Into::into) },
            params,
            headers: Vec::new(),
        })
    }
}

/// Reads `hostname / IPv4address / IPv6reference`; IPv6 comes back with its brackets.
pub(super) fn scan_host<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    if cursor.peek() == Some(b'[') {
        let close = cursor.rest().find(']')?;
        let whole = cursor.take(close + 1);
        whole[1..close].parse::<Ipv6Addr>().ok()?;
        return Some(whole);
    }
    let host = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_hostname(host).then_some(host)
}

fn is_hostname(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 255
        && labels.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

fn make_host(text: &str) -> Host {
    if let Some(address) = text.strip_prefix('[') {
        if let Ok(address) = address.trim_end_matches(']').parse::<Ipv6Addr>() {
            return Host::IpAddr(IpAddr::V6(address));
        }
    } else if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Host::IpAddr(IpAddr::V4(address));
    }
    Host::Domain(text.to_ascii_lowercase().into())
}

/// Writes a host held as text, leaving out what no host may hold.
pub(super) fn write_host_text(host: &str, out: &mut String) {
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
    out.extend(host.chars().filter(legal));
}

fn write_host(host: &Host, out: &mut String) {
    match host {
        Host::IpAddr(IpAddr::V6(address)) => out.push_str(&format!("[{address}]")),
        Host::IpAddr(IpAddr::V4(address)) => out.push_str(&address.to_string()),
        Host::Domain(domain) => write_host_text(domain.value(), out),
    }
}

/// Walks `*( ";" uri-parameter )`.
fn each_param<'a>(text: &'a str, mut found: impl FnMut(&'a str, Option<&'a str>)) -> Result<(), FieldError> {
    const BAD: FieldError = FieldError("Bad URI Parameter");
    let Some(list) = text.strip_prefix(';') else {
        return if text.is_empty() { Ok(()) } else { Err(BAD_URI) };
    };
    for (index, param) in list.split(';').enumerate() {
        let (name, value) = match param.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        };
        let sound = |text: &str| !text.is_empty() && well_escaped(text, is_param_byte);
        if index >= MAX_PARAMS || !sound(name) || !value.is_none_or(sound) {
            return Err(BAD);
        }
        found(name, value);
    }
    Ok(())
}

fn check_headers(text: &str) -> Result<(), FieldError> {
    let sound = text.split('&').all(|header| match header.split_once('=') {
        Some((name, value)) => {
            !name.is_empty() && well_escaped(name, is_header_byte) && well_escaped(value, is_header_byte)
        }
        None => false,
    });
    if sound { Ok(()) } else { Err(FieldError("Bad Headers in URI")) }
}

fn make_param(name: String, value: Option<String>) -> Param {
    let Some(value) = value else {
        return if name.eq_ignore_ascii_case("lr") { Param::Lr } else { Param::Other(name.into(), None) };
    };
    match name.to_ascii_lowercase().as_str() {
        "transport" => match transport(&value) {
            Some(transport) => Param::Transport(transport),
            None => Param::Other(name.into(), Some(value.into())),
        },
        "user" => Param::User(value.into()),
        "ttl" => Param::Ttl(value.into()),
        "maddr" => Param::Maddr(value.into()),
        _ => Param::Other(name.into(), Some(value.into())),
    }
}

fn transport(value: &str) -> Option<Transport> {
    let known = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
        ("sctp", Transport::Sctp),
        ("tls-sctp", Transport::TlsSctp),
        ("ws", Transport::Ws),
        ("wss", Transport::Wss),
    ];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, t)| t)
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Sctp => "sctp",
        Transport::TlsSctp => "tls-sctp",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

fn param_parts(param: &Param) -> (&str, Option<String>) {
    match param {
        Param::Transport(value) => ("transport", Some(transport_name(*value).to_owned())),
        Param::User(value) => ("user", Some(value.value().to_owned())),
        Param::Method(value) => ("method", Some(value.to_string())),
        Param::Ttl(value) => ("ttl", Some(value.value().to_owned())),
        Param::Maddr(value) => ("maddr", Some(value.value().to_owned())),
        Param::Lr => ("lr", None),
        Param::Branch(value) => ("branch", Some(value.value().to_owned())),
        Param::Received(value) => ("received", Some(value.value().to_owned())),
        Param::Tag(value) => ("tag", Some(value.value().to_owned())),
        Param::Expires(value) => ("expires", Some(value.value().to_owned())),
        Param::Q(value) => ("q", Some(value.value().to_owned())),
        Param::Other(name, value) => (name.value(), value.as_ref().map(|value| value.value().to_owned())),
    }
}

fn write_param(param: &Param, out: &mut String) {
    let (name, value) = param_parts(param);
    if name.is_empty() {
        return;
    }
    out.push(';');
    write_escaped(name, is_param_byte, out);
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        out.push('=');
        write_escaped(&value, is_param_byte, out);
    }
}

fn opaque(scheme: &str, rest: &str) -> Uri {
    Uri {
        scheme: Some(Scheme::Other(scheme.to_ascii_lowercase())),
        auth: None,
        host_with_port: HostWithPort { host: Host::Domain(rest.to_owned().into()), port: None },
        params: Vec::new(),
        headers: Vec::new(),
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)
}

fn is_user_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"&=+$,;?/".contains(&byte)
}

fn is_password_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"&=+$,".contains(&byte)
}

fn is_param_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"[]/:&+$".contains(&byte)
}

fn is_header_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"[]/?:+$".contains(&byte)
}

/// Every byte is of the class or part of a `%XX`.
fn well_escaped(text: &str, class: fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let sound = if byte == b'%' {
            let digits = (bytes.next(), bytes.next());
            matches!(digits, (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        } else {
            class(byte)
        };
        if !sound {
            return false;
        }
    }
    true
}

/// Takes escapes of unreserved characters out and spells the others in upper case.
fn canonical(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if is_unreserved(byte) => out.push(char::from(byte)),
            Ok(byte) => out.push_str(&format!("%{byte:02X}")),
            Err(_) => out.push_str("%25"),
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Appends the text, escaping bytes that are not of the class. Sound `%XX` pass as they are.
fn write_escaped(text: &str, class: impl Fn(u8) -> bool, out: &mut String) {
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        let escape = byte == b'%' && hex(1) && hex(2);
        if escape || (byte != b'%' && byte.is_ascii() && class(byte)) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
