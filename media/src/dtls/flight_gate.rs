//! Stands between the network and the DTLS 1.2 engine, and hands it whole flights (RFC 6347 §4.2.4).
//!
//! The engine stops its retransmission timer at the first message of a flight, and never starts it
//! again if the rest was lost. So messages are put together here, and the engine sees them when the
//! flight is complete; repetitions of older flights it never sees at all.
//!
//! ```text
//! server: Hello ──sent ServerHelloDone──▶ ClientFlight ──fed──▶ Finished ──established──▶ Done
//! client: ServerFlight ──sent ClientKeyExchange──▶ Finished ──established──▶ Done
//! ```

use std::collections::BTreeMap;

use super::Role;
use super::record::{
    ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, Fragment, HANDSHAKE,
    HELLO_VERIFY_REQUEST, Record, SERVER_HELLO_DONE,
};

/// Longest handshake message: a chain of several RSA certificates is shorter.
const MAX_MESSAGE_LEN: usize = 16 * 1024;
/// Messages of one flight: the longest has five.
const MAX_MESSAGES: u16 = 8;
/// Encrypted records handed on before the association is established; each is one small message.
const MAX_EARLY_RECORDS: u32 = 64;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
/// A Certificate message without any certificate.
const EMPTY_CERTIFICATE_LEN: usize = 3;

/// What the peer is expected to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Hello,
    ServerFlight,
    ClientFlight,
    Finished,
    Done,
}

/// What becomes of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing for the engine yet.
    Hold,
    /// Records for the engine, in one datagram.
    Feed(Vec<u8>),
    /// The peer repeats its last flight: it has not seen ours.
    PeerRepeats,
}

pub(super) struct FlightGate {
    role: Role,
    stage: Stage,
    /// Sequence number of the first message of the flight awaited.
    next_message: u16,
    messages: BTreeMap<u16, Message>,
    /// Encrypted records that came before the flight they end was complete.
    sealed: Vec<Vec<u8>>,
    change_cipher_spec: Option<Vec<u8>>,
    early_records: u32,
    /// Plaintext records are numbered anew, because several become one.
    next_record: u64,
}

impl FlightGate {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            stage: match role {
                Role::Client => Stage::ServerFlight,
                Role::Server => Stage::Hello,
            },
            next_message: 0,
            messages: BTreeMap::new(),
            sealed: Vec::new(),
            change_cipher_spec: None,
            early_records: 0,
            next_record: 0,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Follows the handshake by what our engine sends.
    pub(super) fn handle_sent(&mut self, datagram: &[u8]) {
        for fragment in Record::all(datagram).flat_map(|record| record.fragments()) {
            match fragment.kind {
                SERVER_HELLO_DONE if self.stage == Stage::Hello => self.stage = Stage::ClientFlight,
                CLIENT_KEY_EXCHANGE if self.stage == Stage::ServerFlight => self.stage = Stage::Finished,
                _ => {}
            }
        }
    }

    pub(super) fn handle_established(&mut self) {
        self.stage = Stage::Done;
        self.messages.clear();
        self.sealed.clear();
    }

    pub(super) fn handle_received(&mut self, datagram: &[u8]) -> Verdict {
        let mut feed = Vec::new();
        let mut repeats = false;
        for record in Record::all(datagram) {
            match (self.stage, record.epoch, record.content_type) {
                (Stage::Done, 0, HANDSHAKE) => repeats = true,
                (Stage::Done, 1, HANDSHAKE) => repeats = true,
                (Stage::Done, 1, APPLICATION_DATA | ALERT) => feed.extend_from_slice(record.bytes),
                (Stage::Hello, 0, HANDSHAKE) => self.take_hello(&record, &mut feed),
                (Stage::ServerFlight | Stage::ClientFlight, 0, HANDSHAKE) => {
                    record.fragments().for_each(|fragment| self.take(&fragment));
                }
                (Stage::ClientFlight, 0, CHANGE_CIPHER_SPEC) => {
                    self.change_cipher_spec = Some(record.bytes.to_vec());
                }
                (Stage::ClientFlight, 1, HANDSHAKE) => self.hold_sealed(record.bytes),
                (Stage::Finished, 0, CHANGE_CIPHER_SPEC) => self.renumber(record.bytes, &mut feed),
                (Stage::Finished, 1, HANDSHAKE | ALERT) if self.early_records < MAX_EARLY_RECORDS => {
                    self.early_records += 1;
                    feed.extend_from_slice(record.bytes);
                }
                (Stage::ServerFlight | Stage::ClientFlight | Stage::Finished, 0, ALERT) => {
                    self.renumber(record.bytes, &mut feed);
                }
                _ => {}
            }
        }
        self.release_flight(&mut feed);
        if !feed.is_empty() {
            Verdict::Feed(feed)
        } else if repeats && self.role == Role::Server {
            Verdict::PeerRepeats
        } else {
            Verdict::Hold
        }
    }

    /// A ClientHello is a flight of its own; the first may be repeated if our answer was lost.
    fn take_hello(&mut self, record: &Record<'_>, feed: &mut Vec<u8>) {
        for fragment in record.fragments() {
            let expected = fragment.kind == CLIENT_HELLO && fragment.message_sequence < MAX_MESSAGES;
            if expected && fragment.is_whole() {
                self.next_message = fragment.message_sequence + 1;
                self.write_message(fragment.bytes, feed);
            }
        }
    }

    fn take(&mut self, fragment: &Fragment<'_>) {
        let ahead = fragment.message_sequence.wrapping_sub(self.next_message);
        let end = fragment.offset + fragment.len();
        if ahead >= MAX_MESSAGES || fragment.message_len > MAX_MESSAGE_LEN || end > fragment.message_len {
            return;
        }
        let message = self
            .messages
            .entry(fragment.message_sequence)
            .and_modify(|message| {
                if !message.continues_in(fragment) {
                    *message = Message::new(fragment);
                }
            })
            .or_insert_with(|| Message::new(fragment));
        message.add(fragment);
    }

    fn hold_sealed(&mut self, record: &[u8]) {
        if self.early_records < MAX_EARLY_RECORDS && !self.sealed.iter().any(|held| held == record) {
            self.early_records += 1;
            self.sealed.push(record.to_vec());
        }
    }

    /// Hands the flight on if it is complete.
    fn release_flight(&mut self, feed: &mut Vec<u8>) {
        let Some(end) = self.complete_flight() else {
            return;
        };
        for sequence in self.next_message..=end {
            if let Some(message) = self.messages.remove(&sequence) {
                self.write_message(&message.bytes, feed);
            }
        }
        self.messages.clear();
        self.next_message = end + 1;
        if self.stage == Stage::ClientFlight {
            self.stage = Stage::Finished;
            if let Some(record) = self.change_cipher_spec.take() {
                self.renumber(&record, feed);
            }
            for record in std::mem::take(&mut self.sealed) {
                feed.extend_from_slice(&record);
            }
        }
    }

    /// The last message of the flight awaited, if all up to it are there.
    fn complete_flight(&self) -> Option<u16> {
        let mut certificate = false;
        let mut keys = false;
        for sequence in self.next_message..self.next_message.saturating_add(MAX_MESSAGES) {
            let message = self.messages.get(&sequence).filter(|message| message.missing == 0)?;
            match (self.stage, message.kind()) {
                (Stage::ServerFlight, SERVER_HELLO_DONE | HELLO_VERIFY_REQUEST) => return Some(sequence),
                (Stage::ClientFlight, CERTIFICATE) => {
                    certificate = message.body_len() > EMPTY_CERTIFICATE_LEN;
                }
                (Stage::ClientFlight, CLIENT_KEY_EXCHANGE) => keys = true,
                (Stage::ClientFlight, CERTIFICATE_VERIFY) => certificate = false,
                _ => {}
            }
            if keys && !certificate {
                return Some(sequence);
            }
        }
        None
    }

    fn write_message(&mut self, message: &[u8], feed: &mut Vec<u8>) {
        let Ok(len) = u16::try_from(message.len()) else {
            return;
        };
        feed.extend_from_slice(&[HANDSHAKE, 254, 253, 0, 0]);
        feed.extend_from_slice(&self.next_record.to_be_bytes()[2..]);
        feed.extend_from_slice(&len.to_be_bytes());
        feed.extend_from_slice(message);
        self.next_record += 1;
    }

    fn renumber(&mut self, record: &[u8], feed: &mut Vec<u8>) {
        let start = feed.len();
        feed.extend_from_slice(record);
        feed[start + 5..start + 11].copy_from_slice(&self.next_record.to_be_bytes()[2..]);
        self.next_record += 1;
    }
}

/// A handshake message being put together from its fragments.
struct Message {
    /// With the handshake header, as if it had come in one fragment.
    bytes: Vec<u8>,
    present: Vec<bool>,
    missing: usize,
}

const HANDSHAKE_HEADER_LEN: usize = 12;

impl Message {
    fn new(fragment: &Fragment<'_>) -> Self {
        let mut bytes = fragment.bytes[..HANDSHAKE_HEADER_LEN].to_vec();
        let (len, parts) = bytes.split_at_mut(6);
        parts[..3].fill(0);
        parts[3..6].copy_from_slice(&len[1..4]);
        bytes.resize(HANDSHAKE_HEADER_LEN + fragment.message_len, 0);
        Self { bytes, present: vec![false; fragment.message_len], missing: fragment.message_len }
    }

    fn kind(&self) -> u8 {
        self.bytes[0]
    }

    fn body_len(&self) -> usize {
        self.present.len()
    }

    fn continues_in(&self, fragment: &Fragment<'_>) -> bool {
        self.kind() == fragment.kind && self.body_len() == fragment.message_len
    }

    fn add(&mut self, fragment: &Fragment<'_>) {
        let end = fragment.offset + fragment.len();
        let body = &mut self.bytes[HANDSHAKE_HEADER_LEN..];
        body[fragment.offset..end].copy_from_slice(&fragment.bytes[HANDSHAKE_HEADER_LEN..]);
        for present in &mut self.present[fragment.offset..end] {
            self.missing -= usize::from(!*present);
            *present = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_server_flight_is_held_until_its_last_fragment_is_there() {
        let mut gate = FlightGate::new(Role::Client);
        let hello = fragment(2, 0, 40, 0, 40);
        let (head, tail) = (fragment(CERTIFICATE, 1, 50, 0, 30), fragment(CERTIFICATE, 1, 50, 30, 20));
        let done = fragment(SERVER_HELLO_DONE, 2, 0, 0, 0);
        assert_eq!(gate.handle_received(&done), Verdict::Hold);
        assert_eq!(gate.handle_received(&tail), Verdict::Hold);
        assert_eq!(gate.handle_received(&[hello.clone(), tail].concat()), Verdict::Hold);
        let Verdict::Feed(flight) = gate.handle_received(&head) else { panic!("not complete") };
        let kinds: Vec<_> = Record::all(&flight).flat_map(|r| r.fragments()).map(|f| f.kind).collect();
        assert_eq!(kinds, [2, CERTIFICATE, SERVER_HELLO_DONE]);
        assert_eq!(gate.handle_received(&hello), Verdict::Hold);
    }

    #[test]
    fn messages_of_absurd_length_or_number_are_not_kept() {
        let mut gate = FlightGate::new(Role::Client);
        gate.handle_received(&fragment(CERTIFICATE, 0, MAX_MESSAGE_LEN + 1, 0, 10));
        gate.handle_received(&fragment(CERTIFICATE, MAX_MESSAGES, 50, 0, 10));
        gate.handle_received(&fragment(CERTIFICATE, 0, 5, 0, 10));
        assert!(gate.messages.is_empty());
    }

    #[test]
    fn encrypted_records_before_the_flight_are_bounded() {
        let mut gate = FlightGate::new(Role::Server);
        gate.stage = Stage::ClientFlight;
        for number in 0..=255 {
            gate.handle_received(&[HANDSHAKE, 254, 253, 0, 1, 0, 0, 0, 0, 0, number, 0, 1, 0]);
        }
        assert_eq!(gate.sealed.len(), 64);
    }

    proptest! {
        #[test]
        fn no_bytes_from_the_network_cause_a_panic(
            fragments in prop::collection::vec((0_u8..22, 0_u16..12, 0_usize..90, 0_usize..90, 0_usize..90), 0..30),
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            for role in [Role::Client, Role::Server] {
                let mut gate = FlightGate::new(role);
                for (kind, sequence, len, offset, part) in &fragments {
                    let datagram = fragment(*kind, *sequence, *len, *offset, *part);
                    gate.handle_received(&datagram);
                    gate.handle_sent(&datagram);
                    gate.handle_received(&noise);
                }
            }
        }
    }

    fn fragment(kind: u8, sequence: u16, len: usize, offset: usize, part: usize) -> Vec<u8> {
        let u24 = |n: usize| u32::try_from(n).unwrap_or(0).to_be_bytes()[1..].to_vec();
        let mut message = vec![kind];
        message.extend(u24(len));
        message.extend(sequence.to_be_bytes());
        message.extend(u24(offset));
        message.extend(u24(part));
        message.resize(message.len() + part, kind);
        let mut record = vec![HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend(u16::try_from(message.len()).unwrap_or(0).to_be_bytes());
        record.extend(message);
        record
    }
}
