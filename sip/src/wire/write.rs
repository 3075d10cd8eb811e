//! The writer. Whatever the fields of a message hold, one field stays one line (RFC 3261 §7.3): control
//! characters become spaces, names that are no tokens are left out, `Content-Length` is always computed.

use std::io::Write as _;

use super::grammar::{has_control, is_control, is_token};
use super::header_name::HeaderName;
use super::message::Message;
use super::uri;

/// Appends the message's bytes.
pub fn write(message: &Message, out: &mut Vec<u8>) {
    out.reserve(512 + message.body().len());
    match message {
        Message::Request(request) => {
            let method = request.method.as_str();
            out.extend_from_slice(if is_token(method) { method.as_bytes() } else { b"INVALID" });
            out.push(b' ');
            let mut target = String::with_capacity(64);
            uri::write_uri(&request.uri, &mut target);
            out.extend_from_slice(target.as_bytes());
            out.extend_from_slice(b" SIP/2.0\r\n");
        }
        Message::Response(response) => {
            let status = response.status.clamp(100, 699);
            out.extend_from_slice(b"SIP/2.0 ");
            write_number(usize::from(status), out);
            out.push(b' ');
            write_text(&response.reason, out);
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in message.headers().iter() {
        if *name == HeaderName::ContentLength || !is_token(name.as_str()) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        write_text(value, out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    write_number(message.body().len(), out);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(message.body());
}

/// A control character may stand in a quoted pair, but never CR or LF.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if !has_control(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut escaped = false;
    for &byte in bytes {
        let forbidden = matches!(byte, b'\r' | b'\n') || (is_control(byte) && !escaped);
        out.push(if forbidden { b' ' } else { byte });
        escaped = byte == b'\\' && !escaped;
    }
}

fn write_number(number: usize, out: &mut Vec<u8>) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// The standard reason phrase of a status code (RFC 3261 §21), empty for an unknown one.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        439 => "First Hop Lacks Outbound Support",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "",
    }
}
