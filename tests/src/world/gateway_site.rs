//! The gateway with its relay, and what its shell would do around them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone_gateway::core::relay::{Relay, RelayAction, RelayCommand, SlotId};
use undertone_gateway::core::{
    AccountName, Accounts, FlowOpened, Gateway, OriginSalt, RelayAddresses, Settings, Verifier,
};
use undertone_sip::digest::ha1;
use undertone_sip::user_agent::{FlowId, Transport};

use super::media_link::Datagram;

/// Domain of all accounts.
pub const DOMAIN: &str = "gw.example";
/// Where the relay is reached (RFC 5737).
pub const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 40_000);
/// Calls at once.
const MAX_CALLS: u32 = 8;
/// Larger than any datagram the relay carries.
const BUFFER_LEN: usize = 2_048;

/// The gateway of a world.
pub(super) struct GatewaySite {
    pub(super) core: Gateway<ChaCha20Rng>,
    pub(super) relay: Relay,
    /// Slots that were opened and not closed.
    pub(super) slots: BTreeSet<SlotId>,
    /// How many were opened in all.
    pub(super) slots_opened: usize,
    /// What the relay reports does not reach the signalling.
    pub(super) relay_reports_lost: bool,
    salt: OriginSalt,
}

impl GatewaySite {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        let rng = |stream: u64| ChaCha20Rng::seed_from_u64(seed.wrapping_mul(7_919).wrapping_add(stream));
        let domain = DOMAIN.parse().expect("a valid domain");
        let settings = Settings { domain, relay: RelayAddresses { v4: Some(RELAY), v6: None }, max_calls: MAX_CALLS };
        let core = Gateway::new(settings, rng(0), rng(1));
        let relay = Relay::new(MAX_CALLS, vec![RELAY], &mut rng(2));
        let salt = OriginSalt::draw(&mut rng(3));
        let mut site = Self { core, relay, slots: BTreeSet::new(), slots_opened: 0, relay_reports_lost: false, salt };
        site.relay.handle_timeout(now);
        site
    }

    pub(super) fn handle_accounts<'a>(&mut self, names: impl Iterator<Item = &'a str>, now: Instant) {
        let verifier = |name: &str| Verifier::new(*ha1(name, DOMAIN, &password(name)).as_bytes());
        let account = |name: &str| AccountName::parse(name).map(|parsed| (parsed, verifier(name)));
        let accounts: Accounts = names.filter_map(|name| account(name).ok()).collect();
        self.core.handle_accounts(accounts, now);
    }

    pub(super) fn handle_accepted(&mut self, flow: FlowId, from: IpAddr, now: Instant) {
        let origin = self.salt.origin(from);
        self.core.handle_flow_opened(flow, FlowOpened { transport: Transport::Tls, origin, device: None }, now);
    }

    pub(super) fn handle_relay_command(&mut self, command: RelayCommand, now: Instant) {
        match &command {
            RelayCommand::Open { slot, .. } => {
                assert!(self.slots.insert(*slot), "a slot is opened once");
                self.slots_opened += 1;
            }
            RelayCommand::Restart { slot, .. } => assert!(self.slots.contains(slot), "only open slots change"),
            RelayCommand::Close { slot } => assert!(self.slots.remove(slot), "an open slot is closed once"),
        }
        self.relay.handle_command(command, now);
        self.relay.handle_timeout(now);
    }

    /// What the relay sends for one datagram.
    pub(super) fn handle_datagram(&mut self, mut datagram: Datagram, now: Instant) -> Vec<Datagram> {
        let from = datagram.from;
        let mut out = Vec::new();
        match self.relay.handle_datagram(from, &mut datagram.bytes, now) {
            RelayAction::Forward { to } => out.push(Datagram { from: RELAY, to, bytes: datagram.bytes }),
            RelayAction::Reply { len } => {
                datagram.bytes.truncate(len);
                out.push(Datagram { from: RELAY, to: from, bytes: datagram.bytes });
                let mut buffer = [0; BUFFER_LEN];
                while let Some((len, to)) = self.relay.take_held(&mut buffer) {
                    out.push(Datagram { from: RELAY, to, bytes: buffer[..len].to_vec() });
                }
            }
            RelayAction::Drop => {}
        }
        out
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.core.poll_timeout(), self.relay.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.core.poll_timeout().is_some_and(|at| now >= at) {
            self.core.handle_timeout(now);
        }
        self.relay.handle_timeout(now);
        while let Some(event) = self.relay.poll_event() {
            if !self.relay_reports_lost {
                self.core.handle_relay_event(event, now);
            }
        }
    }
}

/// The generated password of an account in this world.
pub(super) fn password(account: &str) -> String {
    format!("generated-for-{account}-0123456789abcdef")
}
