//! SIP on the wire: a strict reader and an injection-proof writer (RFC 3261 §25, judged by RFC 4475).
//!
//! ```text
//! bytes ─ StreamFramer ─▶ one message ─ parse ─▶ Message ─ (screen: what the upper layer must refuse)
//! Message ─ write ─▶ bytes
//! ```
//!
//! [`parse`] checks the grammar of every header it knows, so the typed accessors of [`Headers`] only
//! fail for headers that are absent. Header text is kept as it was read (unfolded); typed values are
//! made on demand. The URI data model is [`rsip::Uri`]; reading and writing it is ours ([`uri`]).

mod cseq;
mod grammar;
mod header_name;
mod headers;
mod message;
mod method;
mod name_addr;
mod params;
mod parse;
mod screen;
mod stream_framer;
pub mod uri;
mod via;
mod write;

pub use cseq::CSeq;
pub use grammar::FieldError;
pub use header_name::HeaderName;
pub use headers::Headers;
pub use message::{Message, Request, Response};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{MAX_PARAMS, Params};
pub use parse::{MAX_HEADERS, ParseError, Partial, parse};
pub use rsip::Uri;
pub use screen::{Refusal, screen};
pub use stream_framer::{End, Frame, FramingError, MAX_BODY_LEN, MAX_HEADER_LEN, StreamFramer};
pub use via::Via;
pub use write::{reason_phrase, write};
