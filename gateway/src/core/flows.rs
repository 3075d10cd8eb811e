//! Flows: the connections phones have opened to the gateway, and what each may do.
//!
//! ```text
//! open ──REGISTER with a proof of the account──▶ signed in (one account) ◀──proof──┐
//!   └──60 s──▶ closed                                └──last binding gone──▶ signed out, may carry calls to their end
//! ```
//! A flow belongs to the first account that signed in on it until it closes: who loses the account, or the device its
//! place in it, loses the flow and the calls on it, whether it was signed in at the moment or not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use undertone_sip::user_agent::{FlowId, Transport};

use super::accounts::AccountName;
use super::authentication::Challenges;
use super::device::DeviceHash;
use super::limits::{GUESSES_PER_S, MAX_STRANGERS_INVITES, MESSAGES_BURST, MESSAGES_PER_S, Origin, TokenBucket};

/// How long a connection may stay without anybody having signed in: many times what a phone needs, short enough
/// that strangers cannot fill the gateway with idle connections.
pub const SIGN_IN_WITHIN: Duration = Duration::from_secs(60);

/// A connection, as its shell sees it.
#[derive(Debug, Clone, Copy)]
pub struct FlowOpened {
    /// TLS, or clear text on this machine.
    pub transport: Transport,
    /// The network it comes from.
    pub origin: Origin,
    /// The key its TLS client certificate proved, if it showed one.
    pub device: Option<DeviceHash>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) transport: Transport,
    pub(crate) origin: Origin,
    /// Signs in by its key alone: no password is taken on such a flow.
    pub(crate) device: Option<DeviceHash>,
    /// Who signed in here; INVITEs are taken from nobody else.
    pub(crate) account: Option<AccountName>,
    /// Who signed in here first, and the only one who may again.
    pub(crate) owner: Option<AccountName>,
    pub(crate) challenges: Challenges,
    pub(crate) guesses: TokenBucket,
    messages: TokenBucket,
    /// INVITEs that came while nobody was signed in here.
    invites_unsigned: u8,
}

impl Flow {
    fn new(opened: FlowOpened, now: Instant) -> Self {
        let FlowOpened { transport, origin, device } = opened;
        Self {
            transport,
            origin,
            device,
            account: None,
            owner: None,
            challenges: Challenges::default(),
            guesses: TokenBucket::new(GUESSES_PER_S, GUESSES_PER_S, now),
            messages: TokenBucket::new(MESSAGES_PER_S, MESSAGES_BURST, now),
            invites_unsigned: 0,
        }
    }

    /// Whether this flow may send one more message of this kind now; if not, it is to be closed.
    pub(crate) fn may_send(&mut self, is_invite: bool, now: Instant) -> bool {
        if is_invite && self.account.is_none() {
            self.invites_unsigned = self.invites_unsigned.saturating_add(1);
        }
        self.invites_unsigned <= MAX_STRANGERS_INVITES && self.messages.take(now)
    }
}

/// All connections. How many there may be is the shell's limit: it accepts them.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: BTreeMap<FlowId, Flow>,
    /// Until when somebody must have signed in, for the flows on which nobody ever has.
    strangers: BTreeMap<FlowId, Instant>,
    deadlines: BTreeSet<(Instant, FlowId)>,
}

impl Flows {
    pub(crate) fn open(&mut self, flow: FlowId, opened: FlowOpened, now: Instant) {
        self.flows.insert(flow, Flow::new(opened, now));
        self.strangers.insert(flow, now + SIGN_IN_WITHIN);
        self.deadlines.insert((now + SIGN_IN_WITHIN, flow));
    }

    pub(crate) fn close(&mut self, flow: FlowId) -> Option<Flow> {
        self.no_longer_a_stranger(flow);
        self.flows.remove(&flow)
    }

    pub(crate) fn get(&self, flow: FlowId) -> Option<&Flow> {
        self.flows.get(&flow)
    }

    pub(crate) fn get_mut(&mut self, flow: FlowId) -> Option<&mut Flow> {
        self.flows.get_mut(&flow)
    }

    /// The flow belongs to this account. True if it belonged to none.
    pub(crate) fn sign_in(&mut self, flow: FlowId, account: AccountName) -> bool {
        self.no_longer_a_stranger(flow);
        let Some(state) = self.flows.get_mut(&flow) else { return false };
        state.owner.get_or_insert_with(|| account.clone());
        state.account.replace(account).is_none()
    }

    /// Nobody is signed in on the flow; it stays open for the calls it may carry.
    pub(crate) fn sign_out(&mut self, flow: FlowId) {
        if let Some(state) = self.flows.get_mut(&flow) {
            state.account = None;
        }
    }

    /// Flows that belong to an account, by a device's key or else by password, for which `gone` is true.
    pub(crate) fn owned_where(&self, gone: impl Fn(&AccountName, Option<&DeviceHash>) -> bool) -> Vec<FlowId> {
        let concerned = |flow: &Flow| flow.owner.as_ref().is_some_and(|account| gone(account, flow.device.as_ref()));
        self.flows.iter().filter(|(_, flow)| concerned(flow)).map(|(id, _)| *id).collect()
    }

    /// When the next stranger's time is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next flow on which nobody signed in within [`SIGN_IN_WITHIN`].
    pub(crate) fn overdue(&self, now: Instant) -> Option<FlowId> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, flow)| *flow)
    }

    fn no_longer_a_stranger(&mut self, flow: FlowId) {
        if let Some(at) = self.strangers.remove(&flow) {
            self.deadlines.remove(&(at, flow));
        }
    }
}
