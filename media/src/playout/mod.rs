//! The playout buffer: from packets that come when they like to sound that never stops.
//!
//! It follows the network's delay (`arrivals`), keeps what is not yet due (`store`), repairs what is
//! missing, and lengthens or shortens the sound unheard (`stretch`) until the wait is as long as
//! the network demands and no longer. No allocation after it was made, no clock of its own.

mod arrivals;
mod buffer;
mod stats;
mod store;
mod stretch;

pub use buffer::{Incoming, Playout};
pub use stats::Stats;

/// Samples of so many milliseconds.
const fn samples(milliseconds: usize) -> usize {
    milliseconds * (crate::SAMPLE_RATE_HZ as usize / 1_000)
}

#[cfg(test)]
mod tests;
