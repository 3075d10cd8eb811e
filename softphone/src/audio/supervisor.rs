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
use super::{device, ring::StreamCounters};

/// Callback size to begin with: 5 ms.
pub const FIRST_BLOCK_FRAMES: u32 = 240;
/// Callback size at which doubling ends: 20 ms.
const LAST_BLOCK_FRAMES: u32 = 960;
/// How often the streams are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A stream whose callback has not come for this long is dead, whatever the sound system says.
const STALLED: Duration = Duration::from_secs(2);
/// How long between attempts to open a lost device.
const RETRY: Duration = Duration::from_secs(1);
/// More glitches than this in one window mean that the buffer is too small for this machine.
const GLITCH_LIMIT: u64 = 15;
const GLITCH_WINDOW: Duration = Duration::from_secs(5);
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
            *side = Side::new(side.end, side.name.take());
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
        let health = Health::new(Instant::now());
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
        self.health = Health::new(Instant::now());
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
    blocks: u64,
    blocks_at: Instant,
    glitches: u64,
    window_at: Instant,
}

impl Health {
    fn new(now: Instant) -> Self {
        Self { blocks: 0, blocks_at: now, glitches: 0, window_at: now }
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
        let glitches = counters.errors.load(Ordering::Relaxed) + counters.missed.load(Ordering::Relaxed);
        if now.duration_since(self.window_at) >= GLITCH_WINDOW {
            let new = glitches - self.glitches;
            self.glitches = glitches;
            self.window_at = now;
            if new > GLITCH_LIMIT {
                return Verdict::Glitching;
            }
        }
        Verdict::Well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_callbacks_is_dead_even_if_nobody_says_so() {
        let start = Instant::now();
        let counters = StreamCounters::default();
        let mut health = Health::new(start);
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
        assert_eq!(Health::new(now).judge(&counters, now), Verdict::Dead);
    }

    #[test]
    fn many_glitches_ask_for_a_larger_buffer_and_few_do_not() {
        let start = Instant::now();
        let counters = StreamCounters::default();
        let mut health = Health::new(start);
        let mut verdict = |glitches: u64, windows: u32| {
            counters.missed.fetch_add(glitches, Ordering::Relaxed);
            counters.blocks.fetch_add(1, Ordering::Relaxed);
            health.judge(&counters, start + GLITCH_WINDOW * windows)
        };
        assert_eq!(verdict(GLITCH_LIMIT, 1), Verdict::Well);
        assert_eq!(verdict(GLITCH_LIMIT + 1, 2), Verdict::Glitching);
        assert_eq!(verdict(0, 3), Verdict::Well);
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
