//! From authenticated RTP packets to the playout buffer, keys pressed and hold.

use std::time::Instant;

use super::event::Event;
use super::settings::{Payloads, SettingsError};
use super::stats::Discarded;
use crate::playout::{self, Playout};
use crate::rtcp::Reception;
use crate::rtp::red;
use crate::rtp::telephone_event::{HELD_EVENT, Receiver, Report};
use crate::rtp::{Header, Packet};

/// The receiving half of a session, after protection.
pub(super) struct Incoming {
    payload: Payloads,
    playout: Playout,
    reception: Option<Reception>,
    digits: Receiver,
    held: bool,
    /// Sequence number that last told whether the other side holds.
    held_told_by: Option<u16>,
}

impl Incoming {
    pub(super) fn new(payload: Payloads, ptime_ms: u16) -> Result<Self, SettingsError> {
        Ok(Self {
            payload,
            playout: Playout::new(ptime_ms)?,
            reception: None,
            digits: Receiver::default(),
            held: false,
            held_told_by: None,
        })
    }

    pub(super) fn playout(&self) -> &Playout {
        &self.playout
    }

    pub(super) fn fill(&mut self, block: &mut [f32], now: Instant) {
        self.playout.fill(block, now);
    }

    pub(super) fn reception(&mut self) -> Option<&mut Reception> {
        self.reception.as_mut()
    }

    pub(super) fn network(&self) -> Option<&Reception> {
        self.reception.as_ref()
    }

    /// Takes one authenticated packet; what the owner should know goes to `tell`.
    pub(super) fn handle_rtp(
        &mut self,
        datagram: &[u8],
        now: Instant,
        discarded: &mut Discarded,
        mut tell: impl FnMut(Event),
    ) {
        let Some(Packet { header, payload }) = Packet::parse(datagram) else {
            discarded.rtp_malformed += 1;
            return;
        };
        let payload = &datagram[payload];
        let is_event = Some(header.payload_type) == self.payload.telephone_event;
        self.note_reception(header, is_event, now);
        if Some(header.payload_type) == self.payload.red {
            self.handle_redundant(header, payload, now, discarded, &mut tell);
        } else if header.payload_type == self.payload.opus {
            self.insert(header.timestamp, payload, false, now, discarded);
        } else if is_event {
            self.handle_event(header.timestamp, payload, discarded, &mut tell);
        } else {
            discarded.unknown_payload += 1;
        }
    }

    fn note_reception(&mut self, header: Header, is_event: bool, now: Instant) {
        match &mut self.reception {
            Some(reception) if reception.ssrc() == header.ssrc => {
                let timestamp = (!is_event).then_some(header.timestamp);
                reception.handle_packet(header.sequence, timestamp, now);
            }
            known => {
                if known.is_some() {
                    self.playout.restart();
                    self.digits.reset();
                    self.held_told_by = None;
                }
                *known = Some(Reception::new(header.ssrc, header.sequence, header.timestamp, now));
            }
        }
    }

    fn handle_redundant(
        &mut self,
        header: Header,
        payload: &[u8],
        now: Instant,
        discarded: &mut Discarded,
        tell: &mut impl FnMut(Event),
    ) {
        let Some(blocks) = red::parse(payload) else {
            discarded.red_malformed += 1;
            return;
        };
        let mut held = false;
        let (last, older) = match blocks.as_slice() {
            [older @ .., last] => (last, older),
            [] => return,
        };
        for block in older {
            let timestamp = header.timestamp.wrapping_sub(block.timestamp_offset);
            if block.payload_type == self.payload.opus {
                self.insert(timestamp, block.data, true, now, discarded);
            } else if Some(block.payload_type) == self.payload.telephone_event {
                held |= Report::parse(block.data).is_some_and(|report| report.event == HELD_EVENT);
                self.handle_event(timestamp, block.data, discarded, tell);
            } else {
                discarded.unknown_payload += 1;
            }
        }
        if last.payload_type == self.payload.opus {
            self.insert(header.timestamp, last.data, false, now, discarded);
        } else {
            discarded.unknown_payload += 1;
        }
        self.note_hold(header.sequence, held, tell);
    }

    /// Only a newer packet than the last may change it: reordered ones tell the past.
    fn note_hold(&mut self, sequence: u16, held: bool, tell: &mut impl FnMut(Event)) {
        let newer = self.held_told_by.is_none_or(|last| (sequence.wrapping_sub(last) as i16) > 0);
        if !newer {
            return;
        }
        self.held_told_by = Some(sequence);
        if held != self.held {
            self.held = held;
            tell(Event::PeerHeld(held));
        }
    }

    fn handle_event(
        &mut self,
        timestamp: u32,
        payload: &[u8],
        discarded: &mut Discarded,
        tell: &mut impl FnMut(Event),
    ) {
        match Report::parse(payload) {
            Some(report) => {
                if let Some(digit) = self.digits.handle(report, timestamp) {
                    tell(Event::DtmfReceived(digit));
                }
            }
            None => discarded.event_malformed += 1,
        }
    }

    fn insert(&mut self, timestamp: u32, opus: &[u8], redundant: bool, now: Instant, discarded: &mut Discarded) {
        let frame = playout::Incoming { timestamp, opus, redundant };
        if !self.playout.insert(frame, now) {
            discarded.opus_malformed += 1;
        }
    }
}
