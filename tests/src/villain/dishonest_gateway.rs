//! The dishonest gateway: its view of two people's calls, and what it makes of what passes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone_media::certificate::Certificate;
use undertone_media::dtls::{self, Association, Peer, Role};
use undertone_media::verify::{Failure, IdentityKey, Proven};
use undertone_sip::sdp::{Description, Fingerprint};
use undertone_sip::wire::{HeaderName, Message, Method};

use super::distortion::Distorter;
use super::forged_request::is_forged;
use super::leg::{FRAME_SAMPLES, Leg, Told};
use super::mischief::{Distortion, Mischief};
use super::{descriptions, hello};
use crate::world::{FRAME, StationId};

/// Somebody inside the gateway, between two people.
pub struct DishonestGateway {
    people: [StationId; 2],
    /// The addresses under which it shows each of the two to the other.
    addresses: [String; 2],
    mischief: Vec<Mischief>,
    legs: [Leg; 2],
    proofs: [Distorter; 2],
    datagrams: [Distorter; 2],
    next_frame: Option<Instant>,
    queue: BTreeMap<(Instant, u64), Due>,
    queued: u64,
    outputs: VecDeque<Output>,
    hellos_weakened: usize,
    answers: Vec<u16>,
    rng: ChaCha20Rng,
}

/// What it puts on the wire itself.
#[derive(Debug)]
pub(crate) enum Output {
    /// A datagram to this phone, as from the relay.
    Datagram(StationId, Vec<u8>),
    /// A signalling message to this phone, as from the gateway.
    Message(StationId, Box<Message>),
}

/// What waits for its time.
enum Due {
    Send(Output),
    Proof(usize, Vec<u8>),
}

impl DishonestGateway {
    /// Between these two people, whose accounts are named; it does all of this in every call.
    pub fn between(people: [(StationId, &str); 2], mischief: impl IntoIterator<Item = Mischief>, seed: u64) -> Self {
        let mischief: Vec<Mischief> = mischief.into_iter().collect();
        let rng = |stream: u64| ChaCha20Rng::seed_from_u64(seed.wrapping_mul(6_007).wrapping_add(stream));
        let of_proofs = distortions(&mischief, |lie| match lie {
            Mischief::DistortsProofs(distortion) => Some(distortion),
            _ => None,
        });
        let of_datagrams = distortions(&mischief, |lie| match lie {
            Mischief::DistortsDatagrams(distortion) => Some(distortion),
            _ => None,
        });
        Self {
            people: people.map(|(id, _)| id),
            addresses: people.map(|(_, account)| format!("{account}@{}", crate::world::DOMAIN)),
            mischief,
            legs: [Leg::default(), Leg::default()],
            proofs: [1, 2].map(|stream| Distorter::new(of_proofs.clone(), rng(stream))),
            datagrams: [3, 4].map(|stream| Distorter::new(of_datagrams.clone(), rng(stream))),
            next_frame: None,
            queue: BTreeMap::new(),
            queued: 0,
            outputs: VecDeque::new(),
            hellos_weakened: 0,
            answers: Vec::new(),
            rng: rng(5),
        }
    }

    /// The loudest sample of this person's voice that it could decrypt in the last call.
    pub fn overheard(&self, id: StationId) -> f32 {
        self.index(id).map_or(0.0, |n| self.legs[n].loudest)
    }

    /// How many of this person's calls it had the keys of.
    pub fn calls_opened(&self, id: StationId) -> usize {
        self.index(id).map_or(0, |n| self.legs[n].opened)
    }

    /// How its own verification with this person's phone ended.
    pub fn verdict(&self, id: StationId) -> Option<&Result<Box<Proven>, Failure>> {
        self.index(id).and_then(|n| self.legs[n].verdict.as_ref())
    }

    /// Messages and datagrams that left it otherwise than they came.
    pub fn distorted(&self) -> usize {
        self.proofs.iter().chain(&self.datagrams).map(|distorter| distorter.changed).sum()
    }

    /// First messages of handshakes that it rewrote.
    pub fn hellos_weakened(&self) -> usize {
        self.hellos_weakened
    }

    /// Final answers to requests that it forged.
    pub fn answers(&self) -> &[u16] {
        &self.answers
    }

    /// From here on it does this.
    pub fn turns_to(&mut self, mischief: impl IntoIterator<Item = Mischief>) {
        self.mischief = mischief.into_iter().collect();
    }

    /// In the running call, tells this phone that the other one has a new key from here on.
    pub fn changes_keys(&mut self, id: StationId, now: Instant) {
        let Some(n) = self.index(id) else { return };
        let Some(mut told) = self.legs[n].told_last() else { return };
        told.fingerprint = Fingerprint { sha256: [0x5a; 32] };
        told.origin.version += 1;
        if let Some(message) = self.legs[n].dialog.reinvite(told.to_bytes()) {
            self.queue(Due::Send(Output::Message(id, Box::new(message))), now);
        }
        self.settle(now);
    }

    /// In the running call, sends this phone the first message of a handshake of its own, as if keys were to be
    /// agreed on anew.
    pub fn begins_another_handshake(&mut self, id: StationId, now: Instant) {
        let Ok(certificate) = Certificate::generate(SystemTime::UNIX_EPOCH) else { return };
        let mut own = Association::new(Peer::Ours, Role::Client, &certificate, [0; 32], now);
        while let Some(dtls::Output::Transmit(bytes)) = own.poll_output() {
            self.queue(Due::Send(Output::Datagram(id, bytes)), now);
        }
        self.settle(now);
    }

    /// A message that a phone sent; what the honest part of the gateway gets to see of it.
    pub(crate) fn handle_from_phone(&mut self, id: StationId, mut message: Message, now: Instant) -> Option<Message> {
        if is_forged(&message) {
            self.take_forged_answer(id, &message, now);
            return None;
        }
        if let Some(n) = self.index(id) {
            self.legs[n].dialog.learn(&message, true);
            if is_new_call(&message) {
                self.legs[n].begin(true);
            }
            if let Some(said) = descriptions::read(&message) {
                self.legs[n].hears_from_phone(said);
                self.start(n, now);
            }
        }
        let is_called = self.index(id).is_some_and(|n| !self.legs[n].phone_calls);
        let caller = caller_header(&message, true);
        for lie in &self.mischief {
            match lie {
                Mischief::LeadsTo(from, to) => descriptions::lead(&mut message, from, to),
                Mischief::ShowsAs(account, shown) if is_called => {
                    descriptions::rename(&mut message, &caller, shown, account);
                }
                _ => {}
            }
        }
        self.settle(now);
        Some(message)
    }

    /// A message that the honest part of the gateway has for a phone; what the phone gets.
    pub(crate) fn handle_for_phone(&mut self, id: StationId, mut message: Message, now: Instant) -> Message {
        if is_forged(&message) {
            return message;
        }
        let caller = caller_header(&message, false);
        for lie in &self.mischief {
            if let Mischief::ShowsAs(account, shown) = lie {
                descriptions::rename(&mut message, &caller, account, shown);
            }
        }
        let Some(n) = self.index(id) else { return message };
        self.legs[n].dialog.learn(&message, false);
        if is_new_call(&message) {
            self.legs[n].begin(false);
        }
        if let Some(told) = descriptions::read(&message) {
            let body = self.rewrite(n, told, is_new_call(&message));
            descriptions::set_body(&mut message, body);
            self.start(n, now);
        }
        self.settle(now);
        message
    }

    /// A datagram other than STUN that a phone sent to the relay.
    pub(crate) fn handle_datagram(&mut self, from: StationId, bytes: &[u8], now: Instant) {
        if let Some(n) = self.index(from).filter(|_| self.ends_encryption()) {
            self.legs[n].handle_datagram(bytes, now);
            self.settle(now);
        }
    }

    /// A datagram other than STUN that the relay has for a phone.
    pub(crate) fn carry(&mut self, to: StationId, mut bytes: Vec<u8>, now: Instant) {
        let Some(n) = self.index(to) else {
            return self.outputs.push_back(Output::Datagram(to, bytes));
        };
        if self.ends_encryption() {
            return;
        }
        let weakened = self.does(Mischief::WeakensProfile) && hello::weaken_profile(&mut bytes);
        let weakened = self.does(Mischief::WeakensVersion) && hello::weaken_version(&mut bytes) || weakened;
        self.hellos_weakened += usize::from(weakened);
        for (delay, bytes) in self.datagrams[n].distort(bytes) {
            self.queue(Due::Send(Output::Datagram(to, bytes)), now + delay);
        }
        self.settle(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let legs = self.legs.iter().filter_map(Leg::poll_timeout);
        legs.chain(self.next_frame).chain(self.queue.keys().next().map(|(at, _)| *at)).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.legs.iter_mut().for_each(|leg| leg.handle_timeout(now));
        if self.next_frame.is_some_and(|at| now >= at) {
            self.pass_sound_on(now);
        }
        self.settle(now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn index(&self, id: StationId) -> Option<usize> {
        self.people.iter().position(|person| *person == id)
    }

    fn does(&self, mischief: Mischief) -> bool {
        self.mischief.contains(&mischief)
    }

    fn ends_encryption(&self) -> bool {
        self.does(Mischief::EndsEncryption)
    }

    /// What this person's phone is told instead of `told`.
    fn rewrite(&mut self, n: usize, mut told: Description, is_offer: bool) -> Vec<u8> {
        descriptions::lie(&mut told, n, &self.mischief, self.ends_encryption());
        if is_offer {
            let honest = told.clone();
            for lie in self.mischief.clone() {
                if let Mischief::Tickets(trick) = lie {
                    descriptions::trick(&mut told, trick, &self.legs[n].earlier_offers, &mut self.rng);
                }
            }
            self.legs[n].earlier_offers.push(honest);
        }
        if let Some(fingerprint) = self.legs[n].fingerprint().filter(|_| self.ends_encryption()) {
            told.fingerprint = fingerprint;
        }
        self.legs[n].tells_phone(&told);
        descriptions::unprotected(&told, &self.mischief).unwrap_or_else(|| told.to_bytes())
    }

    fn start(&mut self, n: usize, now: Instant) {
        if self.ends_encryption() {
            let old_handshake = self.does(Mischief::SpeaksOldHandshake);
            self.legs[n].start(old_handshake, &mut self.rng, now);
            self.next_frame.get_or_insert(now + FRAME);
        }
    }

    fn take_forged_answer(&mut self, id: StationId, message: &Message, now: Instant) {
        let Message::Response(response) = message else { return };
        if response.status < 200 {
            return;
        }
        self.answers.push(response.status);
        let ack = self.index(id).and_then(|n| self.legs[n].dialog.ack());
        if let Some(ack) = ack {
            self.queue(Due::Send(Output::Message(id, Box::new(ack))), now);
            self.settle(now);
        }
    }

    fn pass_sound_on(&mut self, now: Instant) {
        let frames: Vec<Option<[f32; FRAME_SAMPLES]>> = self.legs.iter_mut().map(|leg| leg.listen(now)).collect();
        for (n, frame) in frames.into_iter().enumerate() {
            self.legs[1 - n].speak(&frame.unwrap_or([0.0; FRAME_SAMPLES]), now);
        }
        self.next_frame = self.next_frame.map(|at| at + FRAME);
    }

    /// A verification message of person `n`.
    fn handle_proof(&mut self, n: usize, proof: Vec<u8>, now: Instant) {
        self.legs[n].proofs.push(proof.clone());
        if self.does(Mischief::SwallowsProofs) {
            return;
        }
        if self.does(Mischief::ProvesOwnKey) {
            self.legs[n].handle_proof(&proof, now);
        } else if self.does(Mischief::ReflectsProofs) {
            self.send_proof(n, proof, now);
        } else if self.does(Mischief::ReplaysEarlierProofs) {
            for earlier in self.legs[1 - n].earlier_proofs.clone() {
                self.send_proof(n, earlier, now);
            }
        } else {
            self.send_proof(1 - n, proof, now);
        }
    }

    fn send_proof(&mut self, n: usize, proof: Vec<u8>, now: Instant) {
        for (delay, proof) in self.proofs[n].distort(proof) {
            self.queue(Due::Proof(n, proof), now + delay);
        }
    }

    fn queue(&mut self, due: Due, at: Instant) {
        self.queued += 1;
        self.queue.insert((at, self.queued), due);
    }

    /// Lets the legs and what waits for its time talk until there is nothing left to do.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            for n in 0..2 {
                let opened = self.legs[n].opened;
                while let Some(told) = self.legs[n].poll() {
                    quiet = false;
                    match told {
                        Told::Datagram(bytes) => {
                            let output = Output::Datagram(self.people[n], bytes);
                            self.queue(Due::Send(output), now);
                        }
                        Told::Proof(proof) => self.handle_proof(n, proof, now),
                        Told::OwnProof(proof) => self.send_proof(n, proof, now),
                    }
                }
                if self.legs[n].opened > opened && self.does(Mischief::ProvesOwnKey) {
                    quiet = false;
                    let identity = IdentityKey::generate(&mut self.rng);
                    self.legs[n].prove(identity, &self.addresses[1 - n], &mut self.rng, now);
                }
            }
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= now) {
                quiet = false;
                match entry.remove() {
                    Due::Send(output) => self.outputs.push_back(output),
                    Due::Proof(n, proof) => self.legs[n].send_proof(&proof, now),
                }
            }
            if quiet {
                return;
            }
        }
    }
}

fn distortions(mischief: &[Mischief], which: impl Fn(Mischief) -> Option<Distortion>) -> Vec<Distortion> {
    mischief.iter().copied().filter_map(which).collect()
}

/// An INVITE outside of any call.
fn is_new_call(message: &Message) -> bool {
    let Message::Request(request) = message else { return false };
    request.method == Method::Invite && request.headers.to().is_ok_and(|to| to.tag().is_none())
}

/// The header in which the gateway's side of a call with this phone is named.
fn caller_header(message: &Message, from_phone: bool) -> HeaderName {
    match (message, from_phone) {
        (Message::Request(_), true) | (Message::Response(_), false) => HeaderName::To,
        (Message::Request(_), false) | (Message::Response(_), true) => HeaderName::From,
    }
}
