//! `name-addr` and `addr-spec` with header parameters (RFC 3261 §20.10): From, To, Contact, Route, ….

use std::fmt;

use super::grammar::{Cursor, FieldError, is_space, is_token_byte, trim, unescape, write_quoted};
use super::params::{self, Params};
use super::uri::{self, Uri};

/// A URI with an optional display name and header parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name without quotes and escapes.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Header parameters (not the URI's own).
    pub params: Params,
}

impl NameAddr {
    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::new() }
    }

    /// Builder form: with this tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.params.set("tag", tag);
        self
    }

    /// Reads one value (not a comma-separated list).
    pub fn parse(value: &str) -> Result<Self, FieldError> {
        let mut cursor = Cursor::new(trim(value));
        let parts = scan_address(&mut cursor)?;
        Ok(Self {
            display: parts.display.map(Display::into_text),
            uri: uri::parse_uri(parts.uri)?,
            params: Params::read(&mut cursor)?,
        })
    }

    /// The dialog tag.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }
}

enum Display<'a> {
    Quoted(&'a str),
    Tokens(&'a str),
}

impl Display<'_> {
    fn into_text(self) -> String {
        match self {
            Self::Quoted(inside) => unescape(inside),
            Self::Tokens(tokens) => tokens.to_owned(),
        }
    }
}

struct Parts<'a> {
    display: Option<Display<'a>>,
    uri: &'a str,
}

fn scan_address<'a>(cursor: &mut Cursor<'a>) -> Result<Parts<'a>, FieldError> {
    if cursor.peek() == Some(b'"') {
        let display = Display::Quoted(cursor.quoted()?);
        cursor.skip_space();
        return Ok(Parts { display: Some(display), uri: scan_angle(cursor)? });
    }
    if cursor.peek() == Some(b'<') {
        return Ok(Parts { display: None, uri: scan_angle(cursor)? });
    }
    let mut ahead = *cursor;
    let tokens = trim(ahead.take_while(|byte| is_token_byte(byte) || is_space(byte)));
    if ahead.peek() == Some(b'<') {
        *cursor = ahead;
        return Ok(Parts { display: Some(Display::Tokens(tokens)), uri: scan_angle(cursor)? });
    }
    // addr-spec: what follows a semicolon belongs to the header, so `?` and `,` may not occur (§20).
    let uri = cursor.take_while(|byte| byte != b';' && !is_space(byte));
    if uri.bytes().any(|byte| matches!(byte, b'?' | b',')) {
        return Err(FieldError("Address Needs Angle Brackets"));
    }
    Ok(Parts { display: None, uri })
}

fn scan_angle<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, FieldError> {
    if !cursor.eat(b'<') {
        return Err(FieldError("Bad Display Name"));
    }
    cursor.take_through(b'>').ok_or(FieldError("Unclosed Angle Bracket"))
}

/// Checks one value without allocating.
pub(super) fn check(value: &str) -> Result<(), FieldError> {
    let mut cursor = Cursor::new(value);
    let parts = scan_address(&mut cursor)?;
    uri::check(parts.uri)?;
    params::scan(&mut cursor, |_, _| {})
}

/// As [`check`], and the `expires` and `q` parameters of a Contact must be in range.
pub(super) fn check_contact(value: &str) -> Result<(), FieldError> {
    let mut cursor = Cursor::new(value);
    let parts = scan_address(&mut cursor)?;
    uri::check(parts.uri)?;
    let mut result = Ok(());
    params::scan(&mut cursor, |name, value| {
        if let Some(params::Value::Plain(text)) = value
            && name.eq_ignore_ascii_case("expires")
        {
            let error = FieldError("Bad Contact Expires");
            let checked = super::grammar::number(text, u64::from(u32::MAX), error);
            result = result.and(checked.map(|_| ()));
        }
    })?;
    result
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(96);
        if let Some(display) = &self.display {
            write_quoted(display, &mut text);
            text.push(' ');
        }
        text.push('<');
        uri::write_uri(&self.uri, &mut text);
        text.push('>');
        self.params.write(&mut text);
        f.write_str(&text)
    }
}
