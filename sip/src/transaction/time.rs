//! Base times of RFC 3261 §17.1.1.1 and the arithmetic on them.

use std::time::Duration;

/// Estimate of a round trip; the first repeat comes after it.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// Longest pause between repeats of requests other than INVITE and of answers to INVITE.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message may stay in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64 × T1: timers B, F, H, J, L, M, and D on unreliable transports.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(32);

/// The pause after `interval` where pauses double up to T2.
pub(crate) fn double_up_to_t2(interval: Duration) -> Duration {
    (interval * 2).min(T2)
}

/// `wait` on an unreliable transport, nothing on a reliable one (it repeats nothing).
pub(crate) fn unless_reliable(reliable: bool, wait: Duration) -> Option<Duration> {
    (!reliable).then_some(wait)
}
