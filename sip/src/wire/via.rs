//! `Via` (RFC 3261 §20.42): transport, sent-by and parameters of one hop.

use std::fmt;

use super::grammar::{Cursor, FieldError, is_token, number, trim};
use super::params::{self, Params};
use super::uri::{scan_host, write_host_text};

/// Branches of RFC 3261 elements start with this (§8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";

/// One `Via` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `TLS`, `TCP`, `UDP` or another token.
    pub transport: String,
    /// Sent-by host; an IPv6 address stands in brackets.
    pub host: String,
    /// Sent-by port.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, …
    pub params: Params,
}

impl Via {
    /// Reads one value (not a comma-separated list) of any SIP version.
    pub fn parse(value: &str) -> Result<Self, FieldError> {
        let mut cursor = Cursor::new(trim(value));
        let hop = scan_hop(&mut cursor)?;
        Ok(Self {
            transport: hop.transport.to_owned(),
            host: hop.host.to_owned(),
            port: hop.port,
            params: Params::read(&mut cursor)?,
        })
    }

    /// The transaction's branch.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Whether the branch identifies the transaction globally (RFC 3261 §17.2.3): it starts with the
    /// magic cookie and something follows it.
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch().is_some_and(|branch| branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE))
    }
}

struct Hop<'a> {
    version: &'a str,
    transport: &'a str,
    host: &'a str,
    port: Option<u16>,
}

const BAD: FieldError = FieldError("Bad Via");

fn scan_hop<'a>(cursor: &mut Cursor<'a>) -> Result<Hop<'a>, FieldError> {
    let protocol = cursor.token(BAD)?;
    if !protocol.eq_ignore_ascii_case("SIP") || !cursor.eat_separator(b'/') {
        return Err(BAD);
    }
    let version = cursor.token(BAD)?;
    if !cursor.eat_separator(b'/') {
        return Err(BAD);
    }
    let transport = cursor.token(BAD)?;
    if !cursor.peek().is_some_and(super::grammar::is_space) {
        return Err(BAD);
    }
    cursor.skip_space();
    let host = scan_host(cursor).ok_or(FieldError("Bad Via Host"))?;
    let port = if cursor.eat_separator(b':') {
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        let port = number(digits, u64::from(u16::MAX), FieldError("Bad Via Port"))?;
        u16::try_from(port).ok()
    } else {
        None
    };
    Ok(Hop { version, transport, host, port })
}

/// Checks one value without allocating.
pub(super) fn check(value: &str) -> Result<(), FieldError> {
    let mut cursor = Cursor::new(value);
    if scan_hop(&mut cursor)?.version != "2.0" {
        return Err(BAD);
    }
    params::scan(&mut cursor, |_, _| {})
}

/// Whether the value names at least the host a response would go to.
pub(super) fn scan_way_back(value: &str) -> Result<(), FieldError> {
    scan_hop(&mut Cursor::new(value)).map(|_| ())
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if is_token(&self.transport) { &self.transport } else { "TLS" };
        let mut text = String::with_capacity(96);
        text.push_str("SIP/2.0/");
        text.push_str(transport);
        text.push(' ');
        write_host_text(&self.host, &mut text);
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        self.params.write(&mut text);
        f.write_str(&text)
    }
}
