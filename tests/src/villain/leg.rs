//! One phone's half of a call whose encryption the gateway ends: it is the other phone to this one.

use std::time::{Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use undertone_media::certificate::Certificate;
use undertone_media::dtls::{self, Peer};
use undertone_media::session::{self, Session, SoundGate};
use undertone_media::verify::{
    self, AddressHash, Capabilities, ChannelBinding, Exchange, Failure, IdentityKey, Proven, Role,
};
use undertone_sip::sdp::{self, Description, DtlsRole, Fingerprint};

use super::forged_request::Dialog;

/// Sound per packet that both phones ask for, in samples.
pub(super) const FRAME_SAMPLES: usize = 960;

/// What happened on a leg.
pub(super) enum Told {
    /// A datagram for the phone.
    Datagram(Vec<u8>),
    /// A verification message of the phone.
    Proof(Vec<u8>),
    /// The gateway's own verification wants to say this to the phone.
    OwnProof(Vec<u8>),
}

/// One phone's half.
#[derive(Default)]
pub(super) struct Leg {
    /// The phone sent the INVITE.
    pub(super) phone_calls: bool,
    /// Verification messages of this phone in this call, and in earlier ones.
    pub(super) proofs: Vec<Vec<u8>>,
    pub(super) earlier_proofs: Vec<Vec<u8>>,
    /// Offers that the gateway had for this phone.
    pub(super) earlier_offers: Vec<Description>,
    pub(super) dialog: Dialog,
    /// Loudest sample that could be decrypted in this call.
    pub(super) loudest: f32,
    /// Calls whose keys the gateway had.
    pub(super) opened: usize,
    /// How its own verification ended.
    pub(super) verdict: Option<Result<Box<Proven>, Failure>>,
    certificate: Option<Certificate>,
    said: Option<Description>,
    told: Option<Description>,
    session: Option<Session<ChaCha20Rng>>,
    exchange: Option<Exchange>,
}

impl Leg {
    /// A new call begins.
    pub(super) fn begin(&mut self, phone_calls: bool) {
        let proofs = std::mem::take(&mut self.proofs);
        self.earlier_proofs.extend(proofs);
        self.phone_calls = phone_calls;
        self.certificate = Certificate::generate(SystemTime::UNIX_EPOCH).ok();
        (self.said, self.told, self.session, self.exchange, self.verdict) = (None, None, None, None, None);
        self.loudest = 0.0;
    }

    /// The certificate that the phone is to see in this call.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        let told = self.told.as_ref().map(|told| told.fingerprint);
        told.or_else(|| self.certificate.as_ref().map(|own| Fingerprint { sha256: own.fingerprint() }))
    }

    pub(super) fn hears_from_phone(&mut self, said: Description) {
        self.said.get_or_insert(said);
    }

    pub(super) fn tells_phone(&mut self, told: &Description) {
        self.told.get_or_insert_with(|| told.clone());
    }

    /// What the phone was told last.
    pub(super) fn told_last(&self) -> Option<Description> {
        self.told.clone()
    }

    /// Begins the media when both halves of the agreement are there.
    pub(super) fn start(&mut self, old_handshake: bool, rng: &mut ChaCha20Rng, now: Instant) {
        let (Some(said), Some(told)) = (&self.said, &self.told) else { return };
        let agreed = match self.phone_calls {
            true => sdp::conclude(said, told, false),
            false => sdp::conclude(told, said, true),
        };
        let Some((agreed, certificate)) = agreed.ok().filter(|_| self.session.is_none()).zip(self.certificate.take())
        else {
            return;
        };
        let ours = agreed.vfy && !old_handshake;
        let settings = session::Settings {
            certificate,
            dtls_role: match agreed.role {
                DtlsRole::Client => dtls::Role::Client,
                DtlsRole::Server => dtls::Role::Server,
            },
            peer: if ours { Peer::Ours } else { Peer::Foreign },
            peer_fingerprint: agreed.peer_fingerprint.sha256,
            payload: session::Payloads {
                opus: agreed.payloads.opus,
                red: agreed.payloads.red.filter(|_| ours),
                telephone_event: agreed.payloads.telephone_event.map(|(pt, _)| pt),
            },
            ptime_ms: agreed.ptime_ms,
            sound: SoundGate::Open,
            post_quantum: (ours && agreed.pq).then_some(self.role()),
        };
        self.session = Session::new(settings, ChaCha20Rng::seed_from_u64(rng.next_u64()), now).ok();
    }

    /// Begins its own verification with the phone, as the account at `address`.
    pub(super) fn prove(&mut self, identity: IdentityKey, address: &str, rng: &mut ChaCha20Rng, now: Instant) {
        let Some(session) = &self.session else { return };
        let Some(connected) = session.connected() else { return };
        let (own, peer) = (&connected.local_fingerprint, &connected.peer_fingerprint);
        let settings = verify::Settings {
            role: self.role(),
            channel: ChannelBinding::new(&connected.keys, connected.role, own, peer),
            own_address: AddressHash::of(address),
            peer_address: None,
            pinned: None,
            // Of a phone that could do more than was agreed on, the other phone would want to know why.
            capabilities: Capabilities { ml_kem: session.is_post_quantum() },
            post_quantum_ran: session.is_post_quantum(),
            tokens: Vec::new(),
        };
        self.exchange = Some(Exchange::new(settings, identity, rng, now));
    }

    /// The other phone's role in the call.
    fn role(&self) -> Role {
        if self.phone_calls { Role::Responder } else { Role::Initiator }
    }

    pub(super) fn handle_datagram(&mut self, bytes: &[u8], now: Instant) {
        if let Some(session) = &mut self.session {
            session.handle_datagram(bytes, now);
        }
    }

    /// A verification message of the phone, for its own verification.
    pub(super) fn handle_proof(&mut self, bytes: &[u8], now: Instant) {
        if let Some(exchange) = &mut self.exchange {
            exchange.handle_message(bytes, now);
        }
    }

    pub(super) fn send_proof(&mut self, bytes: &[u8], now: Instant) {
        if let Some(session) = &mut self.session {
            // What the session does not take is lost, as on any bad line.
            let _ = session.send_channel_data(bytes, now);
        }
    }

    /// The next frame of the phone's sound; nothing before keys.
    pub(super) fn listen(&mut self, now: Instant) -> Option<[f32; FRAME_SAMPLES]> {
        let session = self.session.as_mut().filter(|session| session.connected().is_some())?;
        let mut frame = [0.0; FRAME_SAMPLES];
        session.fill_playout(&mut frame, now);
        self.loudest = frame.iter().fold(self.loudest, |loudest, sample| loudest.max(sample.abs()));
        Some(frame)
    }

    pub(super) fn speak(&mut self, frame: &[f32], now: Instant) {
        if let Some(session) = &mut self.session {
            session.handle_capture(frame, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(session) = self.session.as_mut().filter(|s| s.poll_timeout().is_some_and(|at| now >= at)) {
            session.handle_timeout(now);
        }
        if let Some(exchange) = self.exchange.as_mut().filter(|e| e.poll_timeout().is_some_and(|at| now >= at)) {
            exchange.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        session.into_iter().chain(self.exchange.as_ref().and_then(Exchange::poll_timeout)).min()
    }

    pub(super) fn poll(&mut self) -> Option<Told> {
        while let Some(output) = self.session.as_mut().and_then(Session::poll_output) {
            match output {
                session::Output::Transmit(bytes) => return Some(Told::Datagram(bytes)),
                session::Output::Event(session::Event::ChannelData(bytes)) => return Some(Told::Proof(bytes)),
                session::Output::Event(session::Event::Encrypted { .. }) => self.opened += 1,
                session::Output::Event(_) => {}
            }
        }
        while let Some(output) = self.exchange.as_mut().and_then(Exchange::poll_output) {
            match output {
                verify::Output::Send(message) => return Some(Told::OwnProof(message)),
                verify::Output::Proven(proven) => self.verdict = Some(Ok(proven)),
                verify::Output::Failed(failure) => self.verdict = Some(Err(failure)),
                verify::Output::LinkUsedBefore => {}
            }
        }
        None
    }
}
