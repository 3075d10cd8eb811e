//! One call's media: everything between captured sound and protected datagrams, and back.

mod event;
mod settings;
mod stats;

pub use event::{Event, Output};
pub use settings::{DEFAULT_PTIME_MS, Payloads, Settings, SettingsError, SoundGate};
pub use stats::{Discarded, MouthToEar, Network, Received, Sent, Stats};
