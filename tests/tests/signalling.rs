//! Our phones' cores and the gateway's core, wired to each other in virtual time: signalling only, no media.
//!
//! Lines are perfect here; what loss and damage do is tried elsewhere. This shows that both ends mean the same.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use undertone::core::command::Command;
use undertone::core::event::{Event, Side};
use undertone::core::media_command::MediaCommand;
use undertone::core::phone::Phone;
use undertone::core::phone_output::{self, FlowOpened, Target};
use undertone::core::phone_settings::{Account, Mode, Settings};
use undertone_config::Secret;
use undertone_gateway::core::relay::RelayCommand;
use undertone_gateway::core::{self as gateway, AccountName, Accounts, Gateway, OriginSalt, RelayAddresses, Verifier};
use undertone_sip::digest::ha1;
use undertone_sip::user_agent::{FlowId, Transport};
use undertone_sip::wire::{End, Frame, StreamFramer, parse};

const DOMAIN: &str = "gw.example";
const PASSWORD: &str = "0123456789abcdef0123456789abcdef";
const ALICE: usize = 0;
const BOB: usize = 1;

#[test]
fn our_phones_sign_in_and_stay_signed_in() {
    let mut world = World::new();
    for who in [ALICE, BOB] {
        assert!(world.told(who).iter().any(|event| matches!(event, Event::Ready { .. })));
    }
    world.advance(Duration::from_secs(4 * 3_600));
    assert_eq!((world.told(ALICE), world.told(BOB)), (vec![], vec![]));
}

#[test]
fn a_call_between_our_phones_opens_one_relay_slot_and_closes_it() {
    let mut world = World::new();
    world.command(ALICE, Command::Dial { uri: format!("bob@{DOMAIN}") });
    assert!(world.told(BOB).iter().any(|event| matches!(event, Event::Ringing { at: Side::Here, .. })));
    assert!(world.told(ALICE).iter().any(|event| matches!(event, Event::Ringing { at: Side::There, .. })));
    world.command(BOB, Command::Answer);
    for who in [ALICE, BOB] {
        assert!(world.told(who).iter().any(|event| matches!(event, Event::Connecting { .. })));
        assert_eq!(world.ends[who].media_opened, 1, "each phone knows the relay and the other's certificate");
    }
    assert_eq!(world.open_slots, 1);
    world.command(BOB, Command::HangUp);
    for who in [ALICE, BOB] {
        assert!(world.told(who).iter().any(|event| matches!(event, Event::Ended { .. })));
    }
    assert_eq!(world.open_slots, 0);
}

#[test]
fn a_caller_cannot_tell_who_declines_from_who_does_not_exist() {
    let mut endings = Vec::new();
    for callee in ["bob", "nobody"] {
        let mut world = World::new();
        world.told(ALICE);
        world.command(ALICE, Command::Dial { uri: callee.to_owned() });
        if callee == "bob" {
            world.command(BOB, Command::Reject);
        }
        world.advance(Duration::from_secs(4));
        let ended = |event| match event {
            Event::Ended { why, detail, .. } => Some((why, detail)),
            _ => None,
        };
        endings.push(world.told(ALICE).into_iter().find_map(ended).unwrap());
    }
    assert_eq!(endings[0], endings[1]);
}

#[test]
fn a_caller_who_gives_up_stops_the_other_phone_from_ringing() {
    let mut world = World::new();
    world.command(ALICE, Command::Dial { uri: "bob".to_owned() });
    world.command(ALICE, Command::HangUp);
    assert!(world.told(BOB).iter().any(|event| matches!(event, Event::Ended { .. })));
    assert_eq!(world.open_slots, 0);
}

/// One phone and its flows: its own number and the gateway's.
struct PhoneEnd {
    phone: Phone<ChaCha20Rng>,
    flows: Vec<(FlowId, FlowId)>,
    told: Vec<Event>,
    media_opened: usize,
}

struct World {
    now: Instant,
    gateway: Gateway<ChaCha20Rng>,
    ends: Vec<PhoneEnd>,
    salt: OriginSalt,
    next_flow: u64,
    open_slots: i32,
}

impl World {
    /// Alice's and Bob's phones, signed in.
    fn new() -> Self {
        let now = Instant::now();
        let relay = RelayAddresses { v4: "203.0.113.7:40000".parse().ok(), v6: None };
        let settings = gateway::Settings { domain: DOMAIN.parse().unwrap(), relay, max_calls: 10 };
        let mut core = Gateway::new(settings, rng(1), rng(2));
        let names = ["alice", "bob"];
        let verifier = |name| Verifier::new(*ha1(name, DOMAIN, PASSWORD).as_bytes());
        let accounts: Accounts = names.iter().map(|name| (AccountName::parse(name).unwrap(), verifier(name))).collect();
        core.handle_accounts(accounts, now);
        let ends = names.iter().zip([10, 20]).map(|(name, seed)| PhoneEnd {
            phone: Phone::new(account(name, seed), [rng(seed), rng(seed + 1), rng(seed + 2)], now),
            flows: Vec::new(),
            told: Vec::new(),
            media_opened: 0,
        });
        let ends = ends.collect();
        let salt = OriginSalt::draw(&mut rng(3));
        let mut world = Self { now, gateway: core, ends, salt, next_flow: 1, open_slots: 0 };
        world.advance(Duration::from_secs(1));
        world
    }

    fn command(&mut self, who: usize, command: Command) {
        self.ends[who].phone.handle_command(command, self.now);
        self.advance(Duration::from_millis(100));
    }

    /// What the person at this phone was told since the last look.
    fn told(&mut self, who: usize) -> Vec<Event> {
        std::mem::take(&mut self.ends[who].told)
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        self.settle();
        while self.now < end {
            let phones = self.ends.iter().filter_map(|end| end.phone.poll_timeout());
            let next = phones.chain(self.gateway.poll_timeout()).min().unwrap_or(end);
            self.now = next.clamp(self.now, end);
            self.gateway.handle_timeout(self.now);
            for end in &mut self.ends {
                end.phone.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// Hands bytes over until nobody has any.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for who in 0..self.ends.len() {
                while let Some(output) = self.ends[who].phone.poll_output() {
                    quiet = false;
                    self.carry_out_for_phone(who, output);
                }
            }
            while let Some(output) = self.gateway.poll_output() {
                quiet = false;
                self.carry_out_for_gateway(output);
            }
            if quiet {
                return;
            }
        }
    }

    fn carry_out_for_phone(&mut self, who: usize, output: phone_output::Output) {
        match output {
            phone_output::Output::OpenFlow { flow, target } => {
                assert_eq!(target, Target::Gateway);
                let at_gateway = FlowId(self.next_flow);
                self.next_flow += 1;
                self.ends[who].flows.push((flow, at_gateway));
                let origin = self.salt.origin([192, 0, 2, 1].into());
                self.gateway.handle_flow_opened(at_gateway, Transport::Tls, origin, self.now);
                let opened = FlowOpened { transport: Transport::Tls, direct: None };
                self.ends[who].phone.handle_flow_opened(flow, opened, self.now);
            }
            phone_output::Output::CloseFlow { flow } => {
                if let Some(at_gateway) = self.at_gateway(who, flow) {
                    self.ends[who].flows.retain(|(mine, _)| *mine != flow);
                    self.gateway.handle_flow_closed(at_gateway, self.now);
                }
            }
            phone_output::Output::Transmit { flow, bytes } => self.carry_to_gateway(who, flow, &bytes),
            phone_output::Output::Media(command) => {
                self.ends[who].media_opened += usize::from(matches!(command, MediaCommand::Open { .. }));
            }
            phone_output::Output::Keep(change) => panic!("a phone without identity has no contacts: {change:?}"),
            phone_output::Output::Ui(event) => self.ends[who].told.push(event),
        }
    }

    fn carry_to_gateway(&mut self, who: usize, flow: FlowId, bytes: &[u8]) {
        let Some(at_gateway) = self.at_gateway(who, flow) else { return };
        let mut framer = StreamFramer::new(End::Server);
        framer.push(bytes);
        while let Some(frame) = framer.next() {
            match frame.unwrap() {
                Frame::Message(message) => {
                    self.gateway.handle_stream_message(at_gateway, parse(&message), self.now);
                }
                // As the gateway's shell does (RFC 5626 §4.4.1).
                Frame::Ping => self.ends[who].phone.handle_bytes(flow, b"\r\n", self.now),
                Frame::Pong => {}
            }
        }
    }

    fn carry_out_for_gateway(&mut self, output: gateway::Output) {
        match output {
            gateway::Output::Transmit { flow, bytes } => {
                for end in &mut self.ends {
                    if let Some((mine, _)) = end.flows.iter().find(|(_, at_gateway)| *at_gateway == flow) {
                        end.phone.handle_bytes(*mine, &bytes, self.now);
                    }
                }
            }
            gateway::Output::CloseFlow { flow } => panic!("the gateway closed {flow:?} on an honest phone"),
            gateway::Output::Relay(RelayCommand::Open { .. }) => self.open_slots += 1,
            gateway::Output::Relay(RelayCommand::Close { .. }) => self.open_slots -= 1,
            gateway::Output::Relay(RelayCommand::Restart { .. }) => {}
        }
    }

    fn at_gateway(&self, who: usize, flow: FlowId) -> Option<FlowId> {
        let found = self.ends[who].flows.iter().find(|(mine, _)| *mine == flow);
        found.map(|(_, at_gateway)| *at_gateway)
    }
}

fn account(name: &str, seed: u64) -> Settings {
    let account = Account {
        name: name.to_owned(),
        domain: DOMAIN.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        instance: format!("urn:uuid:00000000-0000-4000-8000-{seed:012}"),
    };
    let today = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Settings { mode: Mode::Gateway(account), auto_answer: false, today }
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}
