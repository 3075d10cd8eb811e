//! The four messages of VFY1 as two state machines over one transcript.
//!
//! ```text
//! Initiator (sent the call's first INVITE)          Responder
//!   M1  pub(eI) ‖ C  ───────────────────────────▶     C commits to rI, pub(idI), capsI, adrI
//!   ◀─────────────────────────  M2  core2 ‖ tagR     core2 = pub(eR) ‖ rR ‖ pub(idR) ‖ capsR ‖ adrR
//!   checks tagR, adrR, pin: so far it revealed only a commitment
//!   M3  rI ‖ pub(idI) ‖ capsI ‖ adrI ‖ inv ‖ tagI ▶   checks C, tagI, adrI, pin, inv
//!   ◀─────────────────────────────  M4  MAC(done, T)
//! ```
//!
//! Each honest side's transcript hash `T` holds its own fresh random octets, and whoever sits between
//! must fix what it controls before seeing them: that is what makes equal safety words mean that
//! nobody is there. A repeated message is answered by the same answer bit for bit, anything out of
//! order is ignored, a failed check ends the run.
//!
//! After the run the responder may tell that the initiator's link was used by another phone before. The channel is
//! proven by then, so that needs no proof of its own; it is repeated for a while and never answered.

use super::channel::{AddressHash, ChannelBinding, hash, mac};
use super::failure::Failure;
use super::identity::{IdentityKey, IdentityPublic};
use super::message::{CORE2_LEN, Kind, frame, open, take};
use super::repeat::{LIMIT, Repeat};
use super::safety_words::SafetyWords;
use rand_core::RngCore;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How long the responder keeps M4 for repeated M3.
const ANSWER_AGAIN: Duration = Duration::from_secs(15);
/// Bit 0 of `caps`: speaks VFY1.
const CAP_VFY1: u32 = 1;
/// Bit 1 of `caps`: can add an ML-KEM-768 secret to the media keys.
const CAP_ML_KEM: u32 = 2;

/// Who one is in the exchange: decided by the call's first INVITE, not by DTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sent the call's first INVITE.
    Initiator,
    /// Received it.
    Responder,
}

/// What a phone can do, as it says in the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// ML-KEM-768 on top of the media keys.
    pub ml_kem: bool,
}

/// The secret of a contact link.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct InviteToken([u8; 32]);

/// What is known before the run.
pub struct Settings {
    /// Our role.
    pub role: Role,
    /// The association this runs in.
    pub channel: ChannelBinding,
    /// Our own address.
    pub own_address: AddressHash,
    /// The address that was called, or that the caller showed; `None` for a hidden caller.
    pub peer_address: Option<AddressHash>,
    /// The key this contact is known by.
    pub pinned: Option<IdentityPublic>,
    /// What our phone can do.
    pub capabilities: Capabilities,
    /// Whether the post-quantum exchange ran in this association.
    pub post_quantum_ran: bool,
    /// Initiator: the token of the peer's link, if it has one. Responder: the tokens of its open links.
    pub tokens: Vec<InviteToken>,
}

/// What the caller's link proved to the responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteProof {
    /// No link was used.
    None,
    /// The open link with this index in [`Settings::tokens`].
    Link(usize),
    /// A link that is not (or no longer) open.
    Unknown,
}

/// The peer owns this key on this very channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// The peer's long-term key.
    pub peer: IdentityPublic,
    /// The peer's address, to be compared by a responder with a hidden caller.
    pub peer_address: AddressHash,
    /// Whether it equals the pinned one; `false` when none was pinned.
    pub known: bool,
    /// What people compare at a first call.
    pub words: SafetyWords,
    /// What the caller's link proved; `None` on the initiator's side.
    pub invite: InviteProof,
}

/// What the run wants.
#[derive(Debug)]
pub enum Output {
    /// Send this as one record inside the association.
    Send(Vec<u8>),
    /// Both proofs hold. At most once.
    Proven(Box<Proven>),
    /// The run is over. The last output.
    Failed(Failure),
    /// Initiator, after `Proven`: another phone used this link before. At most once.
    LinkUsedBefore,
}

/// One side's claim: long-term key, capabilities and address, as both M2 and M3 carry it.
#[derive(Clone, Copy)]
struct Claim {
    identity: [u8; 32],
    capabilities: [u8; 4],
    address: [u8; 32],
}

/// What is wiped when the run is over.
struct Secrets {
    identity: IdentityKey,
    ephemeral: IdentityKey,
    random: Zeroizing<[u8; 32]>,
}

enum State {
    /// Initiator: M1 is out.
    AwaitM2 {
        m1: Vec<u8>,
    },
    /// Initiator: M3 is out.
    AwaitM4 {
        m3: Vec<u8>,
        transcript: [u8; 32],
        proven: Proven,
    },
    /// Responder, at first.
    AwaitM1,
    /// Responder: M2 is out.
    AwaitM3 {
        m1: Vec<u8>,
        m2: Vec<u8>,
    },
    /// Responder: M4 is out and repeated on demand.
    AnswerAgain {
        m3: Vec<u8>,
        m4: Vec<u8>,
        notice: Option<Repeat>,
    },
    /// Initiator: proven. What the responder may still say has not come yet.
    Listening,
    Over,
}

/// One run of VFY1.
pub struct Exchange {
    settings: Settings,
    secrets: Option<Secrets>,
    state: State,
    started: Instant,
    repeat: Option<Repeat>,
    keys_shown: bool,
    outputs: VecDeque<Output>,
}

impl InviteToken {
    /// From the 32 octets of a link.
    pub fn new(token: [u8; 32]) -> Self {
        Self(token)
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn prove(&self, transcript: &[u8; 32]) -> [u8; 16] {
        let tag = mac(&self.0, &[b"VFY1 inv", transcript]);
        let mut inv = [0; 16];
        inv.copy_from_slice(&tag[..16]);
        inv
    }
}

impl std::fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InviteToken")
    }
}

impl Capabilities {
    fn to_wire(self) -> [u8; 4] {
        (CAP_VFY1 | if self.ml_kem { CAP_ML_KEM } else { 0 }).to_be_bytes()
    }
}

impl Exchange {
    /// Starts a run; the initiator's M1 is ready to be polled. `rng` must be the system's (or a test's).
    pub fn new<R: RngCore>(settings: Settings, identity: IdentityKey, rng: &mut R, now: Instant) -> Self {
        let ephemeral = IdentityKey::generate(rng);
        let mut random = Zeroizing::new([0; 32]);
        rng.fill_bytes(random.as_mut());
        let secrets = Secrets { identity, ephemeral, random };
        let mut exchange = Self {
            settings,
            secrets: None,
            state: State::AwaitM1,
            started: now,
            repeat: None,
            keys_shown: false,
            outputs: VecDeque::new(),
        };
        if exchange.settings.role == Role::Initiator {
            let m1 = exchange.first_message(&secrets);
            exchange.send(m1.clone(), now);
            exchange.state = State::AwaitM2 { m1 };
        }
        exchange.secrets = Some(secrets);
        exchange
    }

    /// Takes one message out of the association.
    pub fn handle_message(&mut self, message: &[u8], now: Instant) {
        let result = open(message).and_then(|(kind, body)| self.step(kind, message, body, now));
        if let Err(failure) = result {
            self.fail(failure);
        }
    }

    /// Repeats what is outstanding, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let outstanding = match &mut self.state {
            State::AwaitM2 { m1 } => Some(m1.clone()),
            State::AwaitM4 { m3, .. } => Some(m3.clone()),
            State::AwaitM3 { m2, .. } => Some(m2.clone()),
            State::AwaitM1 => None,
            State::AnswerAgain { notice, .. } => {
                if now >= self.started + ANSWER_AGAIN {
                    self.state = State::Over;
                } else if notice.as_mut().is_some_and(|notice| notice.is_due(now)) {
                    self.outputs.push_back(Output::Send(frame(Kind::LinkUsed, &[])));
                }
                return;
            }
            State::Listening | State::Over => return,
        };
        if now >= self.started + LIMIT {
            return self.fail(Failure::Timeout);
        }
        if let (Some(message), true) = (outstanding, self.repeat.as_mut().is_some_and(|repeat| repeat.is_due(now))) {
            self.outputs.push_back(Output::Send(message));
        }
    }

    /// When [`Exchange::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let limit = self.started + LIMIT;
        match &self.state {
            State::Listening | State::Over => None,
            State::AnswerAgain { notice, .. } => {
                let until = self.started + ANSWER_AGAIN;
                Some(notice.map_or(until, |notice| notice.at().min(until)))
            }
            State::AwaitM1 => Some(limit),
            State::AwaitM2 { .. } | State::AwaitM3 { .. } | State::AwaitM4 { .. } => {
                Some(self.repeat.map_or(limit, |repeat| repeat.at().min(limit)))
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Responder, after `Proven`: tells the initiator that another phone used its link before.
    pub fn tell_link_used(&mut self, now: Instant) {
        if let State::AnswerAgain { notice: notice @ None, .. } = &mut self.state {
            *notice = Some(Repeat::new(now));
            self.outputs.push_back(Output::Send(frame(Kind::LinkUsed, &[])));
        }
    }

    /// Whether the responder's key was shown: from then on a failure is no accident.
    pub fn has_shown_keys(&self) -> bool {
        self.keys_shown
    }

    fn step(&mut self, kind: Kind, message: &[u8], body: &[u8], now: Instant) -> Result<(), Failure> {
        match (&self.state, kind) {
            (State::AwaitM1, Kind::M1) => self.answer_first(message, body, now),
            (State::AwaitM3 { m1, m2 }, Kind::M1) if m1 == message => {
                self.outputs.push_back(Output::Send(m2.clone()));
                Ok(())
            }
            (State::AwaitM2 { m1 }, Kind::M2) => {
                let m1 = m1.clone();
                self.check_second(&m1, body, now)
            }
            (State::AwaitM3 { m1, m2 }, Kind::M3) => {
                let (m1, m2) = (m1.clone(), m2.clone());
                self.check_third(&m1, &m2, message, body, now)
            }
            (State::AnswerAgain { m3, m4, .. }, Kind::M3) if m3 == message => {
                self.outputs.push_back(Output::Send(m4.clone()));
                Ok(())
            }
            (State::AwaitM4 { transcript, proven, .. }, Kind::M4) => {
                let (transcript, proven) = (*transcript, *proven);
                self.check_fourth(&transcript, proven, body)
            }
            (State::Listening, Kind::LinkUsed) => {
                self.state = State::Over;
                // Who used no link is told nothing about one.
                if !self.settings.tokens.is_empty() {
                    self.outputs.push_back(Output::LinkUsedBefore);
                }
                Ok(())
            }
            (
                State::AwaitM1
                | State::AwaitM2 { .. }
                | State::AwaitM3 { .. }
                | State::AwaitM4 { .. }
                | State::AnswerAgain { .. }
                | State::Listening
                | State::Over,
                Kind::M1 | Kind::M2 | Kind::M3 | Kind::M4 | Kind::LinkUsed,
            ) => Ok(()),
        }
    }

    fn first_message(&self, secrets: &Secrets) -> Vec<u8> {
        let claim = self.own_claim(secrets);
        let commitment = commitment(&self.settings.channel, &secrets.random, &claim);
        frame(Kind::M1, &[secrets.ephemeral.public().as_bytes(), &commitment])
    }

    fn answer_first(&mut self, m1: &[u8], mut body: &[u8], now: Instant) -> Result<(), Failure> {
        let peer_ephemeral: [u8; 32] = take(&mut body)?;
        let secrets = self.secrets.as_ref().ok_or(Failure::Malformed)?;
        refuse_own_key(&peer_ephemeral, secrets)?;
        let claim = self.own_claim(secrets);
        let mut core2 = [0; CORE2_LEN];
        core2[..32].copy_from_slice(secrets.ephemeral.public().as_bytes());
        core2[32..64].copy_from_slice(secrets.random.as_ref());
        core2[64..].copy_from_slice(&claim.to_wire());
        let shared = secrets.identity.agree(&peer_ephemeral).ok_or(Failure::WeakKey)?;
        let tag = authenticate(&self.settings.channel, b"R", &shared, &[m1, &core2]);
        let m2 = frame(Kind::M2, &[&core2, tag.as_ref()]);
        self.send(m2.clone(), now);
        self.keys_shown = true;
        self.state = State::AwaitM3 { m1: m1.to_vec(), m2 };
        Ok(())
    }

    fn check_second(&mut self, m1: &[u8], body: &[u8], now: Instant) -> Result<(), Failure> {
        self.keys_shown = true;
        let (core2, tag) = body.split_at_checked(CORE2_LEN).ok_or(Failure::Malformed)?;
        let mut rest = core2;
        let peer_ephemeral: [u8; 32] = take(&mut rest)?;
        let _peer_random: [u8; 32] = take(&mut rest)?;
        let peer = Claim::from_wire(&mut rest)?;
        let secrets = self.secrets.as_ref().ok_or(Failure::Malformed)?;
        refuse_own_key(&peer_ephemeral, secrets)?;
        refuse_own_key(&peer.identity, secrets)?;
        let shared = secrets.ephemeral.agree(&peer.identity).ok_or(Failure::WeakKey)?;
        let expected = authenticate(&self.settings.channel, b"R", &shared, &[m1, core2]);
        if !bool::from(expected.as_ref().ct_eq(tag)) {
            return Err(Failure::ProofRefused);
        }
        let known = self.check_claim(&peer)?;

        let own = self.own_claim(secrets);
        let transcript = transcript(&self.settings.channel, m1, core2, &secrets.random, &own);
        let inv = self.settings.tokens.first().map_or([0; 16], |token| token.prove(&transcript));
        let shared = secrets.identity.agree(&peer_ephemeral).ok_or(Failure::WeakKey)?;
        let tag = authenticate(&self.settings.channel, b"I", &shared, &[&transcript, &inv]);
        let m3 = frame(Kind::M3, &[secrets.random.as_ref(), &own.to_wire(), &inv, tag.as_ref()]);
        let proven = proven(&peer, known, &transcript, InviteProof::None);
        self.send(m3.clone(), now);
        self.state = State::AwaitM4 { m3, transcript, proven };
        Ok(())
    }

    fn check_third(&mut self, m1: &[u8], m2: &[u8], m3: &[u8], body: &[u8], now: Instant) -> Result<(), Failure> {
        let mut rest = body;
        let peer_random: [u8; 32] = take(&mut rest)?;
        let peer = Claim::from_wire(&mut rest)?;
        let inv: [u8; 16] = take(&mut rest)?;
        let tag: [u8; 32] = take(&mut rest)?;
        let (_, mut first) = open(m1)?;
        let _peer_ephemeral: [u8; 32] = take(&mut first)?;
        let committed: [u8; 32] = take(&mut first)?;
        let (_, second) = open(m2)?;
        let core2 = &second[..CORE2_LEN];
        let secrets = self.secrets.as_ref().ok_or(Failure::Malformed)?;
        refuse_own_key(&peer.identity, secrets)?;
        if !bool::from(commitment(&self.settings.channel, &peer_random, &peer).ct_eq(&committed)) {
            return Err(Failure::CommitmentBroken);
        }
        let transcript = transcript(&self.settings.channel, m1, core2, &peer_random, &peer);
        let shared = secrets.ephemeral.agree(&peer.identity).ok_or(Failure::WeakKey)?;
        let expected = authenticate(&self.settings.channel, b"I", &shared, &[&transcript, &inv]);
        if !bool::from(expected.as_ref().ct_eq(&tag)) {
            return Err(Failure::ProofRefused);
        }
        let known = self.check_claim(&peer)?;
        let invite = self.check_invite(&transcript, &inv);
        let m4 = frame(Kind::M4, &[done(&self.settings.channel, &transcript).as_ref()]);
        self.send(m4.clone(), now);
        self.outputs.push_back(Output::Proven(Box::new(proven(&peer, known, &transcript, invite))));
        self.secrets = None;
        self.repeat = None;
        self.started = now;
        self.state = State::AnswerAgain { m3: m3.to_vec(), m4, notice: None };
        Ok(())
    }

    fn check_fourth(&mut self, transcript: &[u8; 32], proven: Proven, body: &[u8]) -> Result<(), Failure> {
        if !bool::from(done(&self.settings.channel, transcript).as_ref().ct_eq(body)) {
            return Err(Failure::ProofRefused);
        }
        self.outputs.push_back(Output::Proven(Box::new(proven)));
        self.secrets = None;
        self.state = State::Listening;
        Ok(())
    }

    /// Address, pin and capabilities of a peer whose proof holds. Returns whether its key was pinned.
    fn check_claim(&self, peer: &Claim) -> Result<bool, Failure> {
        if self.settings.peer_address.is_some_and(|expected| *expected.as_bytes() != peer.address) {
            return Err(Failure::WrongAddress);
        }
        let changed = |pinned: &IdentityPublic| !bool::from(pinned.as_bytes().ct_eq(&peer.identity));
        if self.settings.pinned.as_ref().is_some_and(changed) {
            return Err(Failure::KeyChanged);
        }
        let capabilities = u32::from_be_bytes(peer.capabilities);
        if capabilities & CAP_VFY1 == 0 {
            return Err(Failure::Malformed);
        }
        let both_can = self.settings.capabilities.ml_kem && capabilities & CAP_ML_KEM != 0;
        if both_can && !self.settings.post_quantum_ran {
            return Err(Failure::PostQuantumStripped);
        }
        Ok(self.settings.pinned.is_some())
    }

    fn check_invite(&self, transcript: &[u8; 32], inv: &[u8; 16]) -> InviteProof {
        if inv == &[0; 16] {
            return InviteProof::None;
        }
        let matching = self.settings.tokens.iter().position(|token| token.prove(transcript).ct_eq(inv).into());
        matching.map_or(InviteProof::Unknown, InviteProof::Link)
    }

    fn own_claim(&self, secrets: &Secrets) -> Claim {
        Claim {
            identity: *secrets.identity.public().as_bytes(),
            capabilities: self.settings.capabilities.to_wire(),
            address: *self.settings.own_address.as_bytes(),
        }
    }

    fn send(&mut self, message: Vec<u8>, now: Instant) {
        self.outputs.push_back(Output::Send(message));
        self.repeat = Some(Repeat::new(now));
    }

    fn fail(&mut self, failure: Failure) {
        // A finished run cannot be undone by a later message, nor can it fail twice.
        if matches!(self.state, State::Over | State::Listening | State::AnswerAgain { .. }) {
            return;
        }
        self.secrets = None;
        self.state = State::Over;
        self.outputs.push_back(Output::Failed(failure));
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("role", &self.settings.role).finish_non_exhaustive()
    }
}

impl Claim {
    fn to_wire(self) -> [u8; 68] {
        let mut out = [0; 68];
        out[..32].copy_from_slice(&self.identity);
        out[32..36].copy_from_slice(&self.capabilities);
        out[36..].copy_from_slice(&self.address);
        out
    }

    fn from_wire(body: &mut &[u8]) -> Result<Self, Failure> {
        Ok(Self { identity: take(body)?, capabilities: take(body)?, address: take(body)? })
    }
}

/// Our own keys coming back mean that our messages are being played to us.
fn refuse_own_key(peer: &[u8; 32], secrets: &Secrets) -> Result<(), Failure> {
    let own = [secrets.identity.public(), secrets.ephemeral.public()];
    if own.iter().any(|key| key.as_bytes() == peer) { Err(Failure::Reflected) } else { Ok(()) }
}

/// `C`.
fn commitment(channel: &ChannelBinding, random: &[u8; 32], claim: &Claim) -> [u8; 32] {
    hash(&[b"VFY1 commit", channel.as_bytes(), random, &claim.to_wire()])
}

/// `T`.
fn transcript(channel: &ChannelBinding, m1: &[u8], core2: &[u8], random: &[u8; 32], initiator: &Claim) -> [u8; 32] {
    hash(&[channel.as_bytes(), m1, core2, random, &initiator.to_wire()])
}

/// `tagR` and `tagI`.
fn authenticate(channel: &ChannelBinding, who: &[u8], shared: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let key = mac(channel.as_bytes(), &[b"VFY1 auth", who, shared]);
    mac(key.as_ref(), parts)
}

/// The body of M4.
fn done(channel: &ChannelBinding, transcript: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    mac(mac(channel.as_bytes(), &[b"VFY1 done"]).as_ref(), &[transcript])
}

fn proven(peer: &Claim, known: bool, transcript: &[u8; 32], invite: InviteProof) -> Proven {
    let words = mac(transcript, &[b"VFY1 sas"]);
    Proven {
        peer: IdentityPublic::from_bytes(peer.identity),
        peer_address: AddressHash::from_wire(peer.address),
        known,
        words: SafetyWords::from_bits([words[0], words[1], words[2], words[3]]),
        invite,
    }
}
