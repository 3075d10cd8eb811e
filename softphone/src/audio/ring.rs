//! The wait-free rings between a device's callback and the media thread, both ends of each.
//!
//! The callback's ends ([`CaptureEnd`], [`PlaybackEnd`]) only move samples and count: no allocation, lock, log or
//! system call. The media thread's ends ([`DeviceMicrophone`], [`DeviceSpeaker`]) keep the delay small: stale
//! captured sound is dropped, and the speaker's ring is filled to what the callback takes at once plus a margin that
//! follows the underruns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::{FromSample, Sample};
use rtrb::{Consumer, Producer, RingBuffer};

use super::rate::RateConverter;
use super::{Microphone, SAMPLE_RATE_HZ, Speaker, duration_of};

/// Half a second of sound at 48 kHz, more than any callback's block; a full ring drops sound.
const RING_MILLISECONDS: u32 = 500;
/// Captured sound older than one frame, two blocks and this is dropped: it would stay a delay for the whole call.
const MAX_STALE_MILLISECONDS: u32 = 40;
/// The speaker's margin over one block, in milliseconds: at first, at least, at most, up per underrun, down per calm window.
const MARGIN_FIRST_MS: u32 = 5;
const MARGIN_LEAST_MS: u32 = 3;
const MARGIN_MOST_MS: u32 = 60;
const MARGIN_UP_MS: u32 = 3;
const MARGIN_DOWN_MS: u32 = 1;
/// How long no underrun must happen before the margin shrinks, and how long the largest block is remembered.
const WINDOW: Duration = Duration::from_secs(5);
/// The media thread looks at the rings at least and at most this often.
const LOOK_SOONEST: Duration = Duration::from_millis(1);
const LOOK_LATEST: Duration = Duration::from_millis(5);

/// What a stream's callbacks count, read by the media thread and the supervisor.
#[derive(Debug, Default)]
pub struct StreamCounters {
    /// Callbacks so far.
    pub blocks: AtomicU64,
    /// Samples per channel in all callbacks so far.
    pub frames: AtomicU64,
    /// The most samples per channel in one callback since last taken.
    pub largest_block: AtomicU32,
    /// Times the ring was full (capture) or ran empty (playback) while sound was flowing.
    pub missed: AtomicU64,
    /// Errors reported by the device.
    pub errors: AtomicU64,
    /// The device is gone and the stream must be built anew.
    pub lost: AtomicBool,
    flowing: AtomicBool,
}

/// A capture ring for a device at `rate_hz`.
#[must_use]
pub fn capture(rate_hz: u32) -> (CaptureEnd, DeviceMicrophone) {
    let (producer, consumer) = RingBuffer::new(samples(RING_MILLISECONDS, rate_hz));
    let counters = Arc::new(StreamCounters::default());
    let microphone = DeviceMicrophone {
        ring: consumer,
        rate_hz,
        converter: RateConverter::new(rate_hz, SAMPLE_RATE_HZ),
        block: BlockSize::default(),
        counters: Arc::clone(&counters),
        frame_samples: SAMPLE_RATE_HZ as usize / 50,
        dropped: 0,
    };
    (CaptureEnd { ring: producer, counters }, microphone)
}

/// A playback ring for a device at `rate_hz`.
#[must_use]
pub fn playback(rate_hz: u32) -> (PlaybackEnd, DeviceSpeaker) {
    let capacity = samples(RING_MILLISECONDS, rate_hz);
    let (producer, consumer) = RingBuffer::new(capacity);
    let counters = Arc::new(StreamCounters::default());
    let speaker = DeviceSpeaker {
        ring: producer,
        capacity,
        rate_hz,
        converter: RateConverter::new(SAMPLE_RATE_HZ, rate_hz),
        block: BlockSize::default(),
        margin_ms: MARGIN_FIRST_MS,
        missed_before: 0,
        calm_since: None,
        scratch: vec![0.0; capacity],
        counters: Arc::clone(&counters),
    };
    (PlaybackEnd { ring: consumer, counters }, speaker)
}

/// The callback's end of a capture ring.
#[derive(Debug)]
pub struct CaptureEnd {
    ring: Producer<f32>,
    counters: Arc<StreamCounters>,
}

impl CaptureEnd {
    /// Takes one block of interleaved samples, mixed to mono. What does not fit is dropped and counted.
    pub fn take<T>(&mut self, interleaved: &[T], channels: usize)
    where
        T: Copy,
        f32: FromSample<T>,
    {
        let channels = channels.max(1);
        let frames = interleaved.len() / channels;
        self.counters.saw_block(frames);
        let room = frames.min(self.ring.slots());
        if room < frames && self.counters.flowing.load(Ordering::Relaxed) {
            self.counters.missed.fetch_add(1, Ordering::Relaxed);
        }
        let share = 1.0 / channels as f32;
        if let Ok(chunk) = self.ring.write_chunk_uninit(room) {
            chunk.fill_from_iter(
                interleaved
                    .chunks_exact(channels)
                    .map(|frame| frame.iter().map(|sample| f32::from_sample(*sample)).sum::<f32>() * share),
            );
        }
    }

    /// The counters shared with the media thread.
    #[must_use]
    pub fn counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.counters)
    }
}

/// The callback's end of a playback ring.
#[derive(Debug)]
pub struct PlaybackEnd {
    ring: Consumer<f32>,
    counters: Arc<StreamCounters>,
}

impl PlaybackEnd {
    /// Fills one block of interleaved samples, every channel alike; silence where the ring has nothing.
    pub fn give<T>(&mut self, interleaved: &mut [T], channels: usize)
    where
        T: Sample + FromSample<f32>,
    {
        let channels = channels.max(1);
        let frames = interleaved.len() / channels;
        self.counters.saw_block(frames);
        let count = frames.min(self.ring.slots());
        if count < frames && self.counters.flowing.load(Ordering::Relaxed) {
            self.counters.missed.fetch_add(1, Ordering::Relaxed);
        }
        let (sounding, silent) = interleaved.split_at_mut(count * channels);
        if let Ok(chunk) = self.ring.read_chunk(count) {
            for (frame, sample) in sounding.chunks_exact_mut(channels).zip(chunk) {
                frame.fill(T::from_sample(sample));
            }
        }
        silent.fill(T::EQUILIBRIUM);
    }

    /// The counters shared with the media thread.
    #[must_use]
    pub fn counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.counters)
    }
}

/// A device's microphone, on the media thread.
#[derive(Debug)]
pub struct DeviceMicrophone {
    ring: Consumer<f32>,
    rate_hz: u32,
    converter: Option<RateConverter>,
    block: BlockSize,
    counters: Arc<StreamCounters>,
    frame_samples: usize,
    dropped: u64,
}

impl DeviceMicrophone {
    /// Samples dropped because they were stale.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn discard(&mut self, count: usize) {
        if let Ok(chunk) = self.ring.read_chunk(count.min(self.ring.slots())) {
            self.dropped += chunk.len() as u64;
            chunk.commit_all();
        }
    }

    fn drop_stale(&mut self, frame_samples: usize, now: Instant) {
        let block = self.block.largest(&self.counters, now);
        let limit =
            device_samples(frame_samples, self.rate_hz) + 2 * block + samples(MAX_STALE_MILLISECONDS, self.rate_hz);
        let waiting = self.ring.slots();
        if waiting > limit {
            self.discard(waiting - device_samples(frame_samples, self.rate_hz) - block);
        }
    }

    fn waiting(&self) -> usize {
        match &self.converter {
            None => self.ring.slots(),
            Some(converter) => {
                let inside = converter.pending() + self.ring.slots();
                converter.ready() + inside * SAMPLE_RATE_HZ as usize / self.rate_hz as usize
            }
        }
    }
}

impl Microphone for DeviceMicrophone {
    fn start(&mut self, _now: Instant) {
        self.counters.flowing.store(true, Ordering::Relaxed);
        self.discard(self.ring.slots());
        self.dropped = 0;
        if let Some(converter) = &mut self.converter {
            converter.clear();
        }
    }

    fn read_frame(&mut self, frame: &mut [f32], now: Instant) -> bool {
        self.frame_samples = frame.len();
        self.drop_stale(frame.len(), now);
        let Some(converter) = &mut self.converter else {
            return self.ring.pop_entire_slice(frame).is_ok();
        };
        if let Ok(chunk) = self.ring.read_chunk(self.ring.slots()) {
            let (first, second) = chunk.as_slices();
            converter.push(first);
            converter.push(second);
            chunk.commit_all();
        }
        converter.ready() >= frame.len() && converter.pop(frame) == frame.len()
    }

    fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let missing = self.frame_samples.saturating_sub(self.waiting());
        Some(now + duration_of(missing, SAMPLE_RATE_HZ).clamp(LOOK_SOONEST, LOOK_LATEST))
    }
}

/// A device's speaker, on the media thread.
#[derive(Debug)]
pub struct DeviceSpeaker {
    ring: Producer<f32>,
    capacity: usize,
    rate_hz: u32,
    converter: Option<RateConverter>,
    block: BlockSize,
    margin_ms: u32,
    missed_before: u64,
    calm_since: Option<Instant>,
    scratch: Vec<f32>,
    counters: Arc<StreamCounters>,
}

impl DeviceSpeaker {
    /// The current margin over one block in milliseconds.
    #[must_use]
    pub fn margin_ms(&self) -> u32 {
        self.margin_ms
    }

    fn follow_underruns(&mut self, now: Instant) {
        let missed = self.counters.missed.load(Ordering::Relaxed);
        let calm_since = *self.calm_since.get_or_insert(now);
        if missed > self.missed_before {
            self.margin_ms = (self.margin_ms + MARGIN_UP_MS).min(MARGIN_MOST_MS);
            self.calm_since = Some(now);
        } else if now.duration_since(calm_since) >= WINDOW {
            self.margin_ms = self.margin_ms.saturating_sub(MARGIN_DOWN_MS).max(MARGIN_LEAST_MS);
            self.calm_since = Some(now);
        }
        self.missed_before = missed;
    }

    fn filled(&self) -> usize {
        self.capacity - self.ring.slots()
    }
}

impl Speaker for DeviceSpeaker {
    fn start(&mut self, _now: Instant) {
        self.counters.flowing.store(true, Ordering::Relaxed);
        self.missed_before = self.counters.missed.load(Ordering::Relaxed);
        self.calm_since = None;
    }

    fn wanted(&mut self, now: Instant) -> usize {
        if !self.counters.flowing.load(Ordering::Relaxed) {
            return 0;
        }
        self.follow_underruns(now);
        let target =
            (self.block.largest(&self.counters, now) + samples(self.margin_ms, self.rate_hz)).min(self.capacity);
        let missing = target.saturating_sub(self.filled());
        let missing_inside = (missing as u64 * u64::from(SAMPLE_RATE_HZ)).div_ceil(u64::from(self.rate_hz)) as usize;
        missing_inside.saturating_sub(self.converter.as_ref().map_or(0, RateConverter::pending))
    }

    fn write(&mut self, samples: &[f32], _now: Instant) {
        // What does not fit was not asked for and is dropped.
        match &mut self.converter {
            None => {
                let _ = self.ring.push_partial_slice(samples);
            }
            Some(converter) => {
                converter.push(samples);
                let count = converter.pop(&mut self.scratch);
                let _ = self.ring.push_partial_slice(&self.scratch[..count]);
            }
        }
    }

    fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let half = Duration::from_millis(u64::from(self.margin_ms)) / 2;
        Some(now + half.clamp(LOOK_SOONEST, LOOK_LATEST))
    }
}

impl Drop for DeviceSpeaker {
    fn drop(&mut self) {
        self.counters.flowing.store(false, Ordering::Relaxed);
    }
}

impl StreamCounters {
    fn saw_block(&self, frames: usize) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.largest_block.fetch_max(u32::try_from(frames).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

/// The largest block of the last one to two windows.
#[derive(Debug, Default)]
struct BlockSize {
    previous: u32,
    window_began: Option<Instant>,
}

impl BlockSize {
    fn largest(&mut self, counters: &StreamCounters, now: Instant) -> usize {
        let current = counters.largest_block.load(Ordering::Relaxed);
        let began = *self.window_began.get_or_insert(now);
        let largest = current.max(self.previous);
        if now.duration_since(began) >= WINDOW {
            self.previous = counters.largest_block.swap(0, Ordering::Relaxed);
            self.window_began = Some(now);
        }
        largest as usize
    }
}

fn samples(milliseconds: u32, rate_hz: u32) -> usize {
    milliseconds as usize * rate_hz as usize / 1000
}

fn device_samples(inside: usize, rate_hz: u32) -> usize {
    inside * rate_hz as usize / SAMPLE_RATE_HZ as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 960;

    #[test]
    fn odd_block_sizes_lose_and_invent_nothing() {
        let (mut end, mut microphone) = capture(48_000);
        let start = Instant::now();
        let (mut sent, mut heard) = (0u32, 0u32);
        let mut frame = [0.0; FRAME];
        for block in [1usize, 7, 240, 441, 480, 1023, 1999, 3].iter().cycle().take(400) {
            let samples: Vec<f32> = (0..*block).map(|n| (sent + n as u32) as f32).collect();
            sent += *block as u32;
            end.take(&samples, 1);
            while microphone.read_frame(&mut frame, start) {
                for sample in frame {
                    assert_eq!(sample, heard as f32);
                    heard += 1;
                }
            }
        }
        assert!(sent - heard < FRAME as u32);
        assert_eq!(microphone.dropped(), 0);
    }

    #[test]
    fn several_channels_are_mixed_and_every_format_is_scaled() {
        let (mut end, mut microphone) = capture(48_000);
        let mut frame = [0.0; 2];
        end.take(&[0.5f32, -0.5, 1.0, 0.0], 2);
        assert!(microphone.read_frame(&mut frame, Instant::now()));
        assert_eq!(frame, [0.0, 0.5]);
        end.take(&[i16::MIN, i16::MIN, i16::MIN, 0, 0, 0], 3);
        assert!(microphone.read_frame(&mut frame, Instant::now()));
        assert_eq!(frame, [-1.0, 0.0]);
    }

    #[test]
    fn stale_sound_is_dropped_when_the_call_starts_or_falls_behind() {
        let (mut end, mut microphone) = capture(48_000);
        let now = Instant::now();
        for block in 0..40 {
            end.take(&[block as f32; 480], 1);
        }
        let mut frame = [0.0; FRAME];
        assert!(microphone.read_frame(&mut frame, now));
        assert!(frame[0] >= 37.0, "the newest frames are kept, not {}", frame[0]);
        microphone.start(now);
        assert!(!microphone.read_frame(&mut frame, now));
    }

    #[test]
    fn a_full_capture_ring_is_counted_not_waited_for() {
        let (mut end, mut microphone) = capture(48_000);
        for _ in 0..60 {
            end.take(&[0.0f32; 480], 1);
        }
        assert_eq!(end.counters().missed.load(Ordering::Relaxed), 0, "before the call nobody listens");
        microphone.start(Instant::now());
        for _ in 0..100 {
            end.take(&[0.0f32; 480], 1);
        }
        assert_eq!(end.counters().missed.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn the_speaker_is_filled_to_one_block_and_a_margin() {
        let (mut end, mut speaker) = playback(48_000);
        let now = Instant::now();
        let mut block = [9.0f32; 2 * 441];
        end.give(&mut block, 2);
        assert!(block.iter().all(|sample| *sample == 0.0), "silence before the call");
        assert_eq!(speaker.wanted(now), 0, "nothing is pulled before the call");
        speaker.start(now);
        assert_eq!(speaker.wanted(now), 441 + 240);
        speaker.write(&[0.25; 441 + 240], now);
        assert_eq!(speaker.wanted(now), 0);
        end.give(&mut block, 2);
        assert!(block.iter().all(|sample| *sample == 0.25));
        assert_eq!(speaker.wanted(now), 441);
        assert_eq!(end.counters().missed.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_margin_grows_with_underruns_and_shrinks_when_calm() {
        let (mut end, mut speaker) = playback(48_000);
        let mut now = Instant::now();
        let mut block = [0.0f32; 480];
        speaker.start(now);
        for _ in 0..100 {
            end.give(&mut block, 1);
            speaker.wanted(now);
        }
        assert_eq!(speaker.margin_ms(), MARGIN_MOST_MS);
        for _ in 0..100 {
            now += WINDOW;
            speaker.wanted(now);
        }
        assert_eq!(speaker.margin_ms(), MARGIN_LEAST_MS);
    }

    #[test]
    fn an_integer_device_at_another_rate_gets_the_whole_stream() {
        let (mut end, mut speaker) = playback(44_100);
        let start = Instant::now();
        speaker.start(start);
        let mut block = [0i16; 441];
        let mut pulled = 0;
        for turn in 0..200 {
            end.give(&mut block, 1);
            let now = start + Duration::from_millis(10 * turn);
            let wanted = speaker.wanted(now);
            pulled += wanted;
            speaker.write(&vec![0.5; wanted], now);
        }
        assert!(pulled.abs_diff(96_000) < 2_000, "two seconds were played, {pulled} samples pulled");
        assert!(block.iter().all(|sample| (*sample - 16_384).abs() < 200));
    }
}
