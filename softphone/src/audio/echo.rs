//! The loop of `undertone echo`: what the call plays is what the microphone hears, one frame later at most.

use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use super::pace::Pace;
use super::{Microphone, SAMPLE_RATE_HZ, Speaker};

/// One frame of the loop.
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = (SAMPLE_RATE_HZ / 50) as usize;
/// Two frames: the speaker writes one and the microphone takes it in the same turn of the media thread.
const RING_SAMPLES: usize = 2 * FRAME_SAMPLES;

/// The two ends of one loop.
#[must_use]
pub fn pair() -> (EchoMicrophone, EchoSpeaker) {
    let (producer, consumer) = RingBuffer::new(RING_SAMPLES);
    (
        EchoMicrophone { heard: consumer, pace: Pace::new(FRAME) },
        EchoSpeaker { heard: producer, pace: Pace::new(FRAME) },
    )
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
        let due = self.pace.beat(now);
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
        if self.pace.beat(now) { FRAME_SAMPLES } else { 0 }
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
    fn what_is_played_is_heard_in_the_same_turn() {
        let start = Instant::now();
        let (mut microphone, mut speaker) = pair();
        microphone.start(start);
        speaker.start(start);
        let mut frame = [0.0; FRAME_SAMPLES];
        for turn in 0..10u16 {
            let now = start + FRAME * u32::from(turn);
            let wanted = speaker.wanted(now);
            speaker.write(&vec![f32::from(turn); wanted], now);
            assert!(microphone.read_frame(&mut frame, now));
            assert!(frame.iter().all(|sample| *sample == f32::from(turn)));
            assert!(!microphone.read_frame(&mut frame, now));
        }
    }
}
