//! Sound in and out of the phone: devices, WAV files, silence and the echo loop, behind two small traits.
//!
//! ```text
//! device callback ─ring─▶ Microphone::read_frame ─▶ media thread ─▶ Speaker::write ─ring─▶ device callback
//! ```
//! Inside, sound is mono `f32` at 48 kHz. A callback only moves samples between the device and a wait-free ring;
//! channels are mixed there, other sample rates are converted on the media thread.

use std::time::{Duration, Instant};

pub mod choice;
pub mod device;
pub mod echo;
pub mod error;
pub mod level;
pub mod pace;
pub mod rate;
pub mod ring;
pub mod silence;
pub mod sound;
pub mod stream;
pub mod supervisor;
pub mod wav_microphone;
pub mod wav_speaker;

pub use choice::{MicrophoneChoice, SpeakerChoice};
pub use error::SoundError;
pub use sound::{CallSound, Sound, SoundChange, SoundNotice};

/// Samples per second everywhere inside the phone.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Where captured sound comes from. Owned by the media thread.
pub trait Microphone: Send {
    /// The call can be heard from here on: old sound is dropped, a file starts at its first sample.
    fn start(&mut self, now: Instant);
    /// Fills one whole frame if one is due, in real time; otherwise leaves it alone and returns `false`.
    fn read_frame(&mut self, frame: &mut [f32], now: Instant) -> bool;
    /// When to call [`Microphone::read_frame`] again at the latest.
    fn poll_timeout(&self, now: Instant) -> Option<Instant>;
}

/// Where received sound goes. Owned by the media thread.
pub trait Speaker: Send {
    /// The call can be heard from here on.
    fn start(&mut self, now: Instant);
    /// How many samples to pull from the call and [`Speaker::write`] at once; 0 when none are due.
    fn wanted(&mut self, now: Instant) -> usize;
    /// Takes the samples asked for.
    fn write(&mut self, samples: &[f32], now: Instant);
    /// When to call [`Speaker::wanted`] again at the latest.
    fn poll_timeout(&self, now: Instant) -> Option<Instant>;
}

/// The time a number of samples at `rate_hz` lasts.
#[must_use]
pub fn duration_of(samples: usize, rate_hz: u32) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(rate_hz.max(1)))
}
