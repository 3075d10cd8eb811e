//! One call's media thread: its own UDP socket, its deadline, the microphone's frames in and the speaker's samples out.
//!
//! Not a task of the async runtime: sound must not wait for signalling. Each turn sends what is due, moves sound both
//! ways, then sleeps until a datagram or the next deadline. Sound begins with the keys; what the microphone heard
//! before is dropped.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand_core::{OsRng, TryRngCore, UnwrapErr};
use tokio::sync::mpsc;

use crate::audio::{CallSound, SAMPLE_RATE_HZ, SoundChange};
use crate::core::call::CallId;
use crate::core::media_command::{MediaCommand, Settings};
use crate::core::media_event::MediaEvent;
use crate::core::media_path::{MediaPath, Output};
use crate::net::media_socket::MediaSocket;

/// Commands waiting for one turn of the thread; a person cannot type that many in 20 ms.
const COMMANDS: usize = 32;
/// How often commands and new devices are looked for when nothing else happens.
const LOOK: Duration = Duration::from_millis(20);
/// Datagrams taken in one turn: more wait in the socket, so that sound is not starved by a flood.
const MAX_RECEIVED_PER_TURN: usize = 64;
/// Longest datagram looked at; media stays far below the path MTU.
const DATAGRAM_LEN: usize = 2048;
/// Speaker samples filled at once at most: half a second.
const MAX_FILL: usize = SAMPLE_RATE_HZ as usize / 2;
/// Frames taken from the microphone in one turn: what a long stall left behind is the microphone's to drop.
const MAX_FRAMES_PER_TURN: usize = 8;
/// Events that could not be told yet; figures beyond that are dropped, all else is rare.
const MAX_UNTOLD: usize = 64;

/// How long a speaker is watched before sound that it did not take is dropped.
const BACKLOG_WINDOW: Duration = Duration::from_secs(1);
/// One part in this many of real time may be left behind.
const MAX_BACKLOG_PART: usize = 10;

/// The system's random source, for the calls' checks and sessions.
pub type SystemRng = UnwrapErr<OsRng>;

/// A running media thread. Dropping it ends the call's media.
#[derive(Debug)]
pub struct MediaThread {
    commands: Option<SyncSender<MediaCommand>>,
    thread: Option<JoinHandle<()>>,
}

/// Where events go: the call and what happened.
pub type MediaEvents = mpsc::Sender<(CallId, MediaEvent)>;

impl MediaThread {
    /// Starts the media of one call on `socket`.
    ///
    /// # Errors
    /// When the system refuses a thread or the socket cannot be used.
    pub fn start(
        call: CallId,
        settings: Settings,
        socket: MediaSocket,
        sound: CallSound,
        events: MediaEvents,
    ) -> std::io::Result<Self> {
        let (commands, received) = sync_channel(COMMANDS);
        let thread = std::thread::Builder::new().name("media".to_owned()).spawn(move || {
            let frame = vec![0.0; usize::from(settings.session.ptime_ms) * SAMPLE_RATE_HZ as usize / 1000];
            let now = Instant::now();
            let path = MediaPath::new(settings, OsRng.unwrap_err(), OsRng.unwrap_err(), now);
            let outlet = Outlet { call, events, untold: VecDeque::new() };
            Turn {
                backlog: Backlog::default(),
                path,
                socket,
                sound,
                frame,
                scratch: vec![0.0; MAX_FILL],
                outlet,
                started: false,
            }
            .run(&received);
        })?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    /// Hands a command to the thread. False if it stands still and a command was lost that must not be: whoever is
    /// shown as muted or on hold must not be heard, so such a call is to be ended.
    #[must_use]
    pub fn send(&self, command: MediaCommand) -> bool {
        let Some(commands) = &self.commands else { return true };
        match commands.try_send(command) {
            // An ended thread has reported its end already; keys of the dial pad are pressed again.
            Ok(()) | Err(TrySendError::Disconnected(_) | TrySendError::Full(MediaCommand::Dtmf { .. })) => true,
            Err(TrySendError::Full(_)) => false,
        }
    }

    /// Asks the thread to send its last datagrams and end, without waiting for it.
    pub fn close(mut self, call: CallId) -> JoinHandle<()> {
        // A thread that cannot take it ends by losing its commands.
        let _ = self.send(MediaCommand::Close { call });
        self.commands = None;
        self.thread.take().unwrap_or_else(|| std::thread::spawn(|| {}))
    }
}

/// Drops received sound that a slow or stalled speaker leaves behind: it would become a delay that stays.
///
/// Judged over one second, so that the small difference between two clocks, which the playout buffer absorbs, is
/// never taken for a stall.
#[derive(Debug, Default)]
struct Backlog {
    window_began: Option<Instant>,
    pulled: usize,
}

impl Backlog {
    fn start(&mut self, now: Instant) {
        *self = Self { window_began: Some(now), pulled: 0 };
    }

    fn pulled(&mut self, samples: usize) {
        self.pulled += samples;
    }

    /// How many samples to drop now.
    fn take(&mut self, now: Instant) -> usize {
        let Some(began) = self.window_began else { return 0 };
        let window = now.saturating_duration_since(began);
        if window < BACKLOG_WINDOW {
            return 0;
        }
        let due = (window.as_secs_f64() * f64::from(SAMPLE_RATE_HZ)) as usize;
        let missing = due.saturating_sub(self.pulled);
        self.start(now);
        if missing > due / MAX_BACKLOG_PART { missing } else { 0 }
    }
}

struct Turn {
    backlog: Backlog,
    path: MediaPath<SystemRng>,
    socket: MediaSocket,
    sound: CallSound,
    frame: Vec<f32>,
    scratch: Vec<f32>,
    outlet: Outlet,
    started: bool,
}

impl Turn {
    fn run(mut self, commands: &Receiver<MediaCommand>) {
        let mut buffer = [0; DATAGRAM_LEN];
        loop {
            let wanted = self.take_commands(commands);
            self.take_sound_changes(Instant::now());
            let now = Instant::now();
            if self.path.poll_timeout().is_some_and(|due| due <= now) {
                self.path.handle_timeout(now);
            }
            self.move_sound(now);
            self.drain(now);
            // Whoever let go of it may be waiting for its end and take no events meanwhile.
            if self.path.is_over() && (self.outlet.tell() || !wanted) {
                return;
            }
            self.socket.wait_until(self.deadline(Instant::now()));
            for _ in 0..MAX_RECEIVED_PER_TURN {
                let Some((count, from)) = self.socket.receive(&mut buffer) else { break };
                self.path.handle_datagram(from, &buffer[..count], Instant::now());
            }
            self.drain(Instant::now());
        }
    }

    /// Whether somebody still wants this call.
    fn take_commands(&mut self, commands: &Receiver<MediaCommand>) -> bool {
        loop {
            let command = match commands.try_recv() {
                Ok(command) => command,
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                // The phone is gone: so is the call.
                Err(std::sync::mpsc::TryRecvError::Disconnected) if self.path.is_over() => return false,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => MediaCommand::Close { call: self.outlet.call },
            };
            self.path.handle_command(command, Instant::now());
        }
    }

    fn take_sound_changes(&mut self, now: Instant) {
        while let Ok(change) = self.sound.changes.try_recv() {
            match change {
                SoundChange::Microphone(microphone) => self.sound.microphone = microphone,
                SoundChange::Speaker(speaker) => self.sound.speaker = speaker,
            }
            if self.started {
                self.start_sound(now);
            }
        }
    }

    fn start_sound(&mut self, now: Instant) {
        self.started = true;
        self.sound.microphone.start(now);
        self.sound.speaker.start(now);
        self.backlog.start(now);
    }

    fn move_sound(&mut self, now: Instant) {
        if !self.started {
            return;
        }
        loop {
            let wanted = self.sound.speaker.wanted(now).min(self.scratch.len());
            if wanted == 0 {
                break;
            }
            self.path.fill_playout(&mut self.scratch[..wanted], now);
            self.sound.speaker.write(&self.scratch[..wanted], now);
            self.backlog.pulled(wanted);
        }
        let mut left_behind = self.backlog.take(now);
        while left_behind > 0 {
            let part = left_behind.min(self.scratch.len());
            self.path.fill_playout(&mut self.scratch[..part], now);
            left_behind -= part;
        }
        for _ in 0..MAX_FRAMES_PER_TURN {
            if !self.sound.microphone.read_frame(&mut self.frame, now) {
                break;
            }
            self.path.handle_capture(&self.frame, now);
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.path.poll_output() {
            match output {
                Output::Transmit { to, bytes } => self.socket.send(to, &bytes),
                Output::Event(event) => {
                    if matches!(event, MediaEvent::Encrypted { .. }) {
                        self.start_sound(now);
                    }
                    self.outlet.add(event);
                }
            }
        }
        self.outlet.tell();
    }

    fn deadline(&self, now: Instant) -> Instant {
        let sound = |on: bool, due: Option<Instant>| if on { due } else { None };
        [
            self.path.poll_timeout(),
            sound(self.started, self.sound.microphone.poll_timeout(now)),
            sound(self.started, self.sound.speaker.poll_timeout(now)),
        ]
        .into_iter()
        .flatten()
        .fold(now + LOOK, Instant::min)
    }
}

/// Tells events in order without ever waiting.
struct Outlet {
    call: CallId,
    events: MediaEvents,
    untold: VecDeque<MediaEvent>,
}

impl Outlet {
    fn add(&mut self, event: MediaEvent) {
        if matches!(event, MediaEvent::Stats(_)) && self.untold.len() >= MAX_UNTOLD {
            return;
        }
        self.untold.push_back(event);
    }

    /// Whether everything is told.
    fn tell(&mut self) -> bool {
        while let Some(event) = self.untold.pop_front() {
            match self.events.try_send((self.call, event)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full((_, event))) => {
                    self.untold.push_front(event);
                    return false;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.untold.clear(),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_thread_loses_keys_but_a_lost_mute_is_told() {
        let call = CallId(1);
        let (commands, _stalled) = sync_channel(COMMANDS);
        let thread = MediaThread { commands: Some(commands), thread: None };
        for _ in 0..2 * COMMANDS {
            assert!(thread.send(MediaCommand::Dtmf { call, digit: '1' }));
        }
        assert!(!thread.send(MediaCommand::Mute { call, on: true }));
        assert!(!thread.send(MediaCommand::Hold { call, on: true }));
    }

    #[test]
    fn only_a_speaker_that_stalls_has_its_sound_dropped() {
        let start = Instant::now();
        let mut backlog = Backlog::default();
        assert_eq!(backlog.take(start), 0, "nothing before the call");
        backlog.start(start);
        let mut now = start;
        for (pulled, dropped) in [(48_000, 0), (47_900, 0), (44_000, 0), (12_000, 36_000), (0, 48_000), (60_000, 0)] {
            assert_eq!(backlog.take(now + BACKLOG_WINDOW / 2), 0);
            backlog.pulled(pulled);
            now += BACKLOG_WINDOW;
            assert_eq!(backlog.take(now), dropped);
        }
    }
}
