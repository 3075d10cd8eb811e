//! A lease: one branch's place in the relay, with the credentials of both its legs.
//!
//! Every branch of a call gets a place of its own. Devices that rang and were not answered may have done their
//! ICE checks too; were the place shared, a loser could be admitted where the winner belongs. The caller learns
//! the credentials of exactly one place: that of the branch whose answer he gets.

use rand_core::RngCore;

use super::relay::{LegCredentials, RelayCommand, Side, SlotId, SlotNumbers};

/// A place in the relay, open until [`Lease::end`].
#[derive(Debug)]
pub(crate) struct Lease {
    slot: SlotId,
    caller: LegCredentials,
    callee: LegCredentials,
}

impl Lease {
    /// Takes a place and draws its credentials; `None` when the relay is full.
    pub(crate) fn begin(numbers: &mut SlotNumbers, rng: &mut impl RngCore) -> Option<(Self, RelayCommand)> {
        let slot = numbers.allocate()?;
        let lease = Self { slot, caller: LegCredentials::draw(rng), callee: LegCredentials::draw(rng) };
        let legs = [lease.caller.duplicate(), lease.callee.duplicate()];
        Some((lease, RelayCommand::Open { slot, legs }))
    }

    /// New credentials for one leg, whose phone asked for an ICE restart (RFC 8445 §9).
    pub(crate) fn restart(&mut self, side: Side, rng: &mut impl RngCore) -> RelayCommand {
        let credentials = LegCredentials::draw(rng);
        let copy = credentials.duplicate();
        match side {
            Side::Caller => self.caller = copy,
            Side::Callee => self.callee = copy,
        }
        RelayCommand::Restart { slot: self.slot, side, credentials }
    }

    /// What the leg's phone is told.
    pub(crate) fn credentials(&self, side: Side) -> &LegCredentials {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    pub(crate) fn slot(&self) -> SlotId {
        self.slot
    }

    /// Gives the place back.
    pub(crate) fn end(self, numbers: &mut SlotNumbers) -> RelayCommand {
        numbers.release(self.slot);
        RelayCommand::Close { slot: self.slot }
    }
}
