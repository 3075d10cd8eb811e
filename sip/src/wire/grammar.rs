//! Character classes and the cursor all header readers share (RFC 3261 §25.1).
//!
//! Values reach this code unfolded: a folded line's CRLF and leading white space are one space already.

/// Why a header field's value is refused; the text is fit for a reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(pub &'static str);

const TOKEN: u8 = 1;
const URI_CHAR: u8 = 2;
const WORD_EXTRA: u8 = 4;

/// One table look-up per byte instead of a chain of comparisons.
static CLASS: [u8; 256] = build_classes();

const fn build_classes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut byte = 0_usize;
    while byte < 128 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() {
            table[byte] = TOKEN | URI_CHAR;
        }
        byte += 1;
    }
    let mut i = 0;
    let token = b"-.!%*_+`'~";
    while i < token.len() {
        table[token[i] as usize] |= TOKEN;
        i += 1;
    }
    i = 0;
    let uri = b";/?:@&=+$,-_.!~*'()%[]";
    while i < uri.len() {
        table[uri[i] as usize] |= URI_CHAR;
        i += 1;
    }
    i = 0;
    let word = b"()<>:\\\"/[]?{}";
    while i < word.len() {
        table[word[i] as usize] |= WORD_EXTRA;
        i += 1;
    }
    table
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// Bytes a URI of an unknown scheme may hold (RFC 3261 `absoluteURI`).
pub(super) fn is_uri_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & URI_CHAR != 0
}

/// Bytes of `word`, of which a Call-ID is made.
pub(super) fn is_word_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & (TOKEN | WORD_EXTRA) != 0
}

/// Parameter values: token, or the characters of a host (`received=2001:db8::1`, `maddr=[…]`).
pub(super) fn is_value_byte(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'[' | b']' | b':')
}

/// Whether the text is a non-empty `token`.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Spaces and tabs off both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Decimal digits only, leading zeros allowed, at most `max`.
pub(super) fn number(text: &str, max: u64, error: FieldError) -> Result<u64, FieldError> {
    if text.is_empty() {
        return Err(error);
    }
    let mut value = 0_u64;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return Err(error);
        }
        value = value * 10 + u64::from(byte - b'0');
        // `max` is at most 2^32, so the multiplication above cannot overflow.
        if value > max {
            return Err(error);
        }
    }
    Ok(value)
}

/// A position in a header value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Takes one ASCII byte if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// A separator with white space on either side (`SEMI`, `EQUAL`, `SLASH`, `COLON`, `COMMA`).
    pub(super) fn eat_separator(&mut self, byte: u8) -> bool {
        let start = self.at;
        self.skip_space();
        if self.eat(byte) {
            self.skip_space();
            true
        } else {
            self.at = start;
            false
        }
    }

    /// The longest run of bytes of a class; the class holds ASCII only, so slicing is safe.
    pub(super) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii() && class(byte)) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// The next bytes; the caller has found a character boundary there.
    pub(super) fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + length];
        self.at += length;
        taken
    }

    /// Everything up to the byte, which is consumed; `None` if it does not occur.
    pub(super) fn take_through(&mut self, byte: u8) -> Option<&'a str> {
        let length = self.rest().bytes().position(|b| b == byte)?;
        let taken = &self.text[self.at..self.at + length];
        self.at += length + 1;
        Some(taken)
    }

    pub(super) fn token(&mut self, error: FieldError) -> Result<&'a str, FieldError> {
        let token = self.take_while(is_token_byte);
        if token.is_empty() { Err(error) } else { Ok(token) }
    }

    /// A quoted string starting at `"`; returns what stands between the quotes, escapes untouched.
    pub(super) fn quoted(&mut self) -> Result<&'a str, FieldError> {
        if !self.eat(b'"') {
            return Err(FieldError("Expected a Quoted String"));
        }
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err(FieldError("Unterminated Quoted String")),
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(escaped) if escaped.is_ascii() => self.at += 1,
                        _ => return Err(FieldError("Bad Escape in Quoted String")),
                    }
                }
                Some(byte) if is_control(byte) => {
                    return Err(FieldError("Control Character in Quoted String"));
                }
                Some(_) => self.at += 1,
            }
        }
        let inside = &self.text[start..self.at];
        self.at += 1;
        Ok(inside)
    }
}

pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Whether any byte is a control character; without early exit the compiler makes it a vector loop.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | is_control(byte))
}

/// Takes the escapes out of a quoted string's inside.
pub(super) fn unescape(inside: &str) -> String {
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            text.extend(chars.next());
        } else {
            text.push(c);
        }
    }
    text
}

/// Writes a quoted string. CR and LF cannot be expressed in one and become spaces.
pub(super) fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\r' | '\n' => out.push(' '),
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii() && is_control(c as u8) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Iterates over the elements between top-level commas, trimmed; quotes and `<…>` protect commas.
pub(super) fn split_commas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = top_level_comma(text);
        let element = match end {
            Some(at) => {
                rest = Some(&text[at + 1..]);
                &text[..at]
            }
            None => {
                rest = None;
                text
            }
        };
        Some(trim(element))
    })
}

fn top_level_comma(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_quotes_and_angles_do_not_split() {
        let parts: Vec<_> = split_commas(r#""a, \"b" <sip:x,y@h>;p="1,2" , <sip:z>"#).collect();
        assert_eq!(parts, [r#""a, \"b" <sip:x,y@h>;p="1,2""#, "<sip:z>"]);
    }

    #[test]
    fn numbers_out_of_range_are_refused_however_long_they_are() {
        let error = FieldError("x");
        assert_eq!(number("0068", 255, error), Ok(68));
        assert!(number("256", 255, error).is_err());
        assert!(number("-1", 255, error).is_err());
        assert!(number(&"9".repeat(5000), u64::from(u32::MAX), error).is_err());
    }
}
