//! What phones are told about a call, rewritten.

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use undertone_sip::sdp::Description;
use undertone_sip::wire::uri::{parse_uri, uri_to_string};
use undertone_sip::wire::{HeaderName, Message};

use super::mischief::{Mischief, TicketTrick};

/// The description in a message.
pub(super) fn read(message: &Message) -> Option<Description> {
    Description::parse(message.body()).ok()
}

/// Puts another body into the message.
pub(super) fn set_body(message: &mut Message, body: Vec<u8>) {
    match message {
        Message::Request(request) => request.body = body,
        Message::Response(response) => response.body = body,
    }
}

/// What this person's phone is told instead, apart from keys.
pub(super) fn lie(told: &mut Description, person: usize, mischief: &[Mischief], ends_encryption: bool) {
    if ends_encryption {
        // It speaks for itself, so it can do whatever the phone wants to hear.
        told.vfy = true;
    }
    for lie in mischief {
        match lie {
            Mischief::HidesVerification(whom) if whom.includes(person) => told.vfy = false,
            Mischief::HidesPostQuantum(whom) if whom.includes(person) => told.pq = false,
            _ => {}
        }
    }
}

/// The description as text without any protection, or with keys in it; `None` if that lie is not told.
pub(super) fn unprotected(told: &Description, mischief: &[Mischief]) -> Option<Vec<u8>> {
    let transport = mischief.iter().find_map(|lie| match lie {
        Mischief::DescribesPlainSound => Some("RTP/AVP"),
        Mischief::DescribesReadableKeys => Some("RTP/SAVP"),
        _ => None,
    })?;
    let text = String::from_utf8_lossy(&told.to_bytes()).into_owned();
    let keying = ["a=fingerprint", "a=setup", "a=tls-id"];
    let mut lines: Vec<String> = text
        .split_terminator("\r\n")
        .filter(|line| !keying.iter().any(|start| line.starts_with(start)))
        .map(|line| line.replace("UDP/TLS/RTP/SAVPF", transport).replace("UDP/TLS/RTP/SAVP", transport))
        .collect();
    if transport == "RTP/SAVP" {
        lines.push("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj".to_owned());
    }
    Some((lines.join("\r\n") + "\r\n").into_bytes())
}

/// Tricks with the ticket of an offer; `earlier` are offers that the same person got before.
pub(super) fn trick(offer: &mut Description, trick: TicketTrick, earlier: &[Description], rng: &mut ChaCha20Rng) {
    let Some(sent) = offer.ring_ticket.take() else { return };
    let mut letters: Vec<u8> = sent.bytes().collect();
    match trick {
        TicketTrick::Strips => return,
        TicketTrick::Replays | TicketTrick::ReplaysWithItsCall => {
            let Some(first) = earlier.first() else {
                offer.ring_ticket = Some(sent);
                return;
            };
            offer.ring_ticket.clone_from(&first.ring_ticket);
            if trick == TicketTrick::ReplaysWithItsCall {
                offer.fingerprint = first.fingerprint;
                offer.tls_id.clone_from(&first.tls_id);
            }
            return;
        }
        TicketTrick::Alters => {
            // Not the last letter, whose low bits may stand for nothing.
            let at = rng.next_u32() as usize % (letters.len() - 1);
            letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
        }
        TicketTrick::Forges => {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            letters.iter_mut().for_each(|letter| *letter = ALPHABET[rng.next_u32() as usize % ALPHABET.len()]);
        }
    }
    offer.ring_ticket = Some(String::from_utf8_lossy(&letters).into_owned());
}

/// Leads a request for one account to another.
pub(super) fn lead(message: &mut Message, from: &str, to: &str) {
    if let Message::Request(request) = message {
        let uri = renamed(&uri_to_string(&request.uri), from, to);
        if let Ok(uri) = parse_uri(&uri) {
            request.uri = uri;
        }
    }
    rename(message, &HeaderName::To, from, to);
}

/// Shows one account as another in this header.
pub(super) fn rename(message: &mut Message, header: &HeaderName, from: &str, to: &str) {
    let headers = match message {
        Message::Request(request) => &mut request.headers,
        Message::Response(response) => &mut response.headers,
    };
    if let Some(value) = headers.get(header).map(|value| renamed(value, from, to)) {
        headers.set(header.clone(), value);
    }
}

fn renamed(text: &str, from: &str, to: &str) -> String {
    text.replace(&format!("sip:{from}@"), &format!("sip:{to}@"))
}
