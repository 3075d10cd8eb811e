//! Cuts a TLS or TCP stream into messages (RFC 3261 §18.3) and keep-alives (RFC 5626 §4.4.1).
//!
//! ```text
//! [CRLF CRLF = Ping | CRLF = Pong]* head CRLFCRLF body(Content-Length)
//! ```
//! Memory is bounded by [`MAX_HEADER_LEN`] + [`MAX_BODY_LEN`] plus what one `push` brings; every byte is
//! looked at a constant number of times however the stream is cut into pieces.

use zeroize::Zeroize as _;

use super::grammar::{FieldError, is_space, number, trim};
use super::header_name::HeaderName;

/// Largest header section: an order of magnitude above any real one.
pub const MAX_HEADER_LEN: usize = 16 * 1024;
/// Largest body: SDP is capped at 16 KiB, messages stay far below this.
pub const MAX_BODY_LEN: usize = 64 * 1024;

/// Which end of the connection this is: it decides what a lone CRLF means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Accepted the connection; gets pings (CRLF CRLF).
    Server,
    /// Opened the connection; gets pongs (CRLF) and must hear of them at once.
    Client,
}

/// What was cut out of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One message, ready for [`super::parse`].
    Message(Vec<u8>),
    /// CRLF CRLF: answer with CRLF.
    Ping,
    /// CRLF: the answer to a ping.
    Pong,
}

/// Why the stream cannot be cut any further; the connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// No empty line within [`MAX_HEADER_LEN`].
    #[error("header section longer than 16 KiB; close the connection")]
    HeaderTooLong,
    /// `Content-Length` above [`MAX_BODY_LEN`].
    #[error("body longer than 64 KiB; close the connection")]
    BodyTooLong {
        /// The header section: [`super::parse`] of it tells what a last response needs.
        head: Vec<u8>,
    },
    /// `Content-Length` absent, repeated or not a number: where the message ends is unknown.
    #[error("no usable Content-Length; close the connection")]
    BadContentLength {
        /// The header section: [`super::parse`] of it tells what a last response needs.
        head: Vec<u8>,
    },
}

/// Cuts messages out of a byte stream.
#[derive(Debug)]
pub struct StreamFramer {
    end: End,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already handed out.
    start: usize,
    /// Bytes after `start` known to hold no end of headers.
    searched: usize,
    /// Length of head and body, once the head is complete.
    length: Option<usize>,
    failed: bool,
}

impl StreamFramer {
    /// A framer for one connection.
    pub fn new(end: End) -> Self {
        Self { end, buffer: Vec::new(), start: 0, searched: 0, length: None, failed: false }
    }

    /// Takes bytes that arrived. After an error the stream is dead and bytes are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more bytes arrive. After an error always `None`.
    #[allow(clippy::should_implement_trait)] // `None` is not the end: more bytes may follow.
    pub fn next(&mut self) -> Option<Result<Frame, FramingError>> {
        if self.failed {
            return None;
        }
        let frame = self.cut();
        if matches!(frame, Some(Err(_))) {
            self.failed = true;
            self.start = self.buffer.len();
            self.compact();
        }
        frame
    }

    fn cut(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(keepalive) = self.cut_keepalive() {
            return keepalive.map(Ok);
        }
        if self.length.is_none() {
            match self.find_length()? {
                Ok(length) => self.length = Some(length),
                Err(error) => return Some(Err(error)),
            }
        }
        let length = self.length?;
        let message = self.buffer.get(self.start..self.start + length)?.to_vec();
        self.consume(length);
        Some(Ok(Frame::Message(message)))
    }

    /// `Some(None)`: a keep-alive may have begun, wait for more.
    fn cut_keepalive(&mut self) -> Option<Option<Frame>> {
        let rest = &self.buffer[self.start..];
        if self.length.is_some() || rest.first() != Some(&b'\r') {
            return None;
        }
        let (length, frame) = match (rest, self.end) {
            ([b'\r', b'\n', b'\r', b'\n', ..], End::Server) => (4, Frame::Ping),
            ([b'\r', b'\n', ..], End::Client) => (2, Frame::Pong),
            ([b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'], _) => return Some(None),
            ([b'\r', b'\n', ..], End::Server) => (2, Frame::Pong),
            // A carriage return alone cannot start a message; the reader will refuse it.
            _ => return None,
        };
        self.consume(length);
        Some(Some(frame))
    }

    fn find_length(&mut self) -> Option<Result<usize, FramingError>> {
        let rest = &self.buffer[self.start..];
        // The empty line may have begun in what was searched before.
        let from = self.searched.saturating_sub(3);
        let found = rest[from..].windows(4).position(|window| window == b"\r\n\r\n");
        let Some(at) = found else {
            self.searched = rest.len();
            return (rest.len() > MAX_HEADER_LEN).then_some(Err(FramingError::HeaderTooLong));
        };
        let head = &rest[..from + at + 4];
        if head.len() > MAX_HEADER_LEN {
            return Some(Err(FramingError::HeaderTooLong));
        }
        Some(match content_length(head) {
            Ok(body) if body > MAX_BODY_LEN => Err(FramingError::BodyTooLong { head: head.to_vec() }),
            Ok(body) => Ok(head.len() + body),
            Err(_) => Err(FramingError::BadContentLength { head: head.to_vec() }),
        })
    }

    /// Moves what is left to the front and wipes the rest: signalling must not outlive its use.
    fn compact(&mut self) {
        if self.start > 0 {
            let left = self.buffer.len() - self.start;
            self.buffer.copy_within(self.start.., 0);
            self.buffer[left..].zeroize();
            self.buffer.truncate(left);
            self.start = 0;
        }
    }

    fn consume(&mut self, length: usize) {
        self.buffer[self.start..self.start + length].zeroize();
        self.start += length;
        self.searched = 0;
        self.length = None;
    }
}

/// The one `Content-Length` of a header section.
fn content_length(head: &[u8]) -> Result<usize, FieldError> {
    const BAD: FieldError = FieldError("Bad Content-Length");
    let mut length = None;
    let mut lines = head.split(|&byte| byte == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let Ok(name) = std::str::from_utf8(&line[..colon]) else { continue };
        if HeaderName::parse(name.trim_end_matches([' ', '\t'])) != HeaderName::ContentLength {
            continue;
        }
        let mut value = line[colon + 1..].to_vec();
        while let Some(more) = lines.next_if(|line| line.first().copied().is_some_and(is_space)) {
            value.extend_from_slice(more);
        }
        value.retain(|&byte| byte != b'\r');
        let text = std::str::from_utf8(&value).map_err(|_| BAD)?;
        let value = number(trim(text), u64::from(u32::MAX), BAD)?;
        if length.replace(value).is_some() {
            return Err(FieldError("Duplicate Content-Length"));
        }
    }
    usize::try_from(length.ok_or(FieldError("Missing Content-Length"))?).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_out_or_refused_is_wiped_from_the_buffer() {
        let mut framer = StreamFramer::new(End::Server);
        framer.push(b"A sip:b SIP/2.0\r\nl: 2\r\n\r\nxyA");
        assert!(matches!(framer.next(), Some(Ok(Frame::Message(_)))));
        assert!(framer.buffer[..framer.start].iter().all(|&byte| byte == 0));
        framer.push(b" sip:b SIP/2.0\r\n\r\n");
        assert_eq!(framer.buffer.first(), Some(&b'A'));
        assert!(matches!(framer.next(), Some(Err(FramingError::BadContentLength { .. }))));
        assert!(framer.buffer.is_empty());
    }
}
