//! From captured frames to RTP packets of one size, one after the other.

use rand_core::RngCore;

use super::layout::Layout;
use super::settings::{Payloads, SettingsError};
use crate::codec::{Encoder, MAX_PACKET_LEN};
use crate::rtcp::SenderInfo;
use crate::rtp::telephone_event::{EVENT_LEN, HELD_EVENT, Report, Sender};
use crate::rtp::{HEADER_LEN, Header, red};

/// The sending half of a session, before protection.
pub(super) struct Outgoing {
    encoder: Encoder,
    payload: Payloads,
    layout: Layout,
    ssrc: u32,
    sequence: u16,
    /// Timestamp of the next frame.
    timestamp: u32,
    digits: Sender,
    previous: [u8; MAX_PACKET_LEN],
    previous_len: usize,
    packets: u32,
    octets: u32,
    /// The person does not want to be heard.
    pub(super) muted: bool,
    /// The person put the call on hold.
    pub(super) held: bool,
}

/// What goes beside the sound of one packet.
#[derive(Debug, Clone, Copy)]
struct Beside {
    report: Report,
    begun: u32,
    first: bool,
}

impl Outgoing {
    pub(super) fn new(payload: Payloads, ptime_ms: u16, rng: &mut impl RngCore) -> Result<Self, SettingsError> {
        let layout = match payload.red {
            Some(_) => Layout::redundant(ptime_ms),
            None => Layout::plain(ptime_ms),
        };
        Ok(Self {
            encoder: Encoder::new(ptime_ms, layout.frame_len)?,
            payload,
            layout,
            ssrc: rng.next_u32(),
            // RFC 3711 §3.3.1: far from the wrap, so that a lost first packet cannot confuse the roll-over count.
            sequence: (rng.next_u32() & 0x7fff) as u16,
            timestamp: rng.next_u32(),
            digits: Sender::default(),
            previous: [0; MAX_PACKET_LEN],
            previous_len: 0,
            packets: 0,
            octets: 0,
            muted: false,
            held: false,
        })
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn frame_samples(&self) -> usize {
        self.encoder.frame_samples()
    }

    pub(super) fn lookahead_samples(&self) -> usize {
        self.encoder.lookahead_samples()
    }

    pub(super) fn set_expected_loss(&mut self, percent: u8) {
        self.encoder.set_expected_loss(percent);
    }

    /// Queues a key; false if it is no key, too many wait, or nobody could hear it.
    pub(super) fn push_digit(&mut self, digit: char) -> bool {
        self.payload.telephone_event.is_some() && !self.held && self.digits.push(digit)
    }

    /// Drops the keys that wait or are being sent.
    pub(super) fn forget_digits(&mut self) {
        self.digits = Sender::default();
    }

    /// About our stream, for a sender report; `ntp` is now, `since_last` what has passed since the
    /// last packet. None before the first packet.
    pub(super) fn sender_info(&self, ntp: u64, since_last: u32) -> Option<SenderInfo> {
        let last = self.timestamp.wrapping_sub(self.frame_samples() as u32);
        (self.packets > 0).then_some(SenderInfo {
            ntp,
            rtp_timestamp: last.wrapping_add(since_last),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Writes the next packet to the front of `out`: of this frame, or of silence. Returns its length.
    pub(super) fn write(&mut self, pcm: Option<&[f32]>, out: &mut [u8]) -> Option<usize> {
        let pcm = pcm.filter(|_| !self.muted && !self.held);
        let beside = self.beside();
        let len = match (self.payload.red, beside) {
            (Some(red), beside) => self.write_redundant(red, beside, pcm, out)?,
            (None, Some(beside)) => self.write_event(beside, out)?,
            (None, None) => self.write_plain(pcm, out)?,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.frame_samples() as u32);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add((len - HEADER_LEN) as u32);
        Some(len)
    }

    fn beside(&mut self) -> Option<Beside> {
        if self.held && self.payload.red.is_some() {
            let report = Report { event: HELD_EVENT, end: false, volume: 0, duration: 0 };
            return Some(Beside { report, begun: self.timestamp, first: false });
        }
        let digit = self.digits.next(self.timestamp)?;
        Some(Beside { report: digit.report, begun: digit.timestamp, first: digit.first })
    }

    fn write_redundant(
        &mut self,
        red: u8,
        beside: Option<Beside>,
        pcm: Option<&[f32]>,
        out: &mut [u8],
    ) -> Option<usize> {
        let total = self.layout.rtp_len();
        let out = out.get_mut(..total)?;
        self.header(red, false, self.timestamp).write(out);
        let payload = &mut out[HEADER_LEN..];
        let event = beside.and_then(|beside| Some((self.payload.telephone_event?, beside)));

        let mut older = [(0, 0, 0); 2];
        let mut count = 0;
        if self.previous_len > 0 {
            older[count] = (self.payload.opus, self.frame_samples() as u32, self.previous_len);
            count += 1;
        }
        if let Some((number, beside)) = event {
            older[count] = (number, self.timestamp.wrapping_sub(beside.begun), EVENT_LEN);
            count += 1;
        }
        let mut at = red::write_headers(payload, &older[..count], self.payload.opus)?;
        payload.get_mut(at..at + self.previous_len)?.copy_from_slice(&self.previous[..self.previous_len]);
        at += self.previous_len;
        if let Some((_, beside)) = event {
            payload.get_mut(at..at + EVENT_LEN)?.copy_from_slice(&beside.report.to_bytes());
            at += EVENT_LEN;
        }
        let len = if event.is_some() { self.layout.frame_len_beside_event } else { self.layout.frame_len };
        let frame = payload.get_mut(at..)?;
        encode(&mut self.encoder, pcm, frame.get_mut(..len)?)?;
        self.previous[..len].copy_from_slice(&frame[..len]);
        self.previous_len = len;
        if len < frame.len() {
            opus::packet::pad(frame, len).ok()?;
        }
        Some(total)
    }

    fn write_plain(&mut self, pcm: Option<&[f32]>, out: &mut [u8]) -> Option<usize> {
        let total = self.layout.rtp_len();
        let out = out.get_mut(..total)?;
        self.header(self.payload.opus, false, self.timestamp).write(out);
        encode(&mut self.encoder, pcm, &mut out[HEADER_LEN..])?;
        Some(total)
    }

    /// Towards foreign phones an event stands in place of the sound (RFC 4733 §2.5.1.2), with the timestamp
    /// of its begin and the marker on its first report.
    fn write_event(&mut self, beside: Beside, out: &mut [u8]) -> Option<usize> {
        let total = HEADER_LEN + EVENT_LEN;
        let out = out.get_mut(..total)?;
        self.header(self.payload.telephone_event?, beside.first, beside.begun).write(out);
        out[HEADER_LEN..].copy_from_slice(&beside.report.to_bytes());
        Some(total)
    }

    fn header(&self, payload_type: u8, marker: bool, timestamp: u32) -> Header {
        Header { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc }
    }
}

fn encode(encoder: &mut Encoder, pcm: Option<&[f32]>, packet: &mut [u8]) -> Option<()> {
    match pcm {
        Some(pcm) => encoder.encode(pcm, packet).ok(),
        None => encoder.encode_silence(packet).ok(),
    }
}
