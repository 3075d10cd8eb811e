//! One association with one peer, whichever engine speaks.
//!
//! ```text
//! Handshaking ──keys, certificate is the announced one──▶ Connected ──▶ Ended
//!      │ ▲ engine gave up, or the handshake stalled: start anew (≤ 3)      ▲
//!      └─┘                                                                │
//!      └──wrong certificate, 30 s over, attempts used up──────────────────┘
//! ```
//!
//! A damaged hello leaves two engines that will never agree: neither side can tell what happened, so
//! a client whose handshake stalls sends a new hello, and a server takes one if its handshake is not
//! making progress. Only an authentic peer ever gets to `Connected`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::dimpl_engine::DimplEngine;
use super::engine::{Engine, EngineError, EngineEvent, Progress};
use super::hellos::{Hellos, Verdict};
use super::rtc_engine::RtcEngine;
use super::{Connected, Failure, HANDSHAKE_LIMIT, MAX_MESSAGE_LEN, Output, Peer, Role, SendError, Version};
use crate::certificate::Certificate;
use crate::keys::ExporterBlock;

/// New attempts after the first: enough for damaged hellos on a bad path, few enough to end soon
/// with a peer that speaks something else.
const MAX_RESTARTS: u32 = 3;
/// A server that starts anew only waits for the next hello, so it may do so more often.
const MAX_SERVER_RESTARTS: u32 = 8;
/// A client that was answered but saw no certificate for this long starts anew.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// In a readable (DTLS 1.2) handshake even the certificate is no proof that both sides agree. But the
/// server may be established already, and would not take a new hello: repetitions go first.
const STALLED_AT_END_AFTER: Duration = Duration::from_secs(15);
/// After a wrong certificate in a readable (DTLS 1.2) handshake, time for an undamaged one to arrive.
const SECOND_LOOK: Duration = Duration::from_secs(3);
/// Outputs kept for a caller that does not poll; more are dropped as the network would.
const MAX_QUEUED_OUTPUTS: usize = 64;

/// A DTLS association; see the module's documentation for its states.
pub struct Association {
    peer: Peer,
    role: Role,
    certificate: Certificate,
    expected_fingerprint: [u8; 32],
    engine: Option<Box<dyn Engine>>,
    state: State,
    deadline: Instant,
    attempt: Attempt,
    hellos: Hellos,
    last_error: Option<EngineError>,
    outputs: VecDeque<Output>,
    dropped: u64,
    /// The peer's version of DTLS when the engine speaks several; only tests choose the older.
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshaking,
    Connected,
    Ended,
}

/// The attempt under way.
struct Attempt {
    restarts: u32,
    /// How far it is, and since when.
    progress: (Progress, Instant),
    peer_fingerprint: Option<[u8; 32]>,
}

impl Association {
    /// Starts an association. A client's first datagram is ready at once.
    ///
    /// `expected_fingerprint` is the SHA-256 of `a=fingerprint`; no other certificate connects.
    #[must_use]
    pub fn new(
        peer: Peer,
        role: Role,
        certificate: &Certificate,
        expected_fingerprint: [u8; 32],
        now: Instant,
    ) -> Self {
        Self::with_version(peer, role, certificate, expected_fingerprint, Version::Dtls13, now)
    }

    fn with_version(
        peer: Peer,
        role: Role,
        certificate: &Certificate,
        expected_fingerprint: [u8; 32],
        version: Version,
        now: Instant,
    ) -> Self {
        let mut association = Self {
            peer,
            role,
            certificate: certificate.share(),
            expected_fingerprint,
            engine: None,
            state: State::Handshaking,
            deadline: now + HANDSHAKE_LIMIT,
            attempt: Attempt { restarts: 0, progress: (Progress::Silent, now), peer_fingerprint: None },
            hellos: Hellos::new(role.other()),
            last_error: None,
            outputs: VecDeque::new(),
            dropped: 0,
            version,
        };
        association.start_engine(now);
        association
    }

    /// Takes a datagram whose first byte is 20–63 (RFC 7983).
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        if self.state == State::Handshaking && self.role == Role::Server && !self.admit_hello(datagram, now) {
            self.dropped += 1;
            return;
        }
        self.drive(now, |engine, now| engine.handle_datagram(datagram, now));
    }

    /// Lets time pass; call at or after [`Association::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Handshaking {
            if now >= self.deadline {
                let failure = self.last_error.map_or(Failure::Timeout, Failure::from);
                self.fail(failure);
                return;
            }
            if self.stalled_at().is_some_and(|at| now >= at) {
                self.restart(now);
                return;
            }
        }
        self.drive(now, |engine, now| engine.handle_timeout(now));
    }

    /// When [`Association::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let engine = self.engine.as_ref().and_then(|engine| engine.poll_timeout());
        let handshaking = self.state == State::Handshaking;
        let deadline = handshaking.then_some(self.deadline);
        engine.into_iter().chain(deadline).chain(self.stalled_at()).min()
    }

    /// Sends a message to the peer inside the association.
    ///
    /// # Errors
    /// Before [`Output::Connected`], after the end, or if it does not fit into one record.
    pub fn send(&mut self, message: &[u8], now: Instant) -> Result<(), SendError> {
        if message.len() > MAX_MESSAGE_LEN {
            return Err(SendError::TooLong);
        }
        if self.state != State::Connected {
            return Err(SendError::NotConnected);
        }
        self.drive(now, |engine, now| engine.send(message, now));
        if self.state == State::Connected { Ok(()) } else { Err(SendError::NotConnected) }
    }

    /// Says goodbye and ends the association without a further event.
    pub fn close(&mut self, now: Instant) {
        if self.state == State::Connected
            && let Some(engine) = &mut self.engine
        {
            engine.close(now);
            self.collect_farewell();
        }
        self.state = State::Ended;
        self.engine = None;
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Datagrams and messages dropped because they came at the wrong time or nobody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn start_engine(&mut self, now: Instant) {
        self.attempt.progress = (Progress::Silent, now);
        self.attempt.peer_fingerprint = None;
        let engine: Result<Box<dyn Engine>, EngineError> = match self.peer {
            Peer::Ours => DimplEngine::new(self.role, self.version, &self.certificate, now)
                .map(|engine| Box::new(engine) as Box<dyn Engine>),
            Peer::Foreign => RtcEngine::new(self.role, &self.certificate, self.expected_fingerprint, now)
                .map(|engine| Box::new(engine) as Box<dyn Engine>),
        };
        match engine {
            Ok(engine) => {
                self.engine = Some(engine);
                self.absorb(now);
            }
            Err(error) => self.fail(error.into()),
        }
    }

    fn restart(&mut self, now: Instant) {
        self.attempt.restarts += 1;
        self.hellos.handle_restart();
        self.start_engine(now);
    }

    /// Calls the engine, then deals with what comes out, also if it gave up.
    fn drive(&mut self, now: Instant, call: impl FnOnce(&mut dyn Engine, Instant) -> Result<(), EngineError>) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let restarts = self.attempt.restarts;
        let result = call(engine.as_mut(), now);
        self.absorb(now);
        if let Err(error) = result
            && restarts == self.attempt.restarts
        {
            self.attempt_failed(error, now);
        }
    }

    fn absorb(&mut self, now: Instant) {
        let progress = self.engine.as_ref().map(|engine| engine.progress());
        if let Some(progress) = progress.filter(|progress| *progress > self.attempt.progress.0) {
            self.attempt.progress = (progress, now);
        }
        while let Some(event) = self.engine.as_mut().and_then(|engine| engine.poll_event()) {
            match event {
                EngineEvent::Transmit(datagram) => self.push(Output::Transmit(datagram)),
                EngineEvent::PeerCertificate(fingerprint) => {
                    if !self.is_expected(&fingerprint) {
                        self.fail(Failure::FingerprintMismatch);
                        return;
                    }
                    self.attempt.peer_fingerprint = Some(fingerprint);
                }
                EngineEvent::Established { keys, version } => self.connect(keys, version),
                EngineEvent::Data(message) => {
                    if self.state == State::Connected {
                        self.push(Output::Data(message));
                    }
                }
                EngineEvent::Closed => {
                    if self.state == State::Connected {
                        self.fail(Failure::Closed);
                    } else {
                        self.attempt_failed(EngineError::Refused, now);
                    }
                    return;
                }
            }
        }
    }

    fn connect(&mut self, keys: ExporterBlock, version: Version) {
        let Some(peer_fingerprint) = self.attempt.peer_fingerprint.filter(|seen| self.is_expected(seen)) else {
            self.fail(Failure::NoCertificate);
            return;
        };
        self.state = State::Connected;
        self.outputs.push_back(Output::Connected(Box::new(Connected {
            profile: keys.profile(),
            keys,
            local_fingerprint: self.certificate.fingerprint(),
            peer_fingerprint,
            role: self.role,
            version,
        })));
    }

    fn attempt_failed(&mut self, error: EngineError, now: Instant) {
        match self.state {
            State::Ended => {}
            State::Connected => self.fail(Failure::Broken),
            State::Handshaking => {
                // What was once seen is not explained away by what follows from it.
                let error = match self.last_error {
                    Some(EngineError::FingerprintMismatch) => EngineError::FingerprintMismatch,
                    Some(_) | None => error,
                };
                self.last_error = Some(error);
                if error == EngineError::FingerprintMismatch {
                    self.deadline = self.deadline.min(now + SECOND_LOOK);
                }
                let restarts = match self.role {
                    Role::Client => MAX_RESTARTS,
                    Role::Server => MAX_SERVER_RESTARTS,
                };
                if error == EngineError::Setup || self.attempt.restarts >= restarts {
                    self.fail(error.into());
                } else {
                    self.restart(now);
                }
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        if self.state != State::Ended {
            self.state = State::Ended;
            self.engine = None;
            self.outputs.push_back(Output::Failed(failure));
        }
    }

    /// When a client whose handshake makes no progress starts anew; never while nobody answers.
    fn stalled_at(&self) -> Option<Instant> {
        let possible =
            self.state == State::Handshaking && self.role == Role::Client && self.attempt.restarts < MAX_RESTARTS;
        let (progress, since) = self.attempt.progress;
        match (progress, self.peer) {
            _ if !possible => None,
            (Progress::Silent, _) | (Progress::PeerSeen, Peer::Ours) => None,
            (Progress::Answered, _) => Some(since + STALLED_AFTER),
            (Progress::PeerSeen, Peer::Foreign) => Some(since + STALLED_AT_END_AFTER),
        }
    }

    /// Whether the engine gets to see the datagram; the peer's new hello may replace the engine.
    fn admit_hello(&mut self, datagram: &[u8], now: Instant) -> bool {
        match (self.hellos.judge(datagram, now), self.role) {
            (Verdict::Pass, _) => true,
            (Verdict::Drop, _) => false,
            (Verdict::NewAttempt, Role::Server) => {
                self.start_engine(now);
                true
            }
            (Verdict::NewAttempt, Role::Client) => {
                // The engine has taken the other one, which answered an earlier attempt.
                let undecided = self.attempt.progress.0 < Progress::PeerSeen;
                if undecided && self.attempt.restarts < MAX_RESTARTS {
                    self.restart(now);
                }
                false
            }
        }
    }

    fn is_expected(&self, fingerprint: &[u8; 32]) -> bool {
        bool::from(fingerprint.ct_eq(&self.expected_fingerprint))
    }

    fn collect_farewell(&mut self) {
        while let Some(event) = self.engine.as_mut().and_then(|engine| engine.poll_event()) {
            if let EngineEvent::Transmit(datagram) = event {
                self.push(Output::Transmit(datagram));
            }
        }
    }

    fn push(&mut self, output: Output) {
        if self.outputs.len() < MAX_QUEUED_OUTPUTS {
            self.outputs.push_back(output);
        } else {
            self.dropped += 1;
        }
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Association({:?}, {:?}, {:?})", self.peer, self.role, self.state)
    }
}

#[cfg(test)]
#[path = "association_test.rs"]
mod tests;
