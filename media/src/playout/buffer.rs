//! The playout buffer itself.
//!
//! Ladder: `Waiting` (nothing due: silence) → first frame due → `Playing` → nothing came for
//! [`FADE_END`] → `Waiting`. While playing, each frame that is needed is taken in this order: the frame
//! or its redundant copy; in-band FEC of the next frame; concealment, fading to silence.

use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::samples;
use super::stats::Stats;
use super::store::Store;
use super::stretch::{Change, stretch};
use crate::SAMPLE_RATE_HZ;
use crate::codec::{CodecError, Decoder, MAX_PACKET_SAMPLES, has_fec, packet_samples};

/// Concealment stays at full level so long: the length of a short syllable.
const FADE_START: usize = samples(80);

/// After so much concealment nothing is left but silence: made-up sound misleads.
const FADE_END: usize = samples(240);

/// How long playout waits for late packets, making sound longer, before it counts them as lost.
const MOST_WAITING: usize = samples(100);

/// Concealment while waiting is made in pieces this short, to be back soon.
const WAITING_STEP: usize = samples(10);

/// First sound after silence rises over this, so that it does not click.
const RISE: usize = samples(5);

/// Sound may wait this much shorter than it should before it is lengthened, and this much longer (and
/// one block of the speaker, see [`Playout::adapt`]) before it is shortened.
const TOLERANCE: i64 = samples(5) as i64;

/// From this excess on, shortening may be heard rather than last.
const HURRY_ABOVE: i64 = samples(60) as i64;

/// More excess than this is skipped: shortening it would take seconds.
const SKIP_ABOVE: i64 = samples(700) as i64;

/// The speaker may come back so much later than a frame was due: then it stood still, and what came meanwhile is
/// skipped at once. Without this cap the pause would stay as a delay, or as silence where the store had to give its
/// frames up; no speaker takes blocks as long as this.
const MOST_BEHIND: i64 = samples(1_000) as i64;

/// Decode moments seen before a gentle change of length, so that the last one shows.
const MOMENTS_BEFORE_CHANGE: usize = 8;

/// How alike two periods must be for a gentle change; sinks while a wanted change finds none.
const ALIKE: f32 = 0.88;

/// By how much that sinks per frame of waiting: noise without a pitch is changed after 2 s.
const ALIKE_SINKS: f32 = 0.01;

/// What counts as alike in a hurry.
const ALIKE_IN_HURRY: f32 = 0.4;

/// A packet this far from where the stream is belongs to a stream that began anew.
const RESTART_BEYOND: i64 = samples(5_000) as i64;

/// Decode moments over which the real wait is judged: the least of them counts. As many as the beat between
/// frames of 20 ms and a speaker's blocks of 1024 samples is long.
const MOMENTS: usize = 16;

/// Timestamps remembered to know second copies: as far back as SRTP accepts packets.
const REMEMBERED: usize = 128;

/// One frame as it came.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// RTP timestamp of its first sample.
    pub timestamp: u32,
    /// The Opus packet.
    pub opus: &'a [u8],
    /// A copy inside a later packet.
    pub redundant: bool,
}

/// Adaptive playout of one voice.
pub struct Playout {
    decoder: Decoder,
    store: Store,
    arrivals: Arrivals,
    /// Highest timestamp seen, extended beyond 32 bits.
    newest: Option<i64>,
    /// Timestamps that came: (timestamp, by its own packet).
    remembered: [(i64, bool); REMEMBERED],
    remembered_at: usize,
    /// Timestamp of the next frame to decode; none while waiting.
    position: Option<i64>,
    frame_samples: usize,
    /// Decoded and not yet taken: `pcm[taken..]`.
    pcm: Vec<f32>,
    taken: usize,
    concealed: usize,
    waited: usize,
    level: f32,
    moments: [i64; MOMENTS],
    moments_known: usize,
    last_wait: Option<i64>,
    /// Samples the speaker takes at once, the largest seen lately.
    block: usize,
    frames_wanting_change: u32,
    has_played: bool,
    stats: Stats,
}

impl Playout {
    /// A buffer that expects frames of `ptime_ms`; it follows when others come.
    pub fn new(ptime_ms: u16) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: Decoder::new()?,
            store: Store::new(),
            arrivals: Arrivals::new(),
            newest: None,
            remembered: [(i64::MIN, false); REMEMBERED],
            remembered_at: 0,
            position: None,
            frame_samples: samples(usize::from(ptime_ms)),
            pcm: Vec::with_capacity(2 * MAX_PACKET_SAMPLES),
            taken: 0,
            concealed: 0,
            waited: 0,
            level: 0.0,
            moments: [0; MOMENTS],
            moments_known: 0,
            last_wait: None,
            block: 0,
            frames_wanting_change: 0,
            has_played: false,
            stats: Stats::default(),
        })
    }

    /// Takes a frame that arrived; false if it is not Opus.
    pub fn insert(&mut self, frame: Incoming<'_>, arrival: Instant) -> bool {
        let Some(length) = packet_samples(frame.opus) else { return false };
        let arrived = self.arrivals.clock(arrival);
        let timestamp = self.extend(frame.timestamp, arrived);
        let known = self.remembered.iter().position(|&(seen, _)| seen == timestamp);
        if let Some(at) = known {
            if !frame.redundant {
                self.stats.duplicate_packets += u64::from(self.remembered[at].1);
                self.remembered[at].1 = true;
            }
            return true;
        }
        self.remember(timestamp, !frame.redundant);
        self.arrivals.record(arrived, timestamp);
        self.record_fec(frame.opus, timestamp - length as i64, arrived);
        if self.position.is_some_and(|position| timestamp < position) {
            self.stats.late_packets += u64::from(!frame.redundant);
            return true;
        }
        let overflow = self.store.insert(timestamp, length, frame.redundant, frame.opus);
        self.stats.skipped_frames += u64::from(overflow);
        true
    }

    /// Fills the whole block with what is to be heard now; never waits.
    pub fn fill(&mut self, block: &mut [f32], now: Instant) {
        let clock = self.arrivals.clock(now);
        // A larger block counts at once, smaller ones only after some seconds of them.
        self.block = block.len().max(self.block - self.block / 256);
        let mut rest = block;
        while !rest.is_empty() {
            if self.taken == self.pcm.len() && !self.produce(clock) {
                rest.fill(0.0);
                return;
            }
            let ready = &self.pcm[self.taken..];
            let count = ready.len().min(rest.len());
            let (front, back) = rest.split_at_mut(count);
            for (out, &sample) in front.iter_mut().zip(ready) {
                *out = sample.clamp(-1.0, 1.0);
            }
            self.taken += count;
            rest = back;
        }
    }

    /// Begins anew for another source.
    pub fn restart(&mut self) {
        self.decoder.reset();
        self.store.clear();
        self.arrivals.clear();
        self.remembered.fill((i64::MIN, false));
        self.newest = None;
        self.position = None;
        self.level = 0.0;
        self.stats.restarts += 1;
    }

    /// Whether any frame of the other side has reached the speaker.
    pub fn has_played(&self) -> bool {
        self.has_played
    }

    /// Figures so far.
    pub fn stats(&self) -> Stats {
        let actual = self.last_wait.map_or(0, |wait| wait - self.arrivals.earliest());
        Stats { target: duration(self.arrivals.wait()), actual: duration(actual), ..self.stats }
    }

    fn extend(&mut self, timestamp: u32, arrived: i64) -> i64 {
        if let Some(newest) = self.newest {
            let extended = newest + i64::from(timestamp.wrapping_sub(newest as u32) as i32);
            let distance = arrived - extended - self.arrivals.earliest();
            if distance.abs() <= RESTART_BEYOND {
                self.newest = Some(newest.max(extended));
                return extended;
            }
            self.restart();
        }
        self.newest = Some(i64::from(timestamp));
        i64::from(timestamp)
    }

    fn remember(&mut self, timestamp: i64, own: bool) {
        self.remembered[self.remembered_at] = (timestamp, own);
        self.remembered_at = (self.remembered_at + 1) % REMEMBERED;
    }

    /// A packet with in-band FEC is also a copy of the frame before it, if that did not come.
    fn record_fec(&mut self, opus: &[u8], before: i64, arrived: i64) {
        let missing = self.newest.is_some_and(|newest| newest > before)
            && !self.remembered.iter().any(|&(seen, _)| seen == before)
            && self.stats.played_frames > 0;
        if missing && has_fec(opus) {
            self.arrivals.record(arrived, before);
        }
    }

    /// Puts new sound into `pcm`; false while there is nothing to be heard.
    fn produce(&mut self, clock: i64) -> bool {
        self.pcm.clear();
        self.taken = 0;
        let Some(position) = self.position.or_else(|| self.begin(clock)) else { return false };
        let wait = clock - position;
        let target = self.arrivals.earliest() + self.arrivals.wait();
        if wait > target + MOST_BEHIND {
            return self.produce_after_skip(clock);
        }
        if self.store.get(position).is_some() {
            self.note_moment(wait);
            if self.shortest_wait().is_some_and(|least| least > target + SKIP_ABOVE) {
                return self.produce_after_skip(clock);
            }
            self.play(position, target);
            return true;
        }
        self.repair(position, wait, target)
    }

    fn produce_after_skip(&mut self, clock: i64) -> bool {
        self.position = None;
        let Some(position) = self.begin(clock) else { return false };
        self.play(position, clock - position);
        true
    }

    /// The moment of the first frame: it is due once it has waited as long as the network demands; what
    /// is older than that at the start is a backlog nobody needs to hear.
    fn begin(&mut self, clock: i64) -> Option<i64> {
        if self.arrivals.is_empty() {
            return None;
        }
        let due = clock - self.arrivals.earliest() - self.arrivals.wait();
        let start = self.store.last_until(due)?.timestamp();
        self.stats.skipped_frames += self.store.drop_before(start);
        self.position = Some(start);
        self.moments_known = 0;
        self.concealed = 0;
        self.waited = 0;
        self.level = 0.0;
        Some(start)
    }

    fn play(&mut self, position: i64, target: i64) {
        let Some(slot) = self.store.get(position) else { return };
        self.frame_samples = slot.samples();
        self.pcm.resize(slot.samples(), 0.0);
        let decoded = self.decoder.decode(slot.opus(), &mut self.pcm);
        self.stats.redundant_frames += u64::from(slot.redundant());
        self.stats.played_frames += 1;
        if decoded.is_err() {
            self.stats.undecodable_frames += 1;
            self.pcm.fill(0.0);
        }
        self.advance(position);
        self.rise();
        self.has_played = true;
        self.concealed = 0;
        self.waited = 0;
        self.adapt(target);
    }

    fn advance(&mut self, position: i64) {
        let next = position + self.frame_samples as i64;
        self.position = Some(next);
        self.store.drop_before(next);
    }

    fn repair(&mut self, position: i64, wait: i64, target: i64) -> bool {
        let frame = self.frame_samples as i64;
        let Some(next) = self.store.first_after(position) else {
            return self.underrun(position);
        };
        let gap = next.timestamp() - position;
        if gap < frame {
            // Frames of another length began in between: go where the sound is.
            self.position = Some(next.timestamp());
            return self.conceal(gap as usize);
        }
        if gap == frame && has_fec(next.opus()) {
            self.pcm.resize(self.frame_samples, 0.0);
            if self.decoder.decode_fec(next.opus(), &mut self.pcm).is_ok() {
                self.stats.fec_frames += 1;
                self.note_moment(wait);
                self.advance(position);
                self.rise();
                self.concealed = 0;
                self.waited = 0;
                self.adapt(target);
                return true;
            }
        }
        let early = wait + WAITING_STEP as i64 + TOLERANCE < target;
        if early && self.waited < MOST_WAITING {
            return self.wait_for_late();
        }
        self.stats.concealed_frames += 1;
        self.note_moment(wait);
        self.advance(position);
        self.conceal(self.frame_samples)
    }

    /// Nothing at all waits: probably late rather than lost, so time stands still for a while.
    fn underrun(&mut self, position: i64) -> bool {
        if self.waited < MOST_WAITING {
            return self.wait_for_late();
        }
        if self.concealed >= FADE_END {
            self.position = None;
            return false;
        }
        self.stats.concealed_frames += 1;
        self.advance(position);
        self.conceal(self.frame_samples)
    }

    fn wait_for_late(&mut self) -> bool {
        self.waited += WAITING_STEP;
        self.stats.expanded += duration(WAITING_STEP as i64);
        self.shift_moments(WAITING_STEP as i64);
        self.conceal(WAITING_STEP)
    }

    fn conceal(&mut self, count: usize) -> bool {
        self.pcm.resize(count, 0.0);
        let start = fade(self.concealed);
        self.concealed += count;
        let end = fade(self.concealed);
        if start <= 0.0 || self.decoder.conceal(&mut self.pcm).is_err() {
            self.pcm.fill(0.0);
        }
        let (from, to) = (start.min(self.level), end.min(self.level));
        ramp(&mut self.pcm, from, to);
        self.level = to;
        true
    }

    fn rise(&mut self) {
        if self.level < 1.0 {
            let count = RISE.min(self.pcm.len());
            ramp(&mut self.pcm[..count], self.level, 1.0);
            self.level = 1.0;
        }
    }

    /// Makes the frame in `pcm` shorter or longer if the wait is longer or shorter than it should be.
    ///
    /// A speaker that takes whole blocks needs frames in whole blocks: a slightly shorter frame can
    /// make the next one needed a whole block earlier. Only an excess above that is worth shortening,
    /// or shortening and lengthening would take turns for ever.
    fn adapt(&mut self, target: i64) {
        let Some(least) = self.shortest_wait() else { return };
        let excess = least - target;
        let step = self.block.min(self.frame_samples) as i64;
        let change = match excess {
            above if above > TOLERANCE + step => Change::Shorten,
            below if below < -TOLERANCE => Change::Lengthen,
            _ => {
                self.frames_wanting_change = 0;
                return;
            }
        };
        let hurry = excess.abs() > HURRY_ABOVE;
        if !hurry && self.moments_known < MOMENTS_BEFORE_CHANGE {
            return;
        }
        self.frames_wanting_change += 1;
        let sunk = ALIKE - ALIKE_SINKS * self.frames_wanting_change as f32;
        let alike = if hurry { ALIKE_IN_HURRY.min(sunk) } else { sunk };
        let most = match change {
            Change::Shorten => excess as usize,
            Change::Lengthen => self.frame_samples,
        };
        let changed = stretch(&mut self.pcm, change, most, alike);
        if changed > 0 {
            self.note_change(change, changed as i64, hurry);
        }
    }

    fn note_change(&mut self, change: Change, by: i64, hurry: bool) {
        self.frames_wanting_change = 0;
        let longer = match change {
            Change::Shorten => {
                self.stats.accelerated += duration(by);
                -by
            }
            Change::Lengthen => {
                self.stats.expanded += duration(by);
                by
            }
        };
        if hurry {
            self.shift_moments(longer);
        } else {
            self.moments_known = 0;
        }
    }

    fn note_moment(&mut self, wait: i64) {
        self.last_wait = Some(wait);
        self.moments.rotate_right(1);
        self.moments[0] = wait;
        self.moments_known = (self.moments_known + 1).min(MOMENTS);
    }

    fn shift_moments(&mut self, by: i64) {
        self.moments.iter_mut().for_each(|moment| *moment += by);
    }

    fn shortest_wait(&self) -> Option<i64> {
        self.moments[..self.moments_known].iter().min().copied()
    }
}

/// Level of concealment after so many samples of it.
fn fade(concealed: usize) -> f32 {
    if concealed <= FADE_START {
        return 1.0;
    }
    let faded = (concealed - FADE_START) as f32 / (FADE_END - FADE_START) as f32;
    (1.0 - faded).max(0.0)
}

fn ramp(pcm: &mut [f32], from: f32, to: f32) {
    if from == 1.0 && to == 1.0 {
        return;
    }
    let step = (to - from) / pcm.len().max(1) as f32;
    for (at, sample) in pcm.iter_mut().enumerate() {
        *sample *= from + step * at as f32;
    }
}

fn duration(count: i64) -> Duration {
    let count = u64::try_from(count).unwrap_or(0);
    Duration::from_nanos(count * 1_000_000_000 / u64::from(SAMPLE_RATE_HZ))
}
