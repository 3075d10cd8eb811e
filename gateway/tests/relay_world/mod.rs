//! A relay with one call and the phones, strangers and thieves around it, in virtual time.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::net::SocketAddr;
use std::time::Instant;
use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
    ShortTermCredentials, TransactionId,
};
use undertone_gateway::core::relay::{
    LegCredentials, MAX_DATAGRAM_LEN, Relay, RelayAction, RelayCommand, Side, SlotId, SlotNumbers,
};

pub const ALICE: &str = "192.0.2.1:4000";
pub const BOB: &str = "198.51.100.2:5000";
pub const STRANGER: &str = "203.0.113.66:666";
pub const RELAY: &str = "203.0.113.5:40000";
pub const DTLS: [u8; 3] = [22, 0xfe, 0xfd];
pub const RTP: [u8; 3] = [0x80, 0x60, 1];

pub struct World {
    pub relay: Relay,
    pub numbers: SlotNumbers,
    pub rng: ChaCha20Rng,
    pub slot: SlotId,
    pub caller: LegCredentials,
    pub callee: LegCredentials,
    pub start: Instant,
    pub now: Instant,
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl World {
    pub fn new() -> Self {
        Self::with_calls(4)
    }

    pub fn with_calls(calls: u32) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut numbers = SlotNumbers::new(calls);
        let mut relay = Relay::new(calls, vec![addr(RELAY)], &mut rng);
        let (slot, now) = (numbers.allocate().unwrap(), Instant::now());
        let [caller, callee] = [LegCredentials::draw(&mut rng), LegCredentials::draw(&mut rng)];
        relay.handle_command(RelayCommand::Open { slot, legs: [caller.duplicate(), callee.duplicate()] }, now);
        Self { relay, numbers, rng, slot, caller, callee, start: now, now, sent: vec![] }
    }

    pub fn open(&mut self) -> (SlotId, [LegCredentials; 2]) {
        let slot = self.numbers.allocate().unwrap();
        let legs = [LegCredentials::draw(&mut self.rng), LegCredentials::draw(&mut self.rng)];
        let copy = [legs[0].duplicate(), legs[1].duplicate()];
        self.relay.handle_command(RelayCommand::Open { slot, legs: copy }, self.now);
        (slot, legs)
    }

    pub fn close(&mut self, slot: SlotId) {
        self.relay.handle_command(RelayCommand::Close { slot }, self.now);
        self.numbers.release(slot);
    }

    pub fn admit_both(&mut self) {
        self.admit(Side::Caller, ALICE, 1);
        self.admit(Side::Callee, BOB, 2);
    }

    pub fn admit(&mut self, side: Side, from: &str, transaction: u128) {
        let credentials = match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        };
        let request = check(credentials.ufrag(), credentials.password(), transaction);
        self.send(from, &request);
        assert_eq!(self.taken().len(), 1, "admitted and answered");
    }

    pub fn send(&mut self, from: &str, bytes: &[u8]) {
        let from = addr(from);
        let mut buffer = bytes.to_vec();
        match self.relay.handle_datagram(from, &mut buffer, self.now) {
            RelayAction::Forward { to } => self.sent.push((to, buffer)),
            RelayAction::Reply { len } => self.sent.push((from, buffer[..len].to_vec())),
            RelayAction::Drop => {}
        }
        let mut held = [0; MAX_DATAGRAM_LEN];
        while let Some((len, to)) = self.relay.take_held(&mut held) {
            self.sent.push((to, held[..len].to_vec()));
        }
    }

    pub fn taken(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }
}

pub fn check(ufrag: &str, password: &str, transaction: u128) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    let mut check = Message::builder(kind, TransactionId::from(transaction), MessageWriteVec::new());
    let username = format!("{ufrag}:phonefrag");
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x0006), username.as_bytes())).unwrap();
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &[0x6e, 0, 1, 0xff])).unwrap();
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x802a), &[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    check.add_attribute(&RawAttribute::new(AttributeType::new(0x0025), &[])).unwrap();
    let key = ShortTermCredentials::new(password.to_owned()).make_key();
    check.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
    check.add_fingerprint().unwrap();
    check.finish()
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
