//! Header parameters (RFC 3261 §25.1 `generic-param`): an ordered list of names with optional values.

use super::grammar::{Cursor, FieldError, is_token, is_value_byte, unescape, write_quoted};

/// Most parameters one header value may carry; real ones carry fewer than ten, and looking for
/// duplicates is quadratic in this number.
pub const MAX_PARAMS: usize = 64;

/// Ordered parameters. Names compare without case; values are held without quotes and escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether the parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The parameter's value; `None` if it is absent or has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        value.as_deref()
    }

    /// Sets or replaces a parameter with a value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.put(name, Some(value.into()));
    }

    /// Sets or replaces a parameter without a value.
    pub fn set_flag(&mut self, name: &str) {
        self.put(name, None);
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Builder form of [`Params::set`].
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, FieldError> {
        let mut params = Self::new();
        scan(cursor, |name, value| {
            let value = value.map(|value| match value {
                Value::Plain(text) => text.to_owned(),
                Value::Quoted(inside) => unescape(inside),
            });
            params.0.push((name.to_owned(), value));
        })?;
        Ok(params)
    }

    pub(super) fn write(&self, out: &mut String) {
        for (name, value) in &self.0 {
            // A name that is no token cannot be written without changing the message's meaning.
            if !is_token(name) {
                continue;
            }
            out.push(';');
            out.push_str(name);
            if let Some(value) = value {
                out.push('=');
                if !value.is_empty() && value.bytes().all(is_value_byte) {
                    out.push_str(value);
                } else {
                    write_quoted(value, out);
                }
            }
        }
    }
}

/// A parameter's value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Plain(&'a str),
    Quoted(&'a str),
}

/// Walks `*( SEMI generic-param )` to the end of the value without allocating.
pub(super) fn scan<'a>(
    cursor: &mut Cursor<'a>,
    mut found: impl FnMut(&'a str, Option<Value<'a>>),
) -> Result<(), FieldError> {
    let mut names: [&str; MAX_PARAMS] = [""; MAX_PARAMS];
    let mut count = 0_usize;
    while cursor.eat_separator(b';') {
        let name = cursor.token(FieldError("Bad Parameter"))?;
        if count == MAX_PARAMS {
            return Err(FieldError("Too Many Parameters"));
        }
        if names[..count].iter().any(|n| n.eq_ignore_ascii_case(name)) {
            return Err(FieldError("Duplicate Parameter"));
        }
        names[count] = name;
        count += 1;
        let value = if !cursor.eat_separator(b'=') {
            None
        } else if cursor.peek() == Some(b'"') {
            Some(Value::Quoted(cursor.quoted()?))
        } else {
            let text = cursor.take_while(is_value_byte);
            if text.is_empty() {
                return Err(FieldError("Empty Parameter Value"));
            }
            Some(Value::Plain(text))
        };
        found(name, value);
    }
    cursor.skip_space();
    if cursor.at_end() { Ok(()) } else { Err(FieldError("Unexpected Text After Parameters")) }
}
