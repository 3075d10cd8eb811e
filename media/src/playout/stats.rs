//! Figures of the playout buffer.

use std::time::Duration;

/// A snapshot; counts are of the whole call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Wait the network's jitter and loss ask for.
    pub target: Duration,
    /// Wait sound really has: from the earliest it could be played to when it is needed.
    pub actual: Duration,
    /// Frames decoded as sent.
    pub played_frames: u64,
    /// Of these, frames whose own packet was lost and whose redundant copy came.
    pub redundant_frames: u64,
    /// Frames rebuilt from in-band FEC of the next packet.
    pub fec_frames: u64,
    /// Frames lost for good and concealed.
    pub concealed_frames: u64,
    /// Sound added by lengthening or by waiting for late packets.
    pub expanded: Duration,
    /// Sound taken away by shortening.
    pub accelerated: Duration,
    /// Packets that came after their time.
    pub late_packets: u64,
    /// Packets that had already come.
    pub duplicate_packets: u64,
    /// Frames thrown away because far too many were waiting.
    pub skipped_frames: u64,
    /// Times the stream began anew: another source, or timestamps that jumped.
    pub restarts: u64,
    /// Packets that libopus could not decode.
    pub undecodable_frames: u64,
}
