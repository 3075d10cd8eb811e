//! DTLS 1.3 (RFC 9147) towards our own phones, on `dimpl`.
//!
//! ```text
//! client                                        server
//! ClientHello ─────────────────────────────────▶
//!             ◀───────────────────── ServerHello, {EncryptedExtensions, CertificateRequest,
//!                                     Certificate, CertificateVerify, Finished}
//! {Certificate, CertificateVerify, Finished} ──▶
//!             ◀──────────────────────────────── {ACK}
//! ```
//!
//! The implementation compares no fingerprint and treats most surprises as fatal: datagrams are
//! filtered before it sees them, and the association compares [`EngineEvent::PeerCertificate`].
//! It has its own retransmission timers; only a first flight that nobody answers is repeated here,
//! because its back-off would leave gaps of many seconds while the other phone is still connecting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, ProtocolVersion, SrtpProfile};
use zeroize::Zeroizing;

use super::engine::{Engine, EngineError, EngineEvent, Progress};
use super::record::{
    ALERT, CLIENT_HELLO, Headers, MAX_DATAGRAM_LEN, Record, SERVER_HELLO, is_plausible, is_plausible_and, split,
};
use super::{HANDSHAKE_LIMIT, Role, Version};
use crate::certificate::{Certificate, sha256};
use crate::keys::ExporterBlock;
use crate::srtp::Profile;

/// First retransmission; doubled for every further one.
const START_RTO: Duration = Duration::from_millis(100);
/// Retransmissions of one flight: with doubling, more than fit into the handshake limit.
const FLIGHT_RETRIES: usize = 8;
/// Fits any path that carries IPv6 (1280) through a VPN.
const MTU: usize = 1150;
/// A ClientHello that nobody answered is repeated at least this often.
const UNANSWERED_REPEAT: Duration = Duration::from_millis(800);
/// Deadlines beyond this mean "none" in the implementation.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// Keeps a deadline in the past from becoming a busy loop.
const MIN_WAIT: Duration = Duration::from_millis(1);

pub(super) struct DimplEngine {
    dtls: Dtls,
    role: Role,
    buffer: Vec<u8>,
    events: VecDeque<EngineEvent>,
    timeout: Option<Instant>,
    handshake: Handshake,
    unanswered: Option<Unanswered>,
}

/// A client's first flight while nothing has come back.
struct Unanswered {
    datagram: Vec<u8>,
    repeat_at: Instant,
}

/// What has come out of the implementation so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handshake {
    progress: Progress,
    finished: bool,
    keyed: bool,
}

impl DimplEngine {
    pub(super) fn new(
        role: Role,
        version: Version,
        certificate: &Certificate,
        now: Instant,
    ) -> Result<Self, EngineError> {
        let config = Config::builder()
            .mtu(MTU)
            .require_client_certificate(true)
            .use_server_cookie(false)
            .flight_start_rto(START_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_LIMIT)
            .build()
            .map_err(|_| EngineError::Setup)?;
        let own = DtlsCertificate {
            certificate: certificate.der().to_vec(),
            private_key: certificate.private_key_der().to_vec(),
        };
        let mut dtls = match version {
            Version::Dtls13 => Dtls::new_13(Arc::new(config), own, now),
            Version::Dtls12 => Dtls::new_12(Arc::new(config), own, now),
        };
        dtls.set_active(role == Role::Client);
        let mut engine = Self {
            dtls,
            role,
            buffer: vec![0; MAX_DATAGRAM_LEN],
            events: VecDeque::new(),
            timeout: None,
            handshake: Handshake { progress: Progress::Silent, finished: false, keyed: false },
            unanswered: None,
        };
        engine.handle_timeout(now)?;
        Ok(engine)
    }

    fn is_established(&self) -> bool {
        self.handshake.finished && self.handshake.keyed
    }

    /// Whether a datagram may be fed. In DTLS 1.3 only the hellos are readable, and nothing at all
    /// once it is established; any other plaintext record that gets in makes the implementation give
    /// up at the end of the handshake. (Our phones share their groups: no hello is ever retried.)
    fn admits(&self, datagram: &[u8]) -> bool {
        let hello = match self.role {
            Role::Client => SERVER_HELLO,
            Role::Server => CLIENT_HELLO,
        };
        match self.dtls.protocol_version() {
            Some(ProtocolVersion::DTLS1_2) => is_plausible(datagram, Headers::Long),
            Some(_) | None if self.is_established() => is_plausible(datagram, Headers::Unified),
            Some(_) | None => is_plausible_and(datagram, Headers::LongAndUnified, |record| {
                record.content_type == ALERT && record.epoch == 0 || is_whole(record, hello)
            }),
        }
    }

    fn drain(&mut self, now: Instant) -> Result<(), EngineError> {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                dimpl::Output::Packet(datagram) => {
                    let datagram = datagram.to_vec();
                    if self.role == Role::Client && self.handshake.progress == Progress::Silent {
                        let repeat_at = now + UNANSWERED_REPEAT;
                        self.unanswered = Some(Unanswered { datagram: datagram.clone(), repeat_at });
                    }
                    self.events.push_back(EngineEvent::Transmit(datagram));
                }
                dimpl::Output::BufferTooSmall { needed } => self.buffer.resize(needed, 0),
                dimpl::Output::PeerCert(der) => {
                    self.handshake.progress = Progress::PeerSeen;
                    self.events.push_back(EngineEvent::PeerCertificate(sha256(der)));
                }
                dimpl::Output::Connected => self.handshake.finished = true,
                dimpl::Output::KeyingMaterial(material, profile) => {
                    let exported = Zeroizing::new(material.to_vec());
                    self.accept_keys(&exported, profile)?;
                }
                dimpl::Output::ApplicationData(message) => {
                    self.events.push_back(EngineEvent::Data(message.to_vec()));
                }
                dimpl::Output::CloseNotify => self.events.push_back(EngineEvent::Closed),
                dimpl::Output::Timeout(at) => {
                    self.timeout = (at < now + IDLE).then_some(at.max(now + MIN_WAIT));
                    break;
                }
                // The enum may grow; what is not known here changes nothing about the keys.
                _ => {}
            }
        }
        if self.handshake.finished && !self.handshake.keyed {
            return Err(EngineError::NoCommonProfile);
        }
        Ok(())
    }

    fn accept_keys(&mut self, exported: &[u8], profile: SrtpProfile) -> Result<(), EngineError> {
        let profile = match profile {
            SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
            SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            SrtpProfile::AES128_CM_SHA1_80 | _ => return Err(EngineError::NoCommonProfile),
        };
        let keys = ExporterBlock::new(profile, exported).ok_or(EngineError::Protocol)?;
        let version = match self.dtls.protocol_version() {
            Some(ProtocolVersion::DTLS1_2) => Version::Dtls12,
            Some(_) | None => Version::Dtls13,
        };
        self.handshake.keyed = true;
        self.events.push_back(EngineEvent::Established { keys, version });
        Ok(())
    }
}

impl Engine for DimplEngine {
    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<(), EngineError> {
        if !self.admits(datagram) {
            return Ok(());
        }
        self.handshake.progress = self.handshake.progress.max(Progress::Answered);
        self.unanswered = None;
        self.dtls.handle_timeout(now).map_err(|error| classify(&error))?;
        // One by one: of a datagram that holds old and new messages together the implementation may
        // leave some lying, and gives up over them at the end of the handshake.
        for record in split(datagram) {
            let result = self.dtls.handle_packet(record).map_err(|error| classify(&error));
            let drained = self.drain(now);
            result.and(drained)?;
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), EngineError> {
        self.dtls.handle_timeout(now).map_err(|error| classify(&error))?;
        self.drain(now)?;
        if let Some(unanswered) = &mut self.unanswered
            && unanswered.repeat_at <= now
        {
            unanswered.repeat_at = now + UNANSWERED_REPEAT;
            self.events.push_back(EngineEvent::Transmit(unanswered.datagram.clone()));
        }
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let repeat = self.unanswered.as_ref().map(|unanswered| unanswered.repeat_at);
        self.timeout.into_iter().chain(repeat).min()
    }

    fn poll_event(&mut self) -> Option<EngineEvent> {
        self.events.pop_front()
    }

    fn send(&mut self, message: &[u8], now: Instant) -> Result<(), EngineError> {
        self.dtls.handle_timeout(now).map_err(|error| classify(&error))?;
        self.dtls.send_application_data(message).map_err(|error| classify(&error))?;
        self.drain(now)
    }

    fn close(&mut self, now: Instant) {
        // A farewell that cannot be sent is not missed: the peer notices the silence.
        if self.dtls.close().is_ok() {
            let _ = self.drain(now);
        }
    }

    fn progress(&self) -> Progress {
        self.handshake.progress
    }
}

/// Whether a record carries one whole first handshake message of that kind and nothing else.
fn is_whole(record: &Record<'_>, kind: u8) -> bool {
    let mut fragments = record.fragments();
    let first = fragments
        .next()
        .is_some_and(|fragment| fragment.kind == kind && fragment.message_sequence == 0 && fragment.is_whole());
    first && fragments.next().is_none()
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive and only a few causes matter")]
fn classify(error: &dimpl::Error) -> EngineError {
    match error {
        dimpl::Error::Timeout(_) => EngineError::Timeout,
        dimpl::Error::CertificateError(_) => EngineError::NoCertificate,
        dimpl::Error::SecurityError(dimpl::SecurityError::FatalAlert { .. }) => EngineError::Refused,
        dimpl::Error::ConfigError(_) => EngineError::Setup,
        _ => EngineError::Protocol,
    }
}
