//! DTLS 1.2 (RFC 6347) towards foreign phones, on `rtc-dtls`: ECDSA and RSA certificates.
//!
//! ```text
//! client                                        server
//! ClientHello ─────────────────────────────────▶
//!             ◀───────────────────── HelloVerifyRequest
//! ClientHello with cookie ─────────────────────▶
//!             ◀───────────────────── ServerHello … ServerHelloDone
//! Certificate … [ChangeCipherSpec] Finished ───▶
//!             ◀───────────────────── [ChangeCipherSpec] Finished
//! ```
//!
//! Retransmission is ours: first after 100 ms, doubling up to 800 ms, until the next flight comes.
//! The implementation can repeat a flight with new record numbers, which a peer that has seen the old
//! ones needs to take notice, but only seven times; in between, and afterwards, the newest copy is
//! sent again, which serves a peer that has seen none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rtc_crypto::{SignatureScheme, default_provider};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate as RtcCertificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::engine::{Engine, EngineError, EngineEvent, Progress};
use super::flight_gate::{FlightGate, Stage, Verdict};
use super::record::{Headers, is_plausible};
use super::{Role, Version};
use crate::certificate::{Certificate, sha256};
use crate::keys::{EXPORTER_LABEL, ExporterBlock};
use crate::srtp::Profile;

const FIRST_RESEND: Duration = Duration::from_millis(100);
const LONGEST_RESEND: Duration = Duration::from_millis(800);
/// Repetitions with new record numbers that the implementation grants for one flight.
const FRESH_REPETITIONS: u32 = 7;
/// The first repetitions are all fresh; later ones alternate, to spread the rest over time.
const FRESH_AT_FIRST: u32 = 4;
/// An answer to a repeated flight is not repeated more often than this.
const ANSWER_INTERVAL: Duration = Duration::from_millis(50);
/// Its own timer is always due when we ask for a repetition.
const ENGINE_INTERVAL: Duration = Duration::from_nanos(1);
/// A message fragment, plus headers and tag, stays below 1200 bytes.
const MTU: usize = 1100;
/// The implementation tells associations apart by address; we have one of them per object.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

pub(super) struct RtcEngine {
    endpoint: Endpoint,
    gate: FlightGate,
    events: VecDeque<EngineEvent>,
    /// The newest copy of the flight sent last.
    flight: Vec<Vec<u8>>,
    resend: Option<Resend>,
    answered_at: Option<Instant>,
    progress: Progress,
    wrong_certificate: Arc<AtomicBool>,
}

/// When the last flight is sent again.
struct Resend {
    at: Instant,
    interval: Duration,
    repetitions: u32,
    fresh: u32,
}

impl RtcEngine {
    pub(super) fn new(
        role: Role,
        certificate: &Certificate,
        expected_fingerprint: [u8; 32],
        now: Instant,
    ) -> Result<Self, EngineError> {
        let wrong_certificate = Arc::new(AtomicBool::new(false));
        let config = configure(role, certificate, expected_fingerprint, &wrong_certificate, ENGINE_INTERVAL)
            .map_err(|_| EngineError::Setup)?;
        let (client, server) = match role {
            Role::Client => (Some(config), None),
            Role::Server => (None, Some(config)),
        };
        let mut engine = Self {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, server),
            gate: FlightGate::new(role),
            events: VecDeque::new(),
            flight: Vec::new(),
            resend: None,
            answered_at: None,
            progress: Progress::Silent,
            wrong_certificate,
        };
        if let Some(config) = client {
            engine.endpoint.connect(now, PEER, config, None).map_err(|_| EngineError::Setup)?;
            engine.collect_flight(now);
        }
        Ok(engine)
    }

    fn feed(&mut self, records: &[u8], now: Instant) -> Result<(), EngineError> {
        let result = self.endpoint.read(now, PEER, None, records.into());
        self.collect_flight(now);
        let events = result.map_err(|error| self.classify(&error))?;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.establish()?,
                EndpointEvent::ApplicationData(message) => {
                    self.events.push_back(EngineEvent::Data(message.to_vec()));
                }
                EndpointEvent::PeerClosed => self.events.push_back(EngineEvent::Closed),
                // The enum may grow; what is not known here changes nothing about the keys.
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes what the implementation sends on its own account: its next flight.
    fn collect_flight(&mut self, now: Instant) {
        let sent = self.collect();
        if !sent.is_empty() {
            self.flight = sent;
            let interval = FIRST_RESEND;
            self.resend = Some(Resend { at: now + interval, interval, repetitions: 0, fresh: 0 });
        }
        if matches!(self.gate.stage(), Stage::Hello | Stage::Done) {
            self.resend = None;
        }
    }

    fn collect(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let datagram = transmit.message.to_vec();
            self.gate.handle_sent(&datagram);
            self.events.push_back(EngineEvent::Transmit(datagram.clone()));
            sent.push(datagram);
        }
        if self.gate.stage() == Stage::Finished {
            self.progress = Progress::PeerSeen;
        }
        sent
    }

    fn establish(&mut self) -> Result<(), EngineError> {
        self.gate.handle_established();
        self.resend = None;
        let state = self.endpoint.get_connection_state(PEER).ok_or(EngineError::Protocol)?;
        let certificate = state.peer_certificates.first().ok_or(EngineError::NoCertificate)?;
        let fingerprint = sha256(certificate);
        let profile = profile_of(state.srtp_protection_profile()).ok_or(EngineError::NoCommonProfile)?;
        let exported = state
            .export_keying_material(EXPORTER_LABEL, &[], profile.exporter_len())
            .map_err(|_| EngineError::Protocol)?;
        let exported = Zeroizing::new(exported.into_bytes());
        let keys = ExporterBlock::new(profile, &exported).ok_or(EngineError::Protocol)?;
        self.events.push_back(EngineEvent::PeerCertificate(fingerprint));
        self.events.push_back(EngineEvent::Established { keys, version: Version::Dtls12 });
        Ok(())
    }

    fn repeat_flight(&mut self, now: Instant) -> Result<(), EngineError> {
        let Some(resend) = self.resend.as_mut().filter(|resend| resend.at <= now) else {
            return Ok(());
        };
        let due = resend.repetitions < FRESH_AT_FIRST || resend.repetitions.is_multiple_of(2);
        let fresh = due && resend.fresh < FRESH_REPETITIONS && self.endpoint.poll_timeout(&PEER).is_some();
        resend.repetitions += 1;
        resend.fresh += u32::from(fresh);
        resend.interval = (resend.interval * 2).min(LONGEST_RESEND);
        resend.at = now + resend.interval;
        if fresh {
            self.endpoint.handle_timeout(PEER, now).map_err(|error| self.classify(&error))?;
            self.flight = self.collect();
        } else {
            self.send_copy();
        }
        Ok(())
    }

    fn send_copy(&mut self) {
        for datagram in &self.flight {
            self.events.push_back(EngineEvent::Transmit(datagram.clone()));
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the enum has hundreds of variants; four matter")]
    fn classify(&self, error: &Error) -> EngineError {
        if self.wrong_certificate.load(Ordering::Relaxed) {
            return EngineError::FingerprintMismatch;
        }
        match error {
            Error::ErrClientNoMatchingSrtpProfile | Error::ErrServerNoMatchingSrtpProfile => {
                EngineError::NoCommonProfile
            }
            Error::ErrClientCertificateRequired | Error::ErrNoCertificates => EngineError::NoCertificate,
            Error::ErrAlertFatalOrClose => EngineError::Refused,
            _ => EngineError::Protocol,
        }
    }
}

impl Engine for RtcEngine {
    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<(), EngineError> {
        if !is_plausible(datagram, Headers::Long) {
            return Ok(());
        }
        self.progress = self.progress.max(Progress::Answered);
        match self.gate.handle_received(datagram) {
            Verdict::Hold => Ok(()),
            Verdict::Feed(records) => self.feed(&records, now),
            Verdict::PeerRepeats => {
                if self.answered_at.is_none_or(|at| now >= at + ANSWER_INTERVAL) {
                    self.answered_at = Some(now);
                    self.send_copy();
                }
                Ok(())
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), EngineError> {
        self.repeat_flight(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.resend.as_ref().map(|resend| resend.at)
    }

    fn poll_event(&mut self) -> Option<EngineEvent> {
        self.events.pop_front()
    }

    fn send(&mut self, message: &[u8], now: Instant) -> Result<(), EngineError> {
        self.endpoint.write(now, PEER, message).map_err(|error| self.classify(&error))?;
        self.collect();
        Ok(())
    }

    fn close(&mut self, now: Instant) {
        self.endpoint.stop(now, PEER);
        self.collect();
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}

fn configure(
    role: Role,
    certificate: &Certificate,
    expected_fingerprint: [u8; 32],
    wrong_certificate: &Arc<AtomicBool>,
    flight_interval: Duration,
) -> Result<Arc<HandshakeConfig>, Error> {
    let provider = default_provider().map_err(|error| Error::Crypto(error.to_string()))?;
    let key = provider
        .crypto()
        .import_signing_key(SignatureScheme::EcdsaP256Sha256, certificate.private_key_der())
        .map_err(|error| Error::Crypto(error.to_string()))?;
    let own = RtcCertificate::from_signing_key(vec![certificate.der().to_vec().into()], key);
    let wrong = Arc::clone(wrong_certificate);
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![own])
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        // No certificate authority is asked: the fingerprint below is the whole check (RFC 5763 §5).
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(Arc::new(move |chain: &[Vec<u8>], _: &[_]| {
            let matches =
                chain.first().is_some_and(|certificate| bool::from(sha256(certificate).ct_eq(&expected_fingerprint)));
            if matches {
                Ok(())
            } else {
                wrong.store(true, Ordering::Relaxed);
                Err(Error::ErrNoCertificates)
            }
        })))
        .with_flight_interval(flight_interval)
        .with_mtu(MTU)
        .with_server_name("undertone".to_owned())
        .build(role == Role::Client, None)?;
    Ok(Arc::new(config))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive; only these three are offered")]
fn profile_of(profile: SrtpProtectionProfile) -> Option<Profile> {
    match profile {
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Some(Profile::AeadAes256Gcm),
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Some(Profile::AeadAes128Gcm),
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Some(Profile::AesCm128HmacSha1_80),
        _ => None,
    }
}

#[cfg(test)]
#[path = "upstream_test.rs"]
mod upstream;
