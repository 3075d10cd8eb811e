//! What a receiver knows about one stream: loss (RFC 3550 A.3) and interarrival jitter (A.8).

use std::time::{Duration, Instant};

use super::compound::ReportBlock;
use crate::SAMPLE_RATE_HZ;

/// Statistics of one received stream.
#[derive(Debug, Clone)]
pub struct Reception {
    ssrc: u32,
    first_sequence: u32,
    highest_sequence: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    epoch: Instant,
    transit: u32,
    /// Sixteen times the jitter, as A.8 keeps it.
    jitter_x16: u32,
    sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// Statistics that begin with this packet.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32, arrival: Instant) -> Self {
        let mut reception = Self {
            ssrc,
            first_sequence: u32::from(sequence),
            highest_sequence: u32::from(sequence),
            received: 1,
            expected_before: 0,
            received_before: 0,
            epoch: arrival,
            transit: 0,
            jitter_x16: 0,
            sender_report: None,
        };
        reception.transit = reception.transit_of(timestamp, arrival);
        reception
    }

    /// The stream's source identifier.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes a further packet of the stream; without its timestamp if that is not the moment of its
    /// first sample (telephone events repeat theirs).
    pub fn handle_packet(&mut self, sequence: u16, timestamp: Option<u32>, arrival: Instant) {
        let ahead = sequence.wrapping_sub(self.highest_sequence as u16) as i16;
        if ahead > 0 {
            self.highest_sequence = self.highest_sequence.wrapping_add(ahead as u32);
        }
        self.received = self.received.wrapping_add(1);
        let Some(timestamp) = timestamp else { return };
        let transit = self.transit_of(timestamp, arrival);
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        // A timestamp jump of seconds is a new talk spurt of a foreign phone, not jitter.
        if difference < SAMPLE_RATE_HZ * 2 {
            self.jitter_x16 += difference;
            self.jitter_x16 -= (self.jitter_x16.saturating_sub(difference) + 8) >> 4;
        }
    }

    /// Remembers a sender report, for the round trip the other side measures.
    pub fn handle_sender_report(&mut self, ntp: u64, arrival: Instant) {
        self.sender_report = Some(((ntp >> 16) as u32, arrival));
    }

    /// The report about this stream; each call begins a new interval.
    pub fn report(&mut self, now: Instant) -> ReportBlock {
        let expected = self.expected();
        let expected_since = expected.wrapping_sub(self.expected_before);
        let received_since = self.received.wrapping_sub(self.received_before);
        self.expected_before = expected;
        self.received_before = self.received;
        let lost_since = expected_since.saturating_sub(received_since);
        let fraction = (u64::from(lost_since) << 8) / u64::from(expected_since.max(1));
        let (last_sender_report, delay_since) = match self.sender_report {
            Some((middle, arrival)) => (middle, in_65536ths(now.saturating_duration_since(arrival))),
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: expected.wrapping_sub(self.received) as i32,
            highest_sequence: self.highest_sequence,
            jitter: self.jitter_x16 >> 4,
            last_sender_report,
            delay_since,
        }
    }

    /// Share of packets lost since the first, 0–1.
    pub fn loss(&self) -> f32 {
        let expected = self.expected().max(1);
        expected.saturating_sub(self.received) as f32 / expected as f32
    }

    /// Interarrival jitter.
    pub fn jitter(&self) -> Duration {
        duration_of((self.jitter_x16 >> 4) as usize)
    }

    fn expected(&self) -> u32 {
        self.highest_sequence.wrapping_sub(self.first_sequence).wrapping_add(1)
    }

    fn transit_of(&self, timestamp: u32, arrival: Instant) -> u32 {
        let nanos = arrival.saturating_duration_since(self.epoch).as_nanos();
        let arrived = (nanos * u128::from(SAMPLE_RATE_HZ) / 1_000_000_000) as u32;
        arrived.wrapping_sub(timestamp)
    }
}

/// Samples as time.
pub(crate) fn duration_of(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE_HZ))
}

fn in_65536ths(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}
