//! Figures of a running call: what a person or a test wants to see, nothing that identifies anyone.

use std::time::Duration;

use crate::playout;

/// A snapshot of one session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Sent so far.
    pub sent: Sent,
    /// Received so far.
    pub received: Received,
    /// Datagrams and blocks that were dropped, by cause.
    pub discarded: Discarded,
    /// The playout buffer.
    pub playout: playout::Stats,
    /// What the network does.
    pub network: Network,
    /// Where the time between mouth and ear goes.
    pub mouth_to_ear: MouthToEar,
}

/// What this side sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// RTP packets.
    pub packets: u64,
    /// Bytes of RTP datagrams.
    pub bytes: u64,
    /// RTCP packets.
    pub rtcp_packets: u64,
    /// Packets made of silence because the capture was late or absent.
    pub filled_frames: u64,
    /// Captured frames dropped because no keys existed.
    pub dropped_before_keys: u64,
    /// Captured frames that were not exactly one frame long.
    pub wrong_length_frames: u64,
}

/// What this side received and could authenticate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// RTP packets.
    pub packets: u64,
    /// Bytes of RTP datagrams.
    pub bytes: u64,
    /// RTCP packets.
    pub rtcp_packets: u64,
}

/// Dropped input, by cause. None of it changes the call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discarded {
    /// First byte belongs to no protocol of a call (RFC 7983).
    pub not_media: u64,
    /// Larger than any media datagram.
    pub too_long: u64,
    /// RTP or RTCP before keys existed.
    pub before_keys: u64,
    /// RTP that SRTP refused: forged, replayed, too old or from a further source.
    pub rtp_refused: u64,
    /// RTCP that SRTCP refused.
    pub rtcp_refused: u64,
    /// Authenticated, but not a valid RTP packet.
    pub rtp_malformed: u64,
    /// Authenticated, but not a valid RTCP packet.
    pub rtcp_malformed: u64,
    /// A payload type nobody agreed on.
    pub unknown_payload: u64,
    /// Redundant blocks that do not parse.
    pub red_malformed: u64,
    /// A payload that is not Opus.
    pub opus_malformed: u64,
    /// A telephone event that does not parse.
    pub event_malformed: u64,
    /// Data for the verification that could not be sent.
    pub channel_data: u64,
    /// Datagrams and events the owner did not take in time.
    pub outputs: u64,
}

/// The path between the two phones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Network {
    /// Share of the other side's packets that never arrived, whole call, 0–1.
    pub loss_received: f32,
    /// Share of our packets the other side missed, last report, 0–1.
    pub loss_sent: f32,
    /// Interarrival jitter here (RFC 3550 A.8).
    pub jitter: Duration,
    /// Interarrival jitter at the other side, last report.
    pub jitter_at_peer: Duration,
    /// Round trip by RTCP; none before the first report came back.
    pub round_trip: Option<Duration>,
}

/// Parts of the delay from mouth to ear, sound devices not included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MouthToEar {
    /// One frame must be full before it can be sent.
    pub packetization: Duration,
    /// The encoder's look-ahead.
    pub codec: Duration,
    /// One way through the network: half of the round trip; none before it is known.
    pub network: Option<Duration>,
    /// Waiting for playout.
    pub playout: Duration,
}

impl MouthToEar {
    /// The sum of the parts, once all are known.
    pub fn total(&self) -> Option<Duration> {
        Some(self.packetization + self.codec + self.network? + self.playout)
    }
}
