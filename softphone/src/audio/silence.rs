//! A microphone that hears nothing and a speaker nobody hears, both in real time: they stand in while a device is
//! missing, so that the rhythm on the wire says nothing about the hardware.

use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{Microphone, SAMPLE_RATE_HZ, Speaker, duration_of};

/// The beat at which received sound is taken and dropped.
const BLOCK: Duration = Duration::from_millis(10);

/// Real-time silence.
#[derive(Debug, Default)]
pub struct Silence {
    pace: Pace,
}

impl Microphone for Silence {
    fn start(&mut self, now: Instant) {
        self.pace.start(now);
    }

    fn read_frame(&mut self, frame: &mut [f32], now: Instant) -> bool {
        let due = self.pace.beat(duration_of(frame.len(), SAMPLE_RATE_HZ), now);
        if due {
            frame.fill(0.0);
        }
        due
    }

    fn poll_timeout(&self, _now: Instant) -> Option<Instant> {
        self.pace.next()
    }
}

/// Takes sound in real time and drops it.
#[derive(Debug, Default)]
pub struct Nowhere {
    pace: Pace,
}

impl Speaker for Nowhere {
    fn start(&mut self, now: Instant) {
        self.pace.start(now);
    }

    fn wanted(&mut self, now: Instant) -> usize {
        if self.pace.beat(BLOCK, now) { SAMPLE_RATE_HZ as usize * BLOCK.as_millis() as usize / 1000 } else { 0 }
    }

    fn write(&mut self, _samples: &[f32], _now: Instant) {}

    fn poll_timeout(&self, _now: Instant) -> Option<Instant> {
        self.pace.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_nowhere_keep_real_time() {
        let start = Instant::now();
        let (mut silence, mut nowhere) = (Silence::default(), Nowhere::default());
        silence.start(start);
        nowhere.start(start);
        let mut frame = [1.0; 960];
        let (mut frames, mut taken) = (0, 0);
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            frames += usize::from(silence.read_frame(&mut frame, now));
            taken += nowhere.wanted(now);
        }
        assert_eq!((frames, taken), (50, 48_000));
        assert!(frame.iter().all(|sample| *sample == 0.0));
    }
}
