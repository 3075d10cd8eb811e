//! Errands: what only the account store can do, and the requests that wait for it.
//!
//! ```text
//! request ─▶ Output::Errand ─▶ shell: one transaction in the store ─▶ handle_errand_done ─▶ answer
//! ```
//! At most [`MAX_WAITING_ERRANDS`] wait, one per flow: beyond, a request is told to come again.

use std::collections::BTreeMap;

use undertone_config::LinkToken;
use undertone_sip::user_agent::{FlowId, TransactionId};
use undertone_sip::wire::Request;

use super::accounts::{AccountName, Accounts};
use super::day::Day;
use super::device::DeviceHash;
use super::invite_token::TokenHash;

/// Requests that may wait for the store at once. A change takes some 10 ms of disk; what waits longer than a phone
/// does is of no use to anybody.
pub const MAX_WAITING_ERRANDS: usize = 64;

/// Names one errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrandId(u64);

/// What the store is to do.
#[derive(Debug)]
pub enum Errand {
    /// Spend an invite's token for a device and add the device to the account.
    Redeem {
        /// The account the phone named.
        account: AccountName,
        /// What it showed.
        token: TokenHash,
        /// Who showed it.
        device: DeviceHash,
    },
    /// Keep a new invite to the account for one of its own devices to pass on.
    Invite {
        /// The account.
        account: AccountName,
        /// The invite's token.
        token: TokenHash,
        /// Who asks; only if it is listed by then.
        by: DeviceHash,
    },
    /// Say which devices the account has.
    ListDevices {
        /// The account.
        account: AccountName,
    },
    /// Take a device's access away.
    RevokeDevice {
        /// The account.
        account: AccountName,
        /// The device.
        device: DeviceHash,
        /// Who asks; only if it is listed by then.
        by: DeviceHash,
    },
}

/// What came of an errand.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`Errand::Redeem`].
    Redeemed(Result<(), RedeemRefusal>),
    /// Of [`Errand::Invite`]: until when the token is good, in seconds since 1970.
    Invited(Result<u64, TooManyInvites>),
    /// Of [`Errand::ListDevices`]: each with the day it was added.
    Devices(Vec<(DeviceHash, Day)>),
    /// Of [`Errand::RevokeDevice`]: whether there was one.
    Revoked(bool),
    /// Of a device that is not listed any more; nothing has changed.
    NotListed,
    /// The store could not be used.
    Failed,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedeemRefusal {
    /// Another device was first.
    Used,
    /// Its days are over.
    Expired,
    /// There is no such invite to this account.
    Unknown,
    /// The account's list is full.
    TooManyDevices,
}

/// The account has as many open invites as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyInvites;

/// The device that asks is not one of the account's (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotListed;

/// An errand that is over.
#[derive(Debug)]
pub struct ErrandDone {
    /// Which.
    pub id: ErrandId,
    /// What came of it.
    pub outcome: Outcome,
    /// All accounts right after it, if it changed any.
    pub accounts: Option<Accounts>,
}

/// A request that waits for the store.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) transaction: TransactionId,
    pub(crate) flow: FlowId,
    pub(crate) purpose: Purpose,
}

/// What its answer depends on.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A REGISTER with a token, to be carried out as soon as the device is known.
    Join { request: Box<Request>, account: AccountName },
    /// The token is told to whom asked for it. In a box, which is wiped: a map's node keeps what was moved out of it.
    Invite { token: Box<LinkToken> },
    /// `own` is marked in the list.
    List { own: DeviceHash },
    /// Nothing more.
    Revoke,
}

/// All requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    waiting: BTreeMap<ErrandId, Waiting>,
    next: u64,
}

impl Errands {
    /// Whether one more may wait on this flow.
    pub(crate) fn has_room(&self, flow: FlowId) -> bool {
        self.waiting.len() < MAX_WAITING_ERRANDS && self.waiting.values().all(|waiting| waiting.flow != flow)
    }

    /// Lets a request wait.
    pub(crate) fn add(&mut self, waiting: Waiting) -> ErrandId {
        let id = ErrandId(self.next);
        self.next += 1;
        self.waiting.insert(id, waiting);
        id
    }

    /// The request that waited.
    pub(crate) fn take(&mut self, id: ErrandId) -> Option<Waiting> {
        self.waiting.remove(&id)
    }
}
