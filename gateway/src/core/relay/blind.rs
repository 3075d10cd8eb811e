//! The relay itself: datagrams in, datagrams out, nothing read but the first byte and STUN.
//!
//! ```text
//!   order Open ─▶ two legs without address
//!   authentic check ─▶ the leg is at its source; answered          (again from elsewhere: the leg has moved)
//!   DTLS, SRTP, SRTCP, ZRTP from a leg's address ─▶ to the other leg's address, unchanged
//!   DTLS while the other leg has no address ─▶ held up to a second
//!   order Close ─▶ forgotten and wiped
//! ```
//! Threats. *A stranger* gets not a byte: he has no password (RFC 8445 §7.3). *A listener on the path* who repeats a
//! genuine check from his own address does not move the leg: a transaction id admits one address only. *A caller with a
//! forged source address* cannot take another leg's address while that leg is alive, cannot aim the relay at
//! itself, and cannot make it send more than he sends.

use super::check::Check;
use super::command::{RelayCommand, RelayEvent};
use super::counters::{DropCause, RelayCounters};
use super::credentials::{LegCredentials, UFRAG_LEN};
use super::held::Held;
use super::keyed_table::KeyedTable;
use super::leg::{Leg, LegNumber, SOURCE_LEN, is_host, source_key};
use super::slot::{Side, SlotId};
use super::{ADDRESS_KEPT, MAX_DATAGRAM_LEN, SILENCE, SWEEP_INTERVAL};
use rand_core::RngCore;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// What to do with a datagram that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayAction {
    /// Send it unchanged to this address.
    Forward {
        /// The other leg.
        to: SocketAddr,
    },
    /// The answer stands in its place: send its first octets back to where it came from, then what
    /// [`Relay::take_held`] gives.
    Reply {
        /// Length of the answer.
        len: usize,
    },
    /// Send nothing.
    Drop,
}

/// All calls' media on one relay. Memory is taken at the start and when a call opens, never for a datagram.
pub struct Relay {
    calls: Box<[Option<Box<Call>>]>,
    by_ufrag: KeyedTable<UFRAG_LEN>,
    by_source: KeyedTable<SOURCE_LEN>,
    own_addresses: Vec<SocketAddr>,
    open_calls: usize,
    held: Held,
    /// The leg that has just been admitted: what was held for it may go.
    admitted: Option<LegNumber>,
    swept: Option<Instant>,
    events: VecDeque<RelayEvent>,
    counters: RelayCounters,
}

struct Call {
    slot: SlotId,
    legs: [Leg; 2],
    reported_silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stun,
    Dtls,
    /// SRTP, SRTCP or ZRTP.
    Media,
}

impl Relay {
    /// A relay for `max_calls` calls that is reached at `own_addresses`.
    pub fn new(max_calls: u32, own_addresses: Vec<SocketAddr>, rng: &mut impl RngCore) -> Self {
        let calls = max_calls as usize;
        Self {
            calls: (0..calls).map(|_| None).collect(),
            by_ufrag: KeyedTable::new(calls * 2, rng),
            by_source: KeyedTable::new(calls * 2, rng),
            own_addresses,
            open_calls: 0,
            held: Held::new(),
            admitted: None,
            swept: None,
            events: VecDeque::new(),
            counters: RelayCounters::default(),
        }
    }

    /// Follows an order of the signalling core.
    pub fn handle_command(&mut self, command: RelayCommand, now: Instant) {
        let followed = match command {
            RelayCommand::Open { slot, legs } => self.open(slot, &legs, now),
            RelayCommand::Restart { slot, side, credentials } => self.restart(slot, side, &credentials),
            RelayCommand::Close { slot } => self.close(slot),
        };
        if followed.is_none() {
            self.counters.refused_orders += 1;
        }
    }

    /// Judges one datagram. An answer is written over it.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &mut [u8], now: Instant) -> RelayAction {
        let verdict = match kind(bytes) {
            _ if bytes.len() > MAX_DATAGRAM_LEN => Err(DropCause::TooLong),
            None => Err(DropCause::UnknownKind),
            Some(Kind::Stun) => self.handle_check(from, bytes, now),
            Some(kind @ (Kind::Dtls | Kind::Media)) => self.forward(from, kind, bytes, now),
        };
        match verdict {
            Ok(action) => action,
            Err(cause) => {
                self.counters.drop_one(cause);
                RelayAction::Drop
            }
        }
    }

    /// After a [`RelayAction::Reply`]: the next datagram that was held for the leg, copied into `buffer`.
    pub fn take_held(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let leg = self.admitted?;
        let to = self.leg(leg).and_then(|leg| leg.source);
        let taken = self.held.take(leg, buffer).zip(to);
        match taken {
            Some(_) => self.counters.forwarded += 1,
            None => self.admitted = None,
        }
        taken
    }

    /// Forgets what was held too long and reports calls that fell silent.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..self.held.expire(now) {
            self.counters.drop_one(DropCause::HeldTooLong);
        }
        let due = self.swept.is_none_or(|swept| now >= swept + SWEEP_INTERVAL);
        if !due || self.open_calls == 0 {
            return;
        }
        self.swept = Some(now);
        for call in self.calls.iter_mut().flatten().filter(|call| !call.reported_silent) {
            if call.legs.iter().any(|leg| leg.was_admitted && now >= leg.heard + SILENCE) {
                call.reported_silent = true;
                self.events.push_back(RelayEvent::Silent { slot: call.slot });
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sweep = self.swept.filter(|_| self.open_calls > 0).map(|swept| swept + SWEEP_INTERVAL);
        [sweep, self.held.next_expiry()].into_iter().flatten().min()
    }

    /// What the signalling core should know.
    pub fn poll_event(&mut self) -> Option<RelayEvent> {
        self.events.pop_front()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &RelayCounters {
        &self.counters
    }

    fn handle_check(&mut self, from: SocketAddr, bytes: &mut [u8], now: Instant) -> Result<RelayAction, DropCause> {
        let check = Check::parse(bytes).ok_or(DropCause::MalformedCheck)?;
        let number = self.by_ufrag.get(check.ufrag()).map(LegNumber).ok_or(DropCause::UnknownLeg)?;
        let leg = self.leg(number).ok_or(DropCause::UnknownLeg)?;
        let check = check.authenticate(&leg.key).ok_or(DropCause::UnauthenticCheck)?;
        let moves = leg.source != Some(from);
        if moves && leg.has_seen(check.transaction()) {
            return Err(DropCause::ReplayedCheck);
        }
        let answer = check.answer(from, &leg.key).ok_or(DropCause::MalformedCheck)?;
        let transaction = check.transaction();
        if moves {
            self.admit(number, from, now)?;
        }
        let leg = self.leg_mut(number).ok_or(DropCause::UnknownLeg)?;
        leg.note_seen(transaction);
        leg.heard = now;
        if !leg.may_send(bytes.len(), now) {
            return Err(DropCause::OverRate);
        }
        let room = bytes.get_mut(..answer.as_bytes().len()).ok_or(DropCause::MalformedCheck)?;
        room.copy_from_slice(answer.as_bytes());
        self.admitted = moves.then_some(number);
        self.counters.answered += 1;
        Ok(RelayAction::Reply { len: answer.as_bytes().len() })
    }

    /// The leg is at `from` from now on. An address is one leg's; it passes to another only when that one is closed
    /// or has not been heard of for a while (its NAT may have given the port to a neighbour).
    fn admit(&mut self, number: LegNumber, from: SocketAddr, now: Instant) -> Result<(), DropCause> {
        let key = source_key(from);
        if !is_host(from) || self.own_addresses.iter().any(|own| source_key(*own) == key) {
            return Err(DropCause::AddressTaken);
        }
        if let Some(holder) = self.by_source.get(&key).map(LegNumber).filter(|holder| *holder != number) {
            let alive = self.leg(holder).is_some_and(|leg| now < leg.heard + ADDRESS_KEPT);
            if alive {
                return Err(DropCause::AddressTaken);
            }
            self.leave(holder);
        }
        self.leave(number);
        self.by_source.insert(key, number.0);
        if let Some(leg) = self.leg_mut(number) {
            leg.source = Some(from);
            leg.was_admitted = true;
        }
        Ok(())
    }

    fn leave(&mut self, number: LegNumber) {
        if let Some(source) = self.leg_mut(number).and_then(|leg| leg.source.take()) {
            self.by_source.remove(&source_key(source));
        }
    }

    fn forward(&mut self, from: SocketAddr, kind: Kind, bytes: &[u8], now: Instant) -> Result<RelayAction, DropCause> {
        let number = self.by_source.get(&source_key(from)).map(LegNumber).ok_or(DropCause::Stranger)?;
        let leg = self.leg_mut(number).ok_or(DropCause::Stranger)?;
        leg.heard = now;
        if !leg.may_send(bytes.len(), now) {
            return Err(DropCause::OverRate);
        }
        let other = number.other();
        if let Some(to) = self.leg(other).and_then(|leg| leg.source) {
            self.counters.forwarded += 1;
            return Ok(RelayAction::Forward { to });
        }
        match kind {
            Kind::Dtls if self.held.keep(other, bytes, now) => Ok(RelayAction::Drop),
            Kind::Dtls => Err(DropCause::HeldTooLong),
            Kind::Media | Kind::Stun => Err(DropCause::NoPeer),
        }
    }

    fn open(&mut self, slot: SlotId, credentials: &[LegCredentials; 2], now: Instant) -> Option<()> {
        if self.calls.get(slot.index())?.is_some() {
            // The core has given the number to a new call: whatever was there is over.
            let previous = self.calls[slot.index()].as_ref().map(|call| call.slot)?;
            self.close(previous);
        }
        let [caller, callee] = credentials;
        let numbers = [LegNumber::new(slot.index(), Side::Caller)?, LegNumber::new(slot.index(), Side::Callee)?];
        if !self.by_ufrag.insert(*caller.ufrag_bytes(), numbers[0].0) {
            return None;
        }
        if !self.by_ufrag.insert(*callee.ufrag_bytes(), numbers[1].0) {
            self.by_ufrag.remove(caller.ufrag_bytes());
            return None;
        }
        let legs = [Leg::new(caller, now), Leg::new(callee, now)];
        self.calls[slot.index()] = Some(Box::new(Call { slot, legs, reported_silent: false }));
        self.open_calls += 1;
        self.swept.get_or_insert(now);
        Some(())
    }

    fn restart(&mut self, slot: SlotId, side: Side, credentials: &LegCredentials) -> Option<()> {
        let number = LegNumber::new(slot.index(), side)?;
        self.calls.get(slot.index())?.as_ref().filter(|call| call.slot == slot)?;
        if !self.by_ufrag.insert(*credentials.ufrag_bytes(), number.0) {
            return None;
        }
        let old = self.leg(number)?.ufrag;
        self.by_ufrag.remove(&old);
        self.leg_mut(number)?.restart(credentials);
        Some(())
    }

    fn close(&mut self, slot: SlotId) -> Option<()> {
        let call = self.calls.get_mut(slot.index())?.take_if(|call| call.slot == slot)?;
        self.open_calls -= 1;
        for (leg, side) in call.legs.iter().zip([Side::Caller, Side::Callee]) {
            self.by_ufrag.remove(&leg.ufrag);
            if let Some(source) = leg.source {
                self.by_source.remove(&source_key(source));
            }
            let number = LegNumber::new(slot.index(), side)?;
            self.held.forget(number);
            if self.admitted == Some(number) {
                self.admitted = None;
            }
        }
        if self.open_calls == 0 {
            self.swept = None;
        }
        Some(())
    }

    fn leg(&self, number: LegNumber) -> Option<&Leg> {
        let call = self.calls.get(number.slot_index())?.as_ref()?;
        Some(&call.legs[side_index(number.side())])
    }

    fn leg_mut(&mut self, number: LegNumber) -> Option<&mut Leg> {
        let call = self.calls.get_mut(number.slot_index())?.as_mut()?;
        Some(&mut call.legs[side_index(number.side())])
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

fn side_index(side: Side) -> usize {
    match side {
        Side::Caller => 0,
        Side::Callee => 1,
    }
}

/// RFC 7983 §7.
fn kind(bytes: &[u8]) -> Option<Kind> {
    match bytes.first()? {
        0..=3 => Some(Kind::Stun),
        20..=63 => Some(Kind::Dtls),
        16..=19 | 128..=191 => Some(Kind::Media),
        _ => None,
    }
}
