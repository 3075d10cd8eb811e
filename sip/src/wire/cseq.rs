//! `CSeq` (RFC 3261 §20.16): sequence number below 2^31 and the request's method.

use std::fmt;

use super::grammar::{Cursor, FieldError, is_space, number, trim};
use super::method::Method;

/// Sequence numbers are below 2^31 (RFC 3261 §8.1.1.5).
const MAX_NUMBER: u64 = (1 << 31) - 1;

/// The value of a `CSeq` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Orders the requests of a dialog.
    pub number: u32,
    /// Repeats the request's method.
    pub method: Method,
}

impl CSeq {
    /// Reads a header value.
    pub fn parse(value: &str) -> Result<Self, FieldError> {
        let (number, method) = scan(value)?;
        let method = Method::parse(method).ok_or(FieldError("Bad CSeq Method"))?;
        Ok(Self { number, method })
    }
}

/// Number and method name without allocating.
pub(super) fn scan(value: &str) -> Result<(u32, &str), FieldError> {
    let mut cursor = Cursor::new(trim(value));
    let digits = cursor.take_while(|byte| byte.is_ascii_digit());
    let number = number(digits, MAX_NUMBER, FieldError("Bad CSeq Number"))?;
    if !cursor.peek().is_some_and(is_space) {
        return Err(FieldError("Bad CSeq"));
    }
    cursor.skip_space();
    let method = cursor.token(FieldError("Bad CSeq Method"))?;
    if !cursor.at_end() {
        return Err(FieldError("Bad CSeq"));
    }
    let number = u32::try_from(number).map_err(|_| FieldError("Bad CSeq Number"))?;
    Ok((number, method))
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}
