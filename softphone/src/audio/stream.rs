//! One cpal stream: format, buffer size, callbacks and error counters. Streams are built paused and played here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, ErrorKind, FromSample, I24, Sample, SampleFormat, SizedSample, StreamConfig, SupportedBufferSize,
    SupportedStreamConfigRange,
};

use super::SAMPLE_RATE_HZ;
use super::error::{End, SoundError};
use super::ring::{CaptureEnd, DeviceMicrophone, DeviceSpeaker, PlaybackEnd, StreamCounters, capture, playback};

/// How long a sound system may take to build a stream.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3);

/// A running stream and what it counts. Dropping it closes the device.
pub struct OpenStream {
    /// Kept only so that it plays until it is dropped.
    _stream: cpal::Stream,
    /// Shared with the callbacks.
    pub counters: Arc<StreamCounters>,
    /// Samples per second and channel that the device moves.
    pub rate_hz: u32,
}

impl std::fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenStream").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// Opens and starts a microphone with callbacks of about `frames` samples per channel.
///
/// # Errors
/// In words, when the device is missing, busy, forbidden or speaks no format we know.
pub fn open_microphone(device: &cpal::Device, frames: u32) -> Result<(OpenStream, DeviceMicrophone), SoundError> {
    let end = End::Microphone;
    let ranges = device.supported_input_configs().map_err(|error| word(end, &error))?;
    let (mut config, format) = choose(ranges, frames).ok_or_else(|| no_format(end))?;
    let (callback_end, microphone) = capture(config.sample_rate);
    let counters = callback_end.counters();
    let built = build_input(device, config, format, callback_end);
    let (stream, microphone, counters) = match built {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => {
            config.buffer_size = BufferSize::Default;
            let (callback_end, microphone) = capture(config.sample_rate);
            let counters = callback_end.counters();
            (
                build_input(device, config, format, callback_end).map_err(|error| word(end, &error))?,
                microphone,
                counters,
            )
        }
        other => (other.map_err(|error| word(end, &error))?, microphone, counters),
    };
    stream.play().map_err(|error| word(end, &error))?;
    Ok((OpenStream { _stream: stream, counters, rate_hz: config.sample_rate }, microphone))
}

/// Opens and starts a speaker with callbacks of about `frames` samples per channel.
///
/// # Errors
/// In words, when the device is missing, busy, forbidden or speaks no format we know.
pub fn open_speaker(device: &cpal::Device, frames: u32) -> Result<(OpenStream, DeviceSpeaker), SoundError> {
    let end = End::Speaker;
    let ranges = device.supported_output_configs().map_err(|error| word(end, &error))?;
    let (mut config, format) = choose(ranges, frames).ok_or_else(|| no_format(end))?;
    let (callback_end, speaker) = playback(config.sample_rate);
    let counters = callback_end.counters();
    let built = build_output(device, config, format, callback_end);
    let (stream, speaker, counters) = match built {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => {
            config.buffer_size = BufferSize::Default;
            let (callback_end, speaker) = playback(config.sample_rate);
            let counters = callback_end.counters();
            (build_output(device, config, format, callback_end).map_err(|error| word(end, &error))?, speaker, counters)
        }
        other => (other.map_err(|error| word(end, &error))?, speaker, counters),
    };
    stream.play().map_err(|error| word(end, &error))?;
    Ok((OpenStream { _stream: stream, counters, rate_hz: config.sample_rate }, speaker))
}

fn build_input(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    end: CaptureEnd,
) -> Result<cpal::Stream, cpal::Error> {
    #[allow(clippy::wildcard_enum_match_arm)] // cpal's enum is open; `choose` offers only these
    match format {
        SampleFormat::I16 => input::<i16>(device, config, end),
        SampleFormat::I24 => input::<I24>(device, config, end),
        SampleFormat::I32 => input::<i32>(device, config, end),
        SampleFormat::U8 => input::<u8>(device, config, end),
        _ => input::<f32>(device, config, end),
    }
}

fn build_output(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    end: PlaybackEnd,
) -> Result<cpal::Stream, cpal::Error> {
    #[allow(clippy::wildcard_enum_match_arm)] // cpal's enum is open; `choose` offers only these
    match format {
        SampleFormat::I16 => output::<i16>(device, config, end),
        SampleFormat::I24 => output::<I24>(device, config, end),
        SampleFormat::I32 => output::<i32>(device, config, end),
        SampleFormat::U8 => output::<u8>(device, config, end),
        _ => output::<f32>(device, config, end),
    }
}

fn input<T>(device: &cpal::Device, config: StreamConfig, mut end: CaptureEnd) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels);
    let errors = end.counters();
    device.build_input_stream::<T, _, _>(
        config,
        move |block, _| end.take(block, channels),
        move |error| note(&errors, &error),
        Some(BUILD_TIMEOUT),
    )
}

fn output<T>(device: &cpal::Device, config: StreamConfig, mut end: PlaybackEnd) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + Sample + FromSample<f32>,
{
    let channels = usize::from(config.channels);
    let errors = end.counters();
    device.build_output_stream::<T, _, _>(
        config,
        move |block, _| end.give(block, channels),
        move |error| note(&errors, &error),
        Some(BUILD_TIMEOUT),
    )
}

/// Counts an error from a device's callback; ends the stream only where nothing will come any more.
fn note(counters: &StreamCounters, error: &cpal::Error) {
    counters.errors.fetch_add(1, Ordering::Relaxed);
    #[allow(clippy::wildcard_enum_match_arm)] // cpal's enum is open: unknown kinds are counted only
    match error.kind() {
        ErrorKind::DeviceNotAvailable
        | ErrorKind::StreamInvalidated
        | ErrorKind::HostUnavailable
        | ErrorKind::DeviceChanged => {
            counters.lost.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Picks the format that costs least: 48 kHz if the device has it, float before integers, few channels.
fn choose(
    ranges: impl Iterator<Item = SupportedStreamConfigRange>,
    frames: u32,
) -> Option<(StreamConfig, SampleFormat)> {
    let best = ranges.filter(|range| format_rank(range.sample_format()).is_some()).min_by_key(|range| {
        let rate = nearest_rate(range);
        (rate.abs_diff(SAMPLE_RATE_HZ), format_rank(range.sample_format()), range.channels())
    })?;
    let rate = nearest_rate(&best);
    let wanted = u32::try_from(u64::from(frames) * u64::from(rate) / u64::from(SAMPLE_RATE_HZ)).unwrap_or(frames);
    let buffer_size = match best.buffer_size() {
        SupportedBufferSize::Range { min, max } => BufferSize::Fixed(wanted.clamp(*min, (*max).max(*min))),
        SupportedBufferSize::Unknown => BufferSize::Fixed(wanted),
    };
    Some((StreamConfig { channels: best.channels(), sample_rate: rate, buffer_size }, best.sample_format()))
}

fn nearest_rate(range: &SupportedStreamConfigRange) -> u32 {
    SAMPLE_RATE_HZ.clamp(range.min_sample_rate(), range.max_sample_rate().max(range.min_sample_rate()))
}

fn format_rank(format: SampleFormat) -> Option<u8> {
    #[allow(clippy::wildcard_enum_match_arm)] // cpal's enum is open: formats unknown here are not used
    match format {
        SampleFormat::F32 => Some(0),
        SampleFormat::I16 => Some(1),
        SampleFormat::I32 => Some(2),
        SampleFormat::I24 => Some(3),
        SampleFormat::U8 => Some(4),
        _ => None,
    }
}

fn no_format(end: End) -> SoundError {
    SoundError::Unusable { end, why: "it speaks no sample format this phone knows".to_owned() }
}

/// A sound system's error as one of ours.
pub(super) fn word(end: End, error: &cpal::Error) -> SoundError {
    #[allow(clippy::wildcard_enum_match_arm)] // cpal's enum is open: the rest keeps its own words
    match error.kind() {
        ErrorKind::DeviceBusy => SoundError::Busy(end),
        ErrorKind::PermissionDenied => SoundError::Forbidden(end),
        ErrorKind::HostUnavailable | ErrorKind::DeviceNotAvailable => SoundError::None(end),
        _ => SoundError::Unusable { end, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat, buffer: (u32, u32)) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: buffer.0, max: buffer.1 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffer, format)
    }

    #[test]
    fn forty_eight_kilohertz_wins_over_a_nicer_format() {
        let ranges = [
            range(2, (44_100, 44_100), SampleFormat::F32, (64, 4096)),
            range(2, (8_000, 96_000), SampleFormat::I16, (64, 4096)),
            range(1, (8_000, 96_000), SampleFormat::I32, (64, 4096)),
        ];
        let (config, format) = choose(ranges.into_iter(), 240).expect("one fits");
        assert_eq!((config.sample_rate, config.channels, format), (48_000, 2, SampleFormat::I16));
        assert_eq!(config.buffer_size, BufferSize::Fixed(240));
    }

    #[test]
    fn a_device_without_48_kilohertz_keeps_its_rate_and_its_limits() {
        let ranges = [range(1, (44_100, 44_100), SampleFormat::I16, (1024, 4096))];
        let (config, _) = choose(ranges.into_iter(), 240).expect("one fits");
        assert_eq!((config.sample_rate, config.buffer_size), (44_100, BufferSize::Fixed(1024)));
    }

    #[test]
    fn formats_nobody_can_play_are_refused() {
        assert!(choose([range(1, (48_000, 48_000), SampleFormat::DsdU8, (1, 2))].into_iter(), 240).is_none());
        assert!(choose(std::iter::empty(), 240).is_none());
    }

    #[test]
    fn only_the_end_of_a_device_ends_its_stream() {
        let counters = StreamCounters::default();
        note(&counters, &cpal::Error::new(ErrorKind::Xrun));
        assert!(!counters.lost.load(Ordering::Relaxed));
        note(&counters, &cpal::Error::new(ErrorKind::StreamInvalidated));
        assert!(counters.lost.load(Ordering::Relaxed));
        assert_eq!(counters.errors.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_device_that_is_busy_forbidden_or_gone_says_what_to_do() {
        for (kind, words) in [
            (ErrorKind::DeviceBusy, "the speaker is in use by another program: close that program"),
            (ErrorKind::PermissionDenied, "add the user to the group `audio`"),
            (ErrorKind::DeviceNotAvailable, "no speaker was found on this machine"),
            (ErrorKind::BackendError, "choose another one with --speaker"),
        ] {
            let sentence = word(End::Speaker, &cpal::Error::new(kind)).to_string();
            assert!(sentence.contains(words), "{sentence}");
        }
    }
}
