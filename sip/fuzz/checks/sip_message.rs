//! What must hold for any bytes taken as one SIP message.

use undertone_sip::digest::{Challenge, Credentials};
use undertone_sip::wire::{HeaderName, Message, parse, screen, write};

/// Reading never panics; what was read has sound typed headers, and writing it and reading it again
/// gives the same message.
pub fn check(bytes: &[u8]) {
    let message = match parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            if let Some(partial) = error.partial {
                assert!(partial.headers.get(&HeaderName::Via).is_some());
            }
            return;
        }
    };
    let headers = message.headers();
    assert!(headers.vias().is_ok() && headers.from().is_ok() && headers.to().is_ok());
    assert!(headers.cseq().is_ok() && headers.call_id().is_ok() && headers.contacts().is_ok());
    assert!(headers.routes().is_ok() && headers.record_routes().is_ok());
    let _ = (headers.session_expires(), headers.retry_after(), headers.content_type());
    for (_, value) in headers.iter() {
        let _ = (Challenge::parse(value), Credentials::parse(value));
    }
    if let Message::Request(request) = &message {
        let _ = screen(request);
    }
    let mut written = Vec::new();
    write(&message, &mut written);
    let again = parse(&written).expect("what was written can be read");
    assert_eq!(without_length(again), without_length(message));
}

/// The writer computes `Content-Length` anew and puts it last.
fn without_length(mut message: Message) -> Message {
    let headers = match &mut message {
        Message::Request(request) => &mut request.headers,
        Message::Response(response) => &mut response.headers,
    };
    headers.remove(&HeaderName::ContentLength);
    message
}
