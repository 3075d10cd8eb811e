//! Flows: the connections phones have opened to the gateway, and what each may do.
//!
//! ```text
//! open ──REGISTER with the right password──▶ signed in (one account, for good) ──last binding gone──▶ open
//! ```

use std::collections::BTreeMap;
use std::time::Instant;

use undertone_sip::user_agent::{FlowId, Transport};

use super::accounts::AccountName;
use super::authentication::Challenges;
use super::limits::{GUESSES_PER_S, MESSAGES_BURST, MESSAGES_PER_S, Origin, TokenBucket};

/// One connection.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) transport: Transport,
    pub(crate) origin: Origin,
    /// Who signed in here; INVITEs are taken from nobody else.
    pub(crate) account: Option<AccountName>,
    pub(crate) challenges: Challenges,
    pub(crate) guesses: TokenBucket,
    pub(crate) messages: TokenBucket,
}

impl Flow {
    fn new(transport: Transport, origin: Origin, now: Instant) -> Self {
        Self {
            transport,
            origin,
            account: None,
            challenges: Challenges::default(),
            guesses: TokenBucket::new(GUESSES_PER_S, GUESSES_PER_S, now),
            messages: TokenBucket::new(MESSAGES_PER_S, MESSAGES_BURST, now),
        }
    }
}

/// All connections. How many there may be is the shell's limit: it accepts them.
#[derive(Debug, Default)]
pub(crate) struct Flows(BTreeMap<FlowId, Flow>);

impl Flows {
    pub(crate) fn open(&mut self, flow: FlowId, transport: Transport, origin: Origin, now: Instant) {
        self.0.insert(flow, Flow::new(transport, origin, now));
    }

    pub(crate) fn close(&mut self, flow: FlowId) -> Option<Flow> {
        self.0.remove(&flow)
    }

    pub(crate) fn get(&self, flow: FlowId) -> Option<&Flow> {
        self.0.get(&flow)
    }

    pub(crate) fn get_mut(&mut self, flow: FlowId) -> Option<&mut Flow> {
        self.0.get_mut(&flow)
    }

    /// Flows signed in to an account for which `gone` is true.
    pub(crate) fn signed_in_where(&self, gone: impl Fn(&AccountName) -> bool) -> Vec<FlowId> {
        let concerned = |flow: &Flow| flow.account.as_ref().is_some_and(&gone);
        self.0.iter().filter(|(_, flow)| concerned(flow)).map(|(id, _)| *id).collect()
    }
}
