//! When frames arrive, relative to when they were made: the distribution the playout delay follows.
//!
//! The last [`WINDOW`] first copies of frames count (a copy that came inside a later packet counts with
//! its own, later arrival, so that the wait grows until redundancy is in time where loss is common);
//! older ones are forgotten. The window also makes the smallest delay follow a drifting clock.

use std::time::Instant;

use super::samples;
use crate::SAMPLE_RATE_HZ;

/// Frames remembered: 8 s of 20 ms frames, long enough to know a hundredth, short enough to forget.
const WINDOW: usize = 400;

/// Share of frames that may come late: one in a hundred.
const LATE_SHARE: usize = 100;

/// Added to the measured delay against jitter finer than the figures.
const MARGIN: i64 = samples(3) as i64;

/// A wait shorter than this would make every scheduling hiccup audible.
const LEAST_WAIT: i64 = samples(10) as i64;

/// Longer waits make a conversation impossible; later frames are then lost instead.
const MOST_WAIT: i64 = samples(600) as i64;

/// Until so many frames have come, the wait is at least one frame: too little is known.
const FRAMES_UNTIL_TRUSTED: usize = 25;

/// Among the first frames, one that comes this much faster than all before shows that those were a backlog
/// (sent before the path was open), not the network's jitter.
const BACKLOG_ABOVE: i64 = samples(15) as i64;

/// How many frames count as the first.
const FIRST_FRAMES: usize = 100;

/// When so many frames in a row come later than any wait allows, the path itself has become longer.
const FRAMES_OF_NEW_PATH: usize = 10;

/// The wait at the start.
const FIRST_WAIT: i64 = samples(20) as i64;

/// Delays of the recent frames, in samples on an arbitrary common scale.
pub(super) struct Arrivals {
    epoch: Option<Instant>,
    offsets: Vec<i64>,
    oldest: usize,
    scratch: Vec<i64>,
    earliest: i64,
    wait: i64,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            epoch: None,
            offsets: Vec::with_capacity(WINDOW),
            oldest: 0,
            scratch: Vec::with_capacity(WINDOW),
            earliest: 0,
            wait: FIRST_WAIT,
        }
    }

    /// Forgets all frames: for a stream that began anew.
    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.oldest = 0;
        self.earliest = 0;
        self.wait = FIRST_WAIT;
    }

    /// A time on the scale of the offsets.
    pub(super) fn clock(&mut self, now: Instant) -> i64 {
        let epoch = *self.epoch.get_or_insert(now);
        let nanos = match now.checked_duration_since(epoch) {
            Some(later) => later.as_nanos() as i64,
            None => -((epoch - now).as_nanos() as i64),
        };
        (i128::from(nanos) * i128::from(SAMPLE_RATE_HZ) / 1_000_000_000) as i64
    }

    /// Takes the first copy of the frame that begins at `timestamp`.
    pub(super) fn record(&mut self, arrival: i64, timestamp: i64) {
        let offset = arrival - timestamp;
        let first = self.offsets.len() < FIRST_FRAMES && !self.offsets.is_empty();
        if first && offset < self.earliest - BACKLOG_ABOVE {
            self.offsets.clear();
        }
        if self.offsets.len() < WINDOW {
            self.offsets.push(offset);
        } else {
            self.offsets[self.oldest] = offset;
            self.oldest = (self.oldest + 1) % WINDOW;
        }
        self.update();
        if offset - self.earliest > MOST_WAIT {
            self.follow_longer_path();
        }
    }

    /// Whether any frame is known.
    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Smallest `arrival − timestamp`: the earliest a frame can be played.
    pub(super) fn earliest(&self) -> i64 {
        self.earliest
    }

    /// How long after the earliest moment frames should be played.
    pub(super) fn wait(&self) -> i64 {
        self.wait
    }

    /// Forgets the frames of a path that is gone, once enough came over the new one.
    fn follow_longer_path(&mut self) {
        let count = self.offsets.len();
        let newest = (1..=FRAMES_OF_NEW_PATH).filter_map(|back| {
            let at = (self.oldest + 2 * count).checked_sub(back)?.checked_rem(count)?;
            self.offsets.get(at).copied()
        });
        self.scratch.clear();
        self.scratch.extend(newest);
        let all_late = self.scratch.iter().all(|offset| offset - self.earliest > MOST_WAIT);
        if count > FRAMES_OF_NEW_PATH && all_late {
            self.offsets.clear();
            self.offsets.extend_from_slice(&self.scratch);
            self.oldest = 0;
            self.update();
        }
    }

    fn update(&mut self) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&self.offsets);
        let allowed_late = self.scratch.len() / LATE_SHARE;
        let at = self.scratch.len() - 1 - allowed_late;
        let (below, &mut latest, _) = self.scratch.select_nth_unstable(at);
        self.earliest = below.iter().copied().min().unwrap_or(latest).min(latest);
        let floor = if self.offsets.len() < FRAMES_UNTIL_TRUSTED { FIRST_WAIT } else { LEAST_WAIT };
        self.wait = (latest - self.earliest + MARGIN).clamp(floor, MOST_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_stream_waits_as_little_as_is_safe() {
        let mut arrivals = Arrivals::new();
        for n in 0..100 {
            arrivals.record(n * 960 + 5_000, n * 960);
        }
        assert_eq!((arrivals.earliest(), arrivals.wait()), (5_000, LEAST_WAIT));
    }

    #[test]
    fn the_wait_covers_all_but_the_latest_hundredth() {
        let mut arrivals = Arrivals::new();
        for n in 0..400 {
            let late = if n % 20 == 0 { 2_000 } else { 0 } + if n == 399 { 20_000 } else { 0 };
            arrivals.record(n * 960 + late, n * 960);
        }
        assert_eq!(arrivals.wait(), 2_000 + MARGIN);
    }

    #[test]
    fn a_backlog_at_the_start_is_no_jitter() {
        let mut arrivals = Arrivals::new();
        for n in 0..50 {
            arrivals.record(48_000, n * 960);
        }
        for n in 50..100 {
            arrivals.record(n * 960 + 960, n * 960);
        }
        assert_eq!((arrivals.earliest(), arrivals.wait()), (960, LEAST_WAIT));
    }

    #[test]
    fn old_delays_are_forgotten() {
        let mut arrivals = Arrivals::new();
        for n in 0..400 {
            arrivals.record(n * 960 + 10_000 * (n % 2), n * 960);
        }
        assert!(arrivals.wait() >= 10_000);
        for n in 400..800 {
            arrivals.record(n * 960 + 3_000, n * 960);
        }
        assert_eq!((arrivals.earliest(), arrivals.wait()), (3_000, LEAST_WAIT));
    }

    #[test]
    fn a_path_that_became_much_longer_is_followed_within_a_fifth_of_a_second() {
        for known in [30, 400, 555] {
            let mut arrivals = Arrivals::new();
            for n in 0..known {
                arrivals.record(n * 960, n * 960);
            }
            for n in known..known + 9 {
                arrivals.record(n * 960 + 96_000, n * 960);
            }
            assert_eq!(arrivals.earliest(), 0);
            arrivals.record((known + 9) * 960 + 96_000, (known + 9) * 960);
            assert_eq!((arrivals.earliest(), arrivals.wait()), (96_000, FIRST_WAIT));
        }
    }

    #[test]
    fn the_wait_has_an_upper_end() {
        let mut arrivals = Arrivals::new();
        for n in 0..400 {
            arrivals.record(n * 960 + 480_000 * (n % 2), n * 960);
        }
        assert_eq!(arrivals.wait(), MOST_WAIT);
    }

    #[test]
    fn the_clock_counts_samples_in_both_directions() {
        let mut arrivals = Arrivals::new();
        let now = Instant::now() + Duration::from_secs(100);
        assert_eq!(arrivals.clock(now), 0);
        assert_eq!(arrivals.clock(now + Duration::from_millis(10)), 480);
        assert_eq!(arrivals.clock(now - Duration::from_millis(10)), -480);
    }
}
