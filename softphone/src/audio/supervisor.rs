//! The thread that owns the device streams while a call lasts: opens them, watches them, builds them anew.
//!
//! Ladder of each end: closed → open → (lost → open)* → closed. While an end is lost the media thread goes on with
//! silence, so the loss of a device never ends a call and never changes the rhythm on the wire.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::{End, SoundError};
use super::silence::{Nowhere, Silence};
use super::sound::{SoundChange, SoundNotice};
use super::stream::{OpenStream, open_microphone, open_speaker};
use super::{SAMPLE_RATE_HZ, device, ring::StreamCounters};

/// Callback size to begin with: 5 ms.
pub const FIRST_BLOCK_FRAMES: u32 = 240;
/// Callback size at which doubling ends: 40 ms.
const LAST_BLOCK_FRAMES: u32 = 1920;
/// How often the streams are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A stream whose callback has not come for this long is dead, whatever the sound system says.
const STALLED: Duration = Duration::from_secs(2);
/// How long between attempts to open a lost device.
const RETRY: Duration = Duration::from_secs(1);
/// More glitches than this in one window mean that the buffer is too small for this machine.
const GLITCH_LIMIT: u64 = 5;
const GLITCH_WINDOW: Duration = Duration::from_secs(1);
/// A device that moves less than this share of real time in one window has glitches that nobody reports: PulseAudio
/// waits after each underrun of a small buffer until it is full again.
const LEAST_SHARE: f64 = 0.93;
/// A stream's first moments say nothing about its rate.
const WARM_UP: Duration = Duration::from_millis(500);
/// Orders wait at most for one device to open.
const ORDERS: usize = 4;

/// Which devices a call shall use; `None` for an end that is a file or nothing.
#[derive(Debug, Clone, Default)]
pub struct Devices {
    /// The microphone: `Some(None)` is the default one.
    pub microphone: Option<Option<String>>,
    /// The speaker: `Some(None)` is the default one.
    pub speaker: Option<Option<String>>,
}

/// Told when a device is lost or back.
pub type Notify = Box<dyn Fn(SoundNotice) + Send>;

/// The running thread.
#[derive(Debug)]
pub struct Supervisor {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Open(SyncSender<SoundChange>),
    Close,
}

impl Supervisor {
    /// Starts the thread; no device is opened yet.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn start(devices: Devices, notify: Notify) -> Result<Self, SoundError> {
        let (sender, receiver) = sync_channel(ORDERS);
        let thread = std::thread::Builder::new()
            .name("sound".to_owned())
            .spawn(move || Watch::new(devices, notify).run(&receiver))
            .map_err(|error| SoundError::Thread(error.to_string()))?;
        Ok(Self { orders: Some(sender), thread: Some(thread) })
    }

    /// Opens the devices for a call; their ends arrive on `changes`.
    pub fn open(&self, changes: SyncSender<SoundChange>) {
        self.order(Order::Open(changes));
    }

    /// Closes the devices.
    pub fn close(&self) {
        self.order(Order::Close);
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread only ends when this handle is dropped.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watch {
    microphone: Option<Side>,
    speaker: Option<Side>,
    changes: Option<SyncSender<SoundChange>>,
    notify: Notify,
}

impl Watch {
    fn new(devices: Devices, notify: Notify) -> Self {
        Self {
            microphone: devices.microphone.map(|name| Side::new(End::Microphone, name)),
            speaker: devices.speaker.map(|name| Side::new(End::Speaker, name)),
            changes: None,
            notify,
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            // Without a call there is nothing to watch.
            let wait = if self.changes.is_some() { LOOK } else { Duration::from_secs(3600) };
            match orders.recv_timeout(wait) {
                Ok(Order::Open(changes)) => {
                    self.close();
                    self.changes = Some(changes);
                }
                Ok(Order::Close) => self.close(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(changes) = &self.changes {
                for side in [&mut self.microphone, &mut self.speaker].into_iter().flatten() {
                    side.look(changes, &self.notify, Instant::now());
                }
            }
        }
    }

    fn close(&mut self) {
        self.changes = None;
        for side in [&mut self.microphone, &mut self.speaker].into_iter().flatten() {
            // What this machine needs is known now: the next call begins with it.
            *side = Side { frames: side.frames, ..Side::new(side.end, side.name.take()) };
        }
    }
}

struct Side {
    end: End,
    name: Option<String>,
    frames: u32,
    stream: Option<OpenStream>,
    health: Health,
    /// The loss was told and the return will be.
    lost: bool,
    retry_at: Option<Instant>,
}

impl Side {
    fn new(end: End, name: Option<String>) -> Self {
        let health = Health::new(SAMPLE_RATE_HZ, Instant::now());
        Self { end, name, frames: FIRST_BLOCK_FRAMES, stream: None, health, lost: false, retry_at: None }
    }

    fn look(&mut self, changes: &SyncSender<SoundChange>, notify: &Notify, now: Instant) {
        let verdict = self.stream.as_ref().map(|stream| self.health.judge(&stream.counters, now));
        match verdict {
            Some(Verdict::Well) => return,
            Some(Verdict::Glitching) if self.frames < LAST_BLOCK_FRAMES => self.frames *= 2,
            Some(Verdict::Glitching) => return,
            Some(Verdict::Dead) => self.tell_lost(changes, notify),
            None if self.retry_at.is_some_and(|at| now < at) => return,
            None => {}
        }
        self.stream = None;
        if let Err(_gone) = self.open(changes) {
            self.tell_lost(changes, notify);
            self.retry_at = Some(now + RETRY);
            return;
        }
        if std::mem::take(&mut self.lost) {
            notify(SoundNotice::Back(self.end));
        }
    }

    fn tell_lost(&mut self, changes: &SyncSender<SoundChange>, notify: &Notify) {
        if std::mem::replace(&mut self.lost, true) {
            return;
        }
        let stand_in = match self.end {
            End::Microphone => SoundChange::Microphone(Box::new(Silence::default())),
            End::Speaker => SoundChange::Speaker(Box::new(Nowhere::default())),
        };
        // The media thread may have ended already.
        let _ = changes.send(stand_in);
        notify(SoundNotice::Lost(self.end));
    }

    fn open(&mut self, changes: &SyncSender<SoundChange>) -> Result<(), SoundError> {
        let device = match device::find(self.end, self.name.as_deref()) {
            // A chosen device that was unplugged is replaced by the default one until it comes back in a later call.
            Err(SoundError::Unknown { .. }) => device::find(self.end, None)?,
            other => other?,
        };
        let (stream, change) = match self.end {
            End::Microphone => {
                let (stream, microphone) = open_microphone(&device, self.frames)?;
                (stream, SoundChange::Microphone(Box::new(microphone)))
            }
            End::Speaker => {
                let (stream, speaker) = open_speaker(&device, self.frames)?;
                (stream, SoundChange::Speaker(Box::new(speaker)))
            }
        };
        self.health = Health::new(stream.rate_hz, Instant::now());
        self.stream = Some(stream);
        let _ = changes.send(change);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    Glitching,
    Dead,
}

/// Judges a stream by what its callbacks count.
struct Health {
    rate_hz: u32,
    warm: bool,
    blocks: u64,
    blocks_at: Instant,
    frames: u64,
    glitches: u64,
    window_at: Instant,
}

impl Health {
    fn new(rate_hz: u32, now: Instant) -> Self {
        Self { rate_hz, warm: false, blocks: 0, blocks_at: now, frames: 0, glitches: 0, window_at: now }
    }

    fn judge(&mut self, counters: &StreamCounters, now: Instant) -> Verdict {
        let blocks = counters.blocks.load(Ordering::Relaxed);
        if blocks != self.blocks {
            self.blocks = blocks;
            self.blocks_at = now;
        }
        if counters.lost.load(Ordering::Relaxed) || now.duration_since(self.blocks_at) > STALLED {
            return Verdict::Dead;
        }
        let window = now.saturating_duration_since(self.window_at);
        if window < if self.warm { GLITCH_WINDOW } else { WARM_UP } {
            return Verdict::Well;
        }
        let frames = counters.frames.load(Ordering::Relaxed);
        let glitches = counters.errors.load(Ordering::Relaxed) + counters.missed.load(Ordering::Relaxed);
        let moved = (frames - self.frames) as f64;
        let too_slow = moved < LEAST_SHARE * window.as_secs_f64() * f64::from(self.rate_hz);
        let too_many = glitches - self.glitches > GLITCH_LIMIT;
        let warm = std::mem::replace(&mut self.warm, true);
        self.frames = frames;
        self.glitches = glitches;
        self.window_at = now;
        if warm && (too_slow || too_many) { Verdict::Glitching } else { Verdict::Well }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_callbacks_is_dead_even_if_nobody_says_so() {
        let start = Instant::now();
        let counters = StreamCounters::default();
        let mut health = Health::new(48_000, start);
        assert_eq!(health.judge(&counters, start + STALLED), Verdict::Well);
        counters.blocks.store(5, Ordering::Relaxed);
        assert_eq!(health.judge(&counters, start + STALLED + LOOK), Verdict::Well);
        assert_eq!(health.judge(&counters, start + 2 * STALLED + 2 * LOOK), Verdict::Dead);
    }

    #[test]
    fn a_device_that_says_it_is_lost_is_dead_at_once() {
        let counters = StreamCounters::default();
        counters.lost.store(true, Ordering::Relaxed);
        let now = Instant::now();
        assert_eq!(Health::new(48_000, now).judge(&counters, now), Verdict::Dead);
    }

    #[test]
    fn many_glitches_or_a_slow_device_ask_for_a_larger_buffer() {
        let counters = StreamCounters::default();
        let mut now = Instant::now();
        let mut health = Health::new(48_000, now);
        now += WARM_UP;
        let mut verdict = |glitches: u64, share_percent: u64| {
            counters.missed.fetch_add(glitches, Ordering::Relaxed);
            counters.blocks.fetch_add(1, Ordering::Relaxed);
            counters.frames.fetch_add(48_000 * share_percent / 100, Ordering::Relaxed);
            let verdict = health.judge(&counters, now);
            now += GLITCH_WINDOW;
            verdict
        };
        assert_eq!(verdict(50, 10), Verdict::Well, "the start does not count");
        assert_eq!(verdict(GLITCH_LIMIT, 100), Verdict::Well);
        assert_eq!(verdict(GLITCH_LIMIT + 1, 100), Verdict::Glitching);
        assert_eq!(verdict(0, 100), Verdict::Well);
        assert_eq!(verdict(0, 90), Verdict::Glitching);
    }

    #[test]
    fn without_any_device_the_call_gets_stand_ins_and_one_notice() {
        let (changes, received) = sync_channel(8);
        let (told, notices) = sync_channel(8);
        let notify: Notify = Box::new(move |notice| {
            let _ = told.send(notice);
        });
        let mut side = Side::new(End::Speaker, None);
        side.tell_lost(&changes, &notify);
        side.tell_lost(&changes, &notify);
        assert!(matches!(received.try_recv(), Ok(SoundChange::Speaker(_))));
        assert!(received.try_recv().is_err());
        assert_eq!(notices.try_iter().collect::<Vec<_>>(), [SoundNotice::Lost(End::Speaker)]);
    }
}
