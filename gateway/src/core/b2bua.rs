//! The back-to-back user agent: two legs that know nothing of each other, joined only here (RFC 7092).
//!
//! ```text
//! caller                       gateway                        device 1   device 2
//!   │ INVITE (sdp A) ───────────▶│ open slots 1, 2                │          │
//!   │                            │ INVITE (own sdp, slot 1) ─────▶│          │
//!   │                            │ INVITE (own sdp, slot 2) ──────┼─────────▶│
//!   │◀─────────────────────── 180│◀─────────────────────────── 180│          │
//!   │                            │◀───────────────────────────────┼─── 200 ──│
//!   │◀──────── 200 (own sdp, slot 2); close slot 1; CANCEL ──────▶│          │
//!   │ BYE ──────────────────────▶│ BYE ───────────────────────────┼─────────▶│ close slot 2
//! ```
//! Nobody rings or answers within [`REFUSAL_AFTER`]: one 480 then, whatever the reason. What a leg is sent is
//! built from nothing by [`hide`]. Transactions, dialogs, session timers and the limit on ringing are the user
//! agent's; a leg that it reports over ends the call, and a call that is over leaves nothing behind here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand_core::RngCore;
use undertone_sip::sdp::Description;
use undertone_sip::user_agent::{FlowId, Invite, SessionId, Transport, UserAgent};
use undertone_sip::wire::Request;

use super::accounts::AccountName;
use super::answers::{self, Answer};
use super::bindings::Bindings;
use super::flows::Flows;
use super::fork::{self, Branch, Fork};
use super::hide::{self, Caller, IceMark, LegSdp, OfferShape};
use super::lease::Lease;
use super::limits::MAX_CALLS_PER_ACCOUNT;
use super::output::Output;
use super::relay::{Side, SlotId, SlotNumbers};
use super::settings::Settings;
use super::totals::{Count, Totals};

/// When a call that nobody rings for is refused. A phone that rings has said so by then, also over a slow
/// network; one that stays silent, refuses, is busy, offline or does not exist looks the same until then.
pub const REFUSAL_AFTER: Duration = Duration::from_secs(3);

/// The refusal comes up to this much earlier or later, so that its moment tells nothing finer.
pub const REFUSAL_JITTER: Duration = Duration::from_millis(500);

/// What a call needs from its surroundings.
pub(crate) struct Surroundings<'a, R: RngCore> {
    pub(crate) agent: &'a mut UserAgent<R>,
    pub(crate) rng: &'a mut R,
    pub(crate) settings: &'a Settings,
    pub(crate) flows: &'a Flows,
    pub(crate) bindings: &'a Bindings,
    pub(crate) totals: &'a mut Totals,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CallId(u64);

#[derive(Debug)]
struct Call {
    caller: SessionId,
    caller_flow: FlowId,
    caller_account: AccountName,
    /// What the caller is told in SDP.
    caller_sdp: LegSdp,
    /// What shapes the answer to the caller's first offer.
    shape: OfferShape,
    callee_account: Option<AccountName>,
    /// When a call that does not ring is refused.
    refuse_at: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Devices are being called.
    Asking { fork: Fork, early_answer: Option<Vec<u8>> },
    /// Nobody will answer; the caller hears of it at `refuse_at`.
    Refusing,
    /// One device took the call.
    Joined { callee: Box<Branch>, changing: Option<Change> },
}

/// A change of the call that one leg asked for and the other has not answered yet.
#[derive(Debug)]
struct Change {
    asker: Side,
    shape: OfferShape,
    /// The asker's ICE side. If it is new, the asker restarts ICE and its leg gets new credentials with the answer.
    ice: Option<IceMark>,
}

/// All calls.
#[derive(Debug)]
pub(crate) struct B2bua {
    calls: BTreeMap<CallId, Call>,
    sessions: BTreeMap<SessionId, (CallId, Side)>,
    by_account: BTreeMap<AccountName, BTreeSet<CallId>>,
    refusals: BTreeSet<(Instant, CallId)>,
    slots: SlotNumbers,
    by_slot: BTreeMap<SlotId, CallId>,
    next: u64,
}

/// An INVITE that may be carried out.
struct Asked {
    caller: Caller,
    callee: Option<AccountName>,
    offer: Description,
}

impl B2bua {
    /// No calls, and this many relay slots for those to come.
    pub(crate) fn new(relay_slots: u32) -> Self {
        Self {
            calls: BTreeMap::new(),
            sessions: BTreeMap::new(),
            by_account: BTreeMap::new(),
            refusals: BTreeSet::new(),
            slots: SlotNumbers::new(relay_slots),
            by_slot: BTreeMap::new(),
            next: 0,
        }
    }

    /// Whether nothing of any call is left.
    pub(crate) fn is_empty(&self) -> bool {
        let indexes_are_empty = self.by_account.is_empty() && self.refusals.is_empty() && self.by_slot.is_empty();
        self.calls.is_empty() && self.sessions.is_empty() && indexes_are_empty && self.slots.in_use() == 0
    }

    /// When [`B2bua::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.refusals.first().map(|(at, _)| *at)
    }

    /// Refuses the calls that nobody has rung for in time.
    pub(crate) fn handle_timeout<R: RngCore>(&mut self, around: &mut Surroundings<'_, R>) {
        while let Some((at, id)) = self.refusals.first().copied()
            && at <= around.now
        {
            self.finish_refusal(id, around);
        }
    }

    /// Somebody on `flow`, signed in as `account`, calls.
    pub(crate) fn handle_invite<R: RngCore>(
        &mut self,
        session: SessionId,
        flow: FlowId,
        account: Option<&AccountName>,
        request: &Request,
        around: &mut Surroundings<'_, R>,
    ) {
        around.totals.add(Count::CallAsked);
        let admitted = account.ok_or(answers::NOT_SIGNED_IN).and_then(|account| {
            let asked = self.admit(account, request, around.settings)?;
            Ok((account, asked))
        });
        match admitted {
            Ok((account, asked)) => self.start(session, flow, account, asked, around),
            Err(Answer { status, reason, .. }) => {
                around.totals.add(Count::CallUnanswered);
                around.agent.reject(session, status, reason, around.now);
            }
        }
    }

    /// A device said that it rings, perhaps with an early answer.
    pub(crate) fn handle_progress<R: RngCore>(
        &mut self,
        session: SessionId,
        status: u16,
        sdp: Option<&[u8]>,
        around: &mut Surroundings<'_, R>,
    ) {
        let Some((id, Side::Callee)) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Asking { fork, early_answer } = &mut call.phase else { return };
        if !matches!(status, 180 | 183) {
            return;
        }
        self.refusals.remove(&(call.refuse_at, id));
        let rings_first = fork.ring();
        let may_answer = fork.may_answer_early() && early_answer.is_none();
        let description = sdp.filter(|_| may_answer).and_then(|sdp| hide::read_answer(sdp).ok());
        if let (Some(description), Some(branch)) = (description, fork.branch(session)) {
            let credentials = branch.lease.credentials(Side::Caller);
            let body = call.caller_sdp.answer(&description, &call.shape, &around.settings.relay, credentials);
            *early_answer = Some(body.clone());
            around.agent.ring(call.caller, 183, Some(body), around.now);
        } else if rings_first {
            around.agent.ring(call.caller, 180, None, around.now);
        }
    }

    /// A device took the call: it gets it, the others stop ringing.
    pub(crate) fn handle_answered<R: RngCore>(
        &mut self,
        session: SessionId,
        sdp: &[u8],
        around: &mut Surroundings<'_, R>,
    ) {
        let Some((id, Side::Callee)) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Asking { fork, early_answer } = &mut call.phase else { return };
        let Some(mut callee) = fork.take(session) else { return };
        let Ok(answer) = hide::read_answer(sdp) else {
            self.drop_branch(callee, true, around);
            return self.refuse_if_over(id, around);
        };
        callee.sdp.agree_on_ice(IceMark::of(&answer));
        // One answer per offer: what came early stands (RFC 3261 §13.2.1).
        let body = early_answer.take().unwrap_or_else(|| {
            let credentials = callee.lease.credentials(Side::Caller);
            call.caller_sdp.answer(&answer, &call.shape, &around.settings.relay, credentials)
        });
        let contact = hide::contact(around.rng, around.settings, transport(call.caller_flow, around.flows));
        let joined = Phase::Joined { callee: Box::new(callee), changing: None };
        let losers = match std::mem::replace(&mut call.phase, joined) {
            Phase::Asking { fork, .. } => fork.into_branches(),
            Phase::Refusing | Phase::Joined { .. } => Vec::new(),
        };
        self.refusals.remove(&(call.refuse_at, id));
        around.totals.add(Count::CallAnswered);
        around.agent.accept(call.caller, contact, body, around.now);
        for loser in losers {
            self.drop_branch(loser, true, around);
        }
    }

    /// A device refused the call.
    pub(crate) fn handle_rejected<R: RngCore>(
        &mut self,
        session: SessionId,
        status: u16,
        around: &mut Surroundings<'_, R>,
    ) {
        let Some((id, Side::Callee)) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Asking { fork, .. } = &mut call.phase else { return };
        let mut gone: Vec<(Branch, bool)> = fork.take(session).map(|branch| (branch, false)).into_iter().collect();
        if fork::refuses_everywhere(status) {
            gone.extend(fork.take_all().into_iter().map(|branch| (branch, true)));
        }
        for (branch, hang_up) in gone {
            self.drop_branch(branch, hang_up, around);
        }
        self.refuse_if_over(id, around);
    }

    /// The gateway stops: nobody is left in a call that nobody carries.
    pub(crate) fn handle_stop<R: RngCore>(&mut self, around: &mut Surroundings<'_, R>) {
        while let Some(id) = self.calls.keys().next().copied() {
            self.end(id, None, around);
        }
    }

    /// A leg is over: hung up, cancelled, timed out, or its flow closed.
    pub(crate) fn handle_ended<R: RngCore>(&mut self, session: SessionId, around: &mut Surroundings<'_, R>) {
        let Some((id, side)) = self.sessions.get(&session).copied() else { return };
        let asking = self.calls.get(&id).is_some_and(|call| matches!(call.phase, Phase::Asking { .. }));
        match side {
            Side::Callee if asking => self.handle_rejected(session, answers::UNAVAILABLE.status, around),
            Side::Caller | Side::Callee => self.end(id, Some(session), around),
        }
    }

    /// The relay heard nothing from either phone of a slot for long: the call is dead on both sides.
    pub(crate) fn handle_silence<R: RngCore>(&mut self, slot: SlotId, around: &mut Surroundings<'_, R>) {
        let Some(id) = self.by_slot.get(&slot).copied() else { return };
        // While a phone rings its user may take his time; the user agent bounds that.
        if self.calls.get(&id).is_some_and(|call| matches!(call.phase, Phase::Joined { .. })) {
            self.end(id, None, around);
        }
    }

    /// A leg wants to change the call: hold, resume, new network.
    pub(crate) fn handle_reoffer<R: RngCore>(
        &mut self,
        session: SessionId,
        sdp: &[u8],
        around: &mut Surroundings<'_, R>,
    ) {
        match self.pass_reoffer(session, sdp, around) {
            Ok(()) => {}
            Err(Answer { status, reason, .. }) => {
                around.agent.refuse_reoffer(session, status, reason, around.now);
            }
        }
    }

    /// The leg that was asked to change the call agreed.
    pub(crate) fn handle_reoffer_answered<R: RngCore>(
        &mut self,
        session: SessionId,
        sdp: &[u8],
        around: &mut Surroundings<'_, R>,
    ) {
        let Some((id, side)) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Joined { callee, changing } = &mut call.phase else { return };
        let Some(Change { asker, shape, ice }) = changing.take_if(|change| change.asker != side) else {
            return;
        };
        // The leg has switched to an answer that cannot be passed on: nothing both sides agree on is left.
        let Ok(answer) = hide::read_answer(sdp) else { return self.end(id, None, around) };
        let (asking, leg) = match asker {
            Side::Caller => (call.caller, &mut call.caller_sdp),
            Side::Callee => (callee.session, &mut callee.sdp),
        };
        if leg.agree_on_ice(ice) {
            around.outputs.push_back(Output::Relay(callee.lease.restart(asker, around.rng)));
        }
        let body = leg.answer(&answer, &shape, &around.settings.relay, callee.lease.credentials(asker));
        around.agent.accept_reoffer(asking, body, around.now);
    }

    /// The leg that was asked to change the call did not agree; it goes on as it was.
    pub(crate) fn handle_reoffer_refused<R: RngCore>(
        &mut self,
        session: SessionId,
        status: u16,
        around: &mut Surroundings<'_, R>,
    ) {
        let Some((id, side)) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Joined { callee, changing } = &mut call.phase else { return };
        let Some(Change { asker, .. }) = changing.take_if(|change| change.asker != side) else { return };
        let asking = match asker {
            Side::Caller => call.caller,
            Side::Callee => callee.session,
        };
        let Answer { status, reason, .. } =
            if status == answers::CHANGE_PENDING.status { answers::CHANGE_PENDING } else { answers::UNUSABLE_ANSWER };
        around.agent.refuse_reoffer(asking, status, reason, around.now);
    }

    /// Checks everything about an INVITE that concerns the caller alone. Nothing here may depend on who is called.
    fn admit(&self, account: &AccountName, request: &Request, settings: &Settings) -> Result<Asked, Answer> {
        let caller = hide::caller(account, request, settings)?;
        if !hide::is_ours(&request.uri, settings) {
            return Err(answers::OTHER_DOMAIN);
        }
        let callee = request.uri.user().and_then(AccountName::from_user_part);
        if callee.as_ref() == Some(account) {
            return Err(answers::YOURSELF);
        }
        if self.occupancy(account) >= MAX_CALLS_PER_ACCOUNT {
            return Err(answers::TOO_MANY_CALLS);
        }
        if self.calls.len() >= settings.max_calls as usize {
            return Err(answers::GATEWAY_FULL);
        }
        let offer = hide::read_offer(&request.body)?;
        Ok(Asked { caller, callee, offer })
    }

    fn start<R: RngCore>(
        &mut self,
        session: SessionId,
        flow: FlowId,
        account: &AccountName,
        asked: Asked,
        around: &mut Surroundings<'_, R>,
    ) {
        let targets = self.targets(&asked, flow, around.bindings);
        let branches: Vec<Branch> =
            targets.into_iter().filter_map(|target| self.call_device(target, &asked, around)).collect();
        let id = CallId(self.next);
        self.next += 1;
        self.sessions.insert(session, (id, Side::Caller));
        self.sessions.extend(branches.iter().map(|branch| (branch.session, (id, Side::Callee))));
        self.by_slot.extend(branches.iter().map(|branch| (branch.lease.slot(), id)));
        for name in [Some(account), asked.callee.as_ref()].into_iter().flatten() {
            self.by_account.entry(name.clone()).or_default().insert(id);
        }
        let refuse_at = around.now + REFUSAL_AFTER - REFUSAL_JITTER + jitter(around.rng);
        self.refusals.insert((refuse_at, id));
        let phase = match branches.is_empty() {
            true => Phase::Refusing,
            false => Phase::Asking { fork: Fork::new(branches), early_answer: None },
        };
        let mut caller_sdp = LegSdp::draw(around.rng);
        caller_sdp.agree_on_ice(IceMark::of(&asked.offer));
        let call = Call {
            caller: session,
            caller_flow: flow,
            caller_account: account.clone(),
            caller_sdp,
            shape: OfferShape::of(&asked.offer),
            callee_account: asked.callee,
            refuse_at,
            phase,
        };
        self.calls.insert(id, call);
    }

    /// The flows to ring on: none if the callee is unknown, offline or busy.
    fn targets(&self, asked: &Asked, caller_flow: FlowId, bindings: &Bindings) -> Vec<FlowId> {
        let Some(callee) = &asked.callee else { return Vec::new() };
        if self.occupancy(callee) >= MAX_CALLS_PER_ACCOUNT {
            return Vec::new();
        }
        let mut flows = bindings.targets(callee);
        flows.retain(|flow| *flow != caller_flow);
        flows
    }

    fn call_device<R: RngCore>(
        &mut self,
        flow: FlowId,
        asked: &Asked,
        around: &mut Surroundings<'_, R>,
    ) -> Option<Branch> {
        let callee = asked.callee.as_ref()?;
        let (lease, open) = Lease::begin(&mut self.slots, around.rng)?;
        around.outputs.push_back(Output::Relay(open));
        let mut sdp = LegSdp::draw(around.rng);
        let settings = around.settings;
        let body = sdp.offer(&asked.offer, &settings.relay, lease.credentials(Side::Callee));
        let invite = Invite {
            request_uri: hide::account_uri(callee, settings),
            from: hide::from(&asked.caller, settings),
            to: hide::to(callee, settings),
            contact: hide::contact(around.rng, settings, transport(flow, around.flows)),
            sdp: body,
            credentials: None,
            extra: Vec::new(),
        };
        let session = around.agent.invite(flow, invite, around.now);
        Some(Branch { session, lease, sdp })
    }

    /// Calls that count against an account: those it placed, and those that ring or talk at it. What merely asks
    /// for it does not count, or strangers could keep somebody busy without ever making his phone ring.
    fn occupancy(&self, account: &AccountName) -> usize {
        let counts = |call: &&Call| {
            let taken = match &call.phase {
                Phase::Asking { fork, .. } => fork.is_ringing(),
                Phase::Refusing => false,
                Phase::Joined { .. } => true,
            };
            call.caller_account == *account || taken
        };
        let ids = self.by_account.get(account).into_iter().flatten();
        ids.filter_map(|id| self.calls.get(id)).filter(counts).count()
    }

    fn pass_reoffer<R: RngCore>(
        &mut self,
        session: SessionId,
        sdp: &[u8],
        around: &mut Surroundings<'_, R>,
    ) -> Result<(), Answer> {
        let (id, side) = self.sessions.get(&session).copied().ok_or(answers::CHANGE_PENDING)?;
        let call = self.calls.get_mut(&id).ok_or(answers::CHANGE_PENDING)?;
        let Phase::Joined { callee, changing } = &mut call.phase else { return Err(answers::CHANGE_PENDING) };
        if changing.is_some() {
            return Err(answers::CHANGE_PENDING);
        }
        let offer = hide::read_offer(sdp)?;
        let (other, other_session) = match side {
            Side::Caller => (&mut callee.sdp, callee.session),
            Side::Callee => (&mut call.caller_sdp, call.caller),
        };
        let body = other.offer(&offer, &around.settings.relay, callee.lease.credentials(side.other()));
        *changing = Some(Change { asker: side, shape: OfferShape::of(&offer), ice: IceMark::of(&offer) });
        around.agent.reoffer(other_session, body, around.now);
        Ok(())
    }

    fn refuse_if_over<R: RngCore>(&mut self, id: CallId, around: &mut Surroundings<'_, R>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Asking { fork, .. } = &call.phase else { return };
        if !fork.is_over() {
            return;
        }
        call.phase = Phase::Refusing;
        self.refusals.insert((call.refuse_at, id));
        self.handle_timeout(around);
    }

    fn finish_refusal<R: RngCore>(&mut self, id: CallId, around: &mut Surroundings<'_, R>) {
        if let Some(call) = self.calls.get(&id) {
            let Answer { status, reason, .. } = answers::UNAVAILABLE;
            let caller = call.caller;
            around.agent.reject(caller, status, reason, around.now);
            self.end(id, Some(caller), around);
        }
    }

    /// Forgets a call and ends its legs, except the one that is `over` already.
    fn end<R: RngCore>(&mut self, id: CallId, over: Option<SessionId>, around: &mut Surroundings<'_, R>) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.refusals.remove(&(call.refuse_at, id));
        self.sessions.remove(&call.caller);
        for name in [Some(&call.caller_account), call.callee_account.as_ref()].into_iter().flatten() {
            if let Some(ids) = self.by_account.get_mut(name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_account.remove(name);
                }
            }
        }
        if over != Some(call.caller) {
            around.agent.hang_up(call.caller, around.now);
        }
        let branches = match call.phase {
            Phase::Joined { callee, .. } => vec![*callee],
            Phase::Asking { fork, .. } => {
                around.totals.add(Count::CallUnanswered);
                fork.into_branches()
            }
            Phase::Refusing => {
                around.totals.add(Count::CallUnanswered);
                Vec::new()
            }
        };
        for branch in branches {
            let hang_up = over != Some(branch.session);
            self.drop_branch(branch, hang_up, around);
        }
    }

    fn drop_branch<R: RngCore>(&mut self, branch: Branch, hang_up: bool, around: &mut Surroundings<'_, R>) {
        self.sessions.remove(&branch.session);
        if hang_up {
            around.agent.hang_up(branch.session, around.now);
        }
        self.by_slot.remove(&branch.lease.slot());
        around.outputs.push_back(Output::Relay(branch.lease.end(&mut self.slots)));
    }
}

fn transport(flow: FlowId, flows: &Flows) -> Transport {
    flows.get(flow).map_or(Transport::Tls, |flow| flow.transport)
}

/// Uniform in ± [`REFUSAL_JITTER`], as what is added to the earliest moment.
fn jitter(rng: &mut impl RngCore) -> Duration {
    let width_us = 2 * REFUSAL_JITTER.as_micros() as u64;
    // 2^64 is so much larger than the width that the remainder's bias is below 2^-43.
    Duration::from_micros(rng.next_u64() % width_us)
}
