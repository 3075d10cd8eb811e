//! The loop of `undertone echo`: what the call plays is what the microphone hears, one frame later.

use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use super::pace::Pace;
use super::{Microphone, SAMPLE_RATE_HZ, Speaker, duration_of};

/// The speaker's beat: the shortest frame a call can have.
const BLOCK: Duration = Duration::from_millis(10);
const BLOCK_SAMPLES: usize = (SAMPLE_RATE_HZ / 100) as usize;
/// Two of the longest frames (60 ms): the microphone takes one as soon as the speaker has written it.
const RING_SAMPLES: usize = 12 * BLOCK_SAMPLES;

/// The two ends of one loop.
#[must_use]
pub fn pair() -> (EchoMicrophone, EchoSpeaker) {
    let (producer, consumer) = RingBuffer::new(RING_SAMPLES);
    (EchoMicrophone { heard: consumer, pace: Pace::default() }, EchoSpeaker { heard: producer, pace: Pace::default() })
}

/// Hears what [`EchoSpeaker`] played.
#[derive(Debug)]
pub struct EchoMicrophone {
    heard: Consumer<f32>,
    pace: Pace,
}

/// Plays into [`EchoMicrophone`].
#[derive(Debug)]
pub struct EchoSpeaker {
    heard: Producer<f32>,
    pace: Pace,
}

impl Microphone for EchoMicrophone {
    fn start(&mut self, now: Instant) {
        self.pace.start(now);
    }

    fn read_frame(&mut self, frame: &mut [f32], now: Instant) -> bool {
        let due = self.pace.beat(duration_of(frame.len(), SAMPLE_RATE_HZ), now);
        if due && self.heard.pop_entire_slice(frame).is_err() {
            frame.fill(0.0);
        }
        due
    }

    fn poll_timeout(&self, _now: Instant) -> Option<Instant> {
        self.pace.next()
    }
}

impl Speaker for EchoSpeaker {
    fn start(&mut self, now: Instant) {
        self.pace.start(now);
    }

    fn wanted(&mut self, now: Instant) -> usize {
        if self.pace.beat(BLOCK, now) { BLOCK_SAMPLES } else { 0 }
    }

    fn write(&mut self, samples: &[f32], _now: Instant) {
        // A full ring means the microphone's end is not read; the newest frame is dropped, silence follows.
        let _ = self.heard.push_entire_slice(samples);
    }

    fn poll_timeout(&self, _now: Instant) -> Option<Instant> {
        self.pace.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_is_heard_one_frame_later_without_gaps() {
        let start = Instant::now();
        let (mut microphone, mut speaker) = pair();
        microphone.start(start);
        speaker.start(start);
        let (mut played, mut heard) = (0u32, Vec::new());
        let mut frame = [0.0; 960];
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            let block: Vec<f32> = (0..speaker.wanted(now)).map(|n| (played + n as u32 + 1) as f32).collect();
            played += block.len() as u32;
            speaker.write(&block, now);
            if microphone.read_frame(&mut frame, now) {
                heard.extend_from_slice(&frame);
            }
        }
        assert_eq!(heard.len(), 48_000);
        assert!(heard[..960].iter().all(|sample| *sample == 0.0), "the first frame has heard nothing yet");
        assert!(heard[960..].iter().enumerate().all(|(n, sample)| *sample == (n + 1) as f32));
    }
}
