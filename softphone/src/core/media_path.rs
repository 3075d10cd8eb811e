//! One call's media on the media thread: the way to the other side (ICE or a fixed address) and the session on top.
//!
//! ```text
//!   Waiting ──path──▶ Running ──────failure──────▶ Over
//!      │                 │ Encrypted, FirstSound, …    ▲
//!      └──no path────────┴────consent lost────────────┘
//! ```
//! DTLS starts the moment a path exists. Datagrams are told apart by their first byte (RFC 7983): 0–3 STUN, everything
//! else is the session's. Where the session is closed for sound, a proof in the verification opens it. Only addresses that proved that they know the call's STUN password are listened to; without
//! ICE exactly the address from the SDP. Nothing is sent before keys exist except STUN and DTLS.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::RngCore;
use undertone_media::session::{self, Session};

use super::ice::{self, IceClient};
use super::media_command::{MediaCommand, Route, Settings};
use super::media_event::{MediaEvent, MediaFailure, PathStats, Refused};
use super::verification::{Verdict, Verification, Wanted};

/// DTLS datagrams kept that arrive before the path they belong to has been proven: one flight of a handshake.
pub const MAX_EARLY_DATAGRAMS: usize = 4;
/// Longest datagram kept early: no phone fragments DTLS above the usual path MTU.
pub const MAX_EARLY_LEN: usize = 1500;
/// Addresses remembered for the person's eyes; a call has one or two, more would be an attack.
pub const MAX_ADDRESSES: usize = 16;
/// First figures soon, so that a short call has some.
const FIRST_STATISTICS: Duration = Duration::from_secs(2);
/// Then as often as a person looks.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(5);

/// What the media thread has to do.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Tell the signalling side.
    Event(MediaEvent),
}

/// One call's media.
pub struct MediaPath<R: RngCore> {
    road: Road,
    stage: Stage<R>,
    wanted: Option<Wanted>,
    verification: Option<Verification>,
    rng: R,
    over: bool,
    muted: bool,
    held: bool,
    sound_closed: bool,
    early: VecDeque<(SocketAddr, Vec<u8>)>,
    addresses: BTreeSet<SocketAddr>,
    refused: Refused,
    next_statistics: Option<Instant>,
    outputs: VecDeque<Output>,
}

enum Road {
    Ice(Box<IceClient>),
    Fixed(SocketAddr),
}

enum Stage<R: RngCore> {
    Waiting(Box<(session::Settings, R)>),
    Running(Box<Session<R>>),
    Over,
}

impl<R: RngCore> MediaPath<R> {
    /// Begins to look for the path at once. `rng` serves the checks, `session_rng` the session: both from the system.
    ///
    /// Failures come as [`MediaEvent::Failed`], like all later ones.
    pub fn new(settings: Settings, mut rng: R, session_rng: R, now: Instant) -> Self {
        let road = match settings.route {
            Route::Relay { local, remote } => Road::Ice(Box::new(IceClient::new(local, remote, &mut rng, now))),
            Route::Address(remote) => Road::Fixed(remote),
        };
        let mut path = Self {
            road,
            stage: Stage::Waiting(Box::new((settings.session, session_rng))),
            wanted: settings.verification,
            verification: None,
            rng,
            over: false,
            muted: false,
            held: false,
            sound_closed: false,
            early: VecDeque::new(),
            addresses: BTreeSet::new(),
            refused: Refused::default(),
            next_statistics: None,
            outputs: VecDeque::new(),
        };
        match path.road {
            Road::Fixed(remote) if ice::is_sendable(remote) => path.start_session(None, now),
            Road::Fixed(_) => path.fail(MediaFailure::NoPath),
            Road::Ice(_) => path.handle_timeout(now),
        }
        path
    }

    /// A command of the signalling side other than `Open`.
    pub fn handle_command(&mut self, command: MediaCommand, now: Instant) {
        match command {
            MediaCommand::Open { .. } => {}
            MediaCommand::RestartIce { local, remote, .. } => {
                if let Road::Ice(ice) = &mut self.road {
                    ice.restart(local, remote, now);
                    self.handle_timeout(now);
                }
            }
            MediaCommand::Redirect { remote, .. } => {
                if matches!(self.road, Road::Fixed(_)) && ice::is_sendable(remote) {
                    self.road = Road::Fixed(remote);
                }
            }
            MediaCommand::Mute { on, .. } => self.set_muted(on),
            MediaCommand::Hold { on, .. } => self.set_held(on),
            MediaCommand::Dtmf { digit, .. } => {
                if let Stage::Running(session) = &mut self.stage {
                    // Too many keys waiting, or on hold: the person presses again.
                    let _ = session.send_dtmf(digit);
                }
            }
            MediaCommand::CloseSound { .. } => self.close_sound(),
            MediaCommand::TellLinkUsed { .. } => {
                if let Some(verification) = &mut self.verification {
                    verification.tell_link_used(now);
                }
            }
            MediaCommand::Close { .. } => self.close(),
        }
        self.drain_session(now);
    }

    /// A datagram from the socket.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if matches!(self.stage, Stage::Over) {
            self.refused.void += 1;
            return;
        }
        match bytes.first() {
            None => self.refused.void += 1,
            Some(0..=3) => self.handle_stun(from, bytes, now),
            Some(_) => self.handle_media(from, bytes, now),
        }
        self.drain_session(now);
    }

    /// One frame from the microphone. Before keys exist it is dropped, never kept.
    pub fn handle_capture(&mut self, frame: &[f32], now: Instant) {
        if let Stage::Running(session) = &mut self.stage {
            session.handle_capture(frame, now);
            self.drain_session(now);
        }
    }

    /// Fills what the speaker asks for; silence before there is sound.
    pub fn fill_playout(&mut self, out: &mut [f32], now: Instant) {
        match &mut self.stage {
            Stage::Running(session) => {
                session.fill_playout(out, now);
                if self.held {
                    out.fill(0.0);
                }
                self.drain_session(now);
            }
            Stage::Waiting(_) | Stage::Over => out.fill(0.0),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Road::Ice(ice) = &mut self.road
            && !matches!(self.stage, Stage::Over)
        {
            ice.handle_timeout(&mut self.rng, now);
        }
        self.drain_ice(now);
        if let Stage::Running(session) = &mut self.stage {
            session.handle_timeout(now);
        }
        if let Some(verification) = &mut self.verification {
            verification.handle_timeout(now);
        }
        self.drain_session(now);
        if self.next_statistics.is_some_and(|due| now >= due) {
            self.next_statistics = Some(now + STATISTICS_INTERVAL);
            self.report_statistics();
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let road = match (&self.road, &self.stage) {
            (Road::Fixed(_), _) | (_, Stage::Over) => None,
            (Road::Ice(ice), _) => ice.poll_timeout(),
        };
        let session = match &self.stage {
            Stage::Running(session) => session.poll_timeout(),
            Stage::Waiting(_) | Stage::Over => None,
        };
        let verification = self.verification.as_ref().and_then(Verification::poll_timeout);
        [road, session, verification, self.next_statistics].into_iter().flatten().min()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The figures of this moment.
    pub fn statistics(&self) -> PathStats {
        let session = match &self.stage {
            Stage::Running(session) => Some(session.stats()),
            Stage::Waiting(_) | Stage::Over => None,
        };
        let round_trip = match &self.road {
            Road::Ice(ice) => ice.round_trip(),
            Road::Fixed(_) => session.as_ref().and_then(|stats| stats.network.round_trip),
        };
        PathStats { session, round_trip, addresses: self.addresses.iter().copied().collect(), refused: self.refused }
    }

    /// Whether it was closed or has failed: nothing more will come out of it.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn handle_stun(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        match &mut self.road {
            Road::Fixed(_) => self.refused.stun += 1,
            Road::Ice(ice) => {
                ice.handle_datagram(from, bytes, &mut self.rng, now);
                self.drain_ice(now);
            }
        }
    }

    fn handle_media(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let admitted = match &self.road {
            Road::Fixed(remote) => *remote == from,
            Road::Ice(ice) => ice.is_validated(from),
        };
        if let Road::Ice(ice) = &mut self.road
            && admitted
        {
            ice.handle_sign_of_life(now);
        }
        match &mut self.stage {
            Stage::Running(session) if admitted => {
                remember(&mut self.addresses, from);
                session.handle_datagram(bytes, now);
            }
            Stage::Waiting(_) if may_be_early(bytes) && self.early.len() < MAX_EARLY_DATAGRAMS => {
                self.early.push_back((from, bytes.to_vec()));
            }
            Stage::Waiting(_) | Stage::Running(_) | Stage::Over => self.refused.stranger += 1,
        }
    }

    fn drain_ice(&mut self, now: Instant) {
        while let Road::Ice(ice) = &mut self.road
            && let Some(output) = ice.poll_output()
        {
            match output {
                ice::Output::Transmit { to, bytes } => self.transmit(to, bytes),
                ice::Output::Selected { .. } => {
                    let round_trip = ice.round_trip();
                    self.start_session(round_trip, now);
                }
                ice::Output::Unreachable if matches!(self.stage, Stage::Running(_)) => {
                    self.fail(MediaFailure::PathLost);
                }
                ice::Output::Unreachable => self.fail(MediaFailure::NoPath),
                ice::Output::Lost => self.fail(MediaFailure::PathLost),
            }
        }
    }

    fn start_session(&mut self, round_trip: Option<Duration>, now: Instant) {
        let (settings, rng) = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Waiting(parts) => *parts,
            other @ (Stage::Running(_) | Stage::Over) => {
                self.stage = other;
                return;
            }
        };
        self.outputs.push_back(Output::Event(MediaEvent::PathReady { round_trip }));
        let Ok(mut session) = Session::new(settings, rng, now) else {
            self.fail(MediaFailure::Settings);
            return;
        };
        session.set_muted(self.muted);
        if self.held {
            session.set_held(true);
        }
        self.stage = Stage::Running(Box::new(session));
        for (from, bytes) in std::mem::take(&mut self.early) {
            self.handle_media(from, &bytes, now);
        }
        self.drain_session(now);
    }

    /// Lets session and verification talk until neither has anything to say.
    fn drain_session(&mut self, now: Instant) {
        self.drain_session_once(now);
        while let (Stage::Running(session), Some(verification)) = (&mut self.stage, &mut self.verification)
            && let Some(told) = verification.drain(session, now)
        {
            if matches!(told, MediaEvent::Verification(Verdict::Proven(_))) && !self.sound_closed {
                session.open_sound();
            }
            self.outputs.push_back(Output::Event(told));
        }
        self.drain_session_once(now);
    }

    fn drain_session_once(&mut self, now: Instant) {
        while let Stage::Running(session) = &mut self.stage
            && let Some(output) = session.poll_output()
        {
            match output {
                session::Output::Transmit(bytes) => {
                    if let Some(to) = self.remote() {
                        self.transmit(to, bytes);
                    }
                }
                session::Output::Event(event) => self.handle_session_event(event, now),
            }
        }
    }

    fn handle_session_event(&mut self, event: session::Event, now: Instant) {
        let event = match event {
            session::Event::Encrypted { profile, dtls_version, peer_fingerprint, post_quantum } => {
                self.next_statistics = Some(now + FIRST_STATISTICS);
                self.start_verification(now);
                MediaEvent::Encrypted { profile, version: dtls_version, peer_fingerprint, post_quantum }
            }
            session::Event::FirstSound => MediaEvent::FirstSound,
            session::Event::PeerHeld(on) => MediaEvent::PeerHeld(on),
            session::Event::DtmfReceived(digit) => MediaEvent::Dtmf(digit),
            session::Event::PeerSilent(silent) => MediaEvent::PeerSilent(silent),
            session::Event::ChannelData(message) => {
                if let Some(verification) = &mut self.verification {
                    verification.handle_message(&message, now);
                }
                return;
            }
            session::Event::Failed(failure) => {
                self.fail(failure.into());
                return;
            }
        };
        self.outputs.push_back(Output::Event(event));
    }

    fn start_verification(&mut self, now: Instant) {
        if let (Stage::Running(session), Some(wanted)) = (&self.stage, self.wanted.take()) {
            self.verification = Verification::start(wanted, session, &mut self.rng, now);
        }
    }

    fn remote(&self) -> Option<SocketAddr> {
        match &self.road {
            Road::Ice(ice) => ice.selected(),
            Road::Fixed(remote) => Some(*remote),
        }
    }

    fn transmit(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        remember(&mut self.addresses, to);
        self.outputs.push_back(Output::Transmit { to, bytes });
    }

    fn set_muted(&mut self, on: bool) {
        self.muted = on;
        if let Stage::Running(session) = &mut self.stage {
            session.set_muted(on);
        }
    }

    fn set_held(&mut self, on: bool) {
        self.held = on;
        if let Stage::Running(session) = &mut self.stage {
            session.set_held(on);
        }
    }

    fn close_sound(&mut self) {
        self.sound_closed = true;
        if let Stage::Running(session) = &mut self.stage {
            session.close_sound();
        }
    }

    fn close(&mut self) {
        if !self.is_over() {
            self.report_statistics();
            self.end();
        }
    }

    fn fail(&mut self, why: MediaFailure) {
        if self.over {
            return;
        }
        self.report_statistics();
        self.outputs.push_back(Output::Event(MediaEvent::Failed(why)));
        self.end();
    }

    /// Drops the session and with it every key of the call.
    fn end(&mut self) {
        self.stage = Stage::Over;
        self.wanted = None;
        self.verification = None;
        self.over = true;
        self.early.clear();
        self.next_statistics = None;
    }

    fn report_statistics(&mut self) {
        let statistics = Box::new(self.statistics());
        self.outputs.push_back(Output::Event(MediaEvent::Stats(statistics)));
    }
}

fn remember(addresses: &mut BTreeSet<SocketAddr>, address: SocketAddr) {
    if addresses.len() < MAX_ADDRESSES {
        addresses.insert(address);
    }
}

/// DTLS (RFC 7983) of a plausible length.
fn may_be_early(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_EARLY_LEN && matches!(bytes.first(), Some(20..=63))
}
