//! Who may make this phone ring, and what a phone that is called tells them about itself: nothing.
//!
//! ```text
//!  INVITE ── ticket of a contact ─────────────▶ rings under the contact's name
//!         ── ticket with a link's token ──────▶ rings under the link's name; with a warning if another phone used it
//!         ── ticket, public link is open ─────▶ rings as a stranger
//!         ── strangers may ring ──────────────▶ rings as a stranger
//!         ── anything else ───────────────────▶ silence until the gateway gives up
//! ```
//! This is decided before anything is sent, so that nobody else can tell a phone that is switched on from one that is
//! not: no ringing, no answer and no refusal, not even of a broken description.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::RngCore;
use time::Date;
use undertone_config::AccountAddress;
use undertone_media::dtls;
use undertone_media::verify::ring_ticket::{self, OpenedTicket, RING_TICKET_LEN, RingOffer, Voucher};
use undertone_media::verify::{AddressHash, IdentityPublic, InviteToken, Role};
use undertone_sip::sdp::Description;
use undertone_sip::user_agent::{FlowId, SessionId};
use undertone_sip::wire::{NameAddr, Request, reason_phrase};

use super::address;
use super::call::{Call, RING_TIME, Stage};
use super::contacts::{Contacts, Key};
use super::event::{Event, Side};
use super::line::Line;
use super::negotiate::Local;
use super::parties::{Parties, Standing};
use super::phone::Phone;

/// Callers kept waiting in silence at once: the gateway withdraws each after about three seconds. Beyond that the
/// oldest is refused, which the gateway shows to the caller at the same moment as silence.
pub const MAX_SILENT_CALLS: usize = 8;
/// What a caller is told whose proof was removed on the way; their own phone shows it.
const NO_PROOF: &str = "The proof of who calls is missing";

/// Somebody who may ring.
#[derive(Debug)]
struct Admitted {
    /// How they are shown.
    shown: String,
    parties: Parties,
    /// Whom the link was made for that another phone used before.
    used_link: Option<String>,
}

/// Who calls, as the gateway says.
#[derive(Debug)]
struct From {
    shown: String,
    hidden: bool,
    account: Option<AccountAddress>,
    hash: Option<AddressHash>,
}

/// The ticket of a call was seen before.
#[derive(Debug)]
struct Replayed;

impl<R: RngCore> Phone<R> {
    /// Calls that were met with silence since the phone started. Nobody is told of one of them.
    pub fn silent_calls(&self) -> u64 {
        self.silent_calls
    }

    /// Somebody calls.
    pub(super) fn receive_invite(&mut self, session: SessionId, flow: FlowId, request: &Request, now: Instant) {
        let Some(admitted) = self.admit(request, now) else {
            self.stay_silent(session, now);
            return;
        };
        let from = admitted.shown.clone();
        if self.call.is_some() || self.is_stopping() {
            self.user_agent.reject(session, 486, reason_phrase(486), now);
            self.show(Event::Missed { from });
            return;
        }
        match self.prepare_answer(flow, &request.body, now) {
            Ok((_, terms, _)) if admitted.parties.must_prove && terms.agreed.peer() == dtls::Peer::Foreign => {
                self.user_agent.reject(session, 488, NO_PROOF, now);
                let why = "they are known by a key, and this call came without any proof of it: somebody may have \
                           removed it on the way, so ask them in another way";
                self.show(Event::Refused { from, why: why.into() });
            }
            Ok((certificate, terms, answer)) => {
                let until = now + RING_TIME;
                let stage = Stage::RingingHere { until, certificate, terms, answer };
                self.ring_here(session, flow, admitted, stage, now);
            }
            Err(None) => self.user_agent.reject(session, 480, reason_phrase(480), now),
            Err(Some(refusal)) => {
                self.user_agent.reject(session, refusal.status(), &refusal.to_string(), now);
                self.show(Event::Refused { from, why: refusal.to_string() });
            }
        }
    }

    /// A session that may have been met with silence is over.
    pub(super) fn forget_silent(&mut self, session: SessionId) {
        self.silent.retain(|silent| *silent != session);
    }

    /// The ticket for a call to somebody, or what looks like one; none without a gateway.
    pub(super) fn ring_ticket(&mut self, parties: &Parties, offer: &Local, now: Instant) -> Option<String> {
        if matches!(self.line, Line::Direct(_)) {
            return None;
        }
        let contact = parties.account.as_ref().and_then(|account| self.contacts.at(account));
        let key = contact.filter(|_| self.keeps_identity).and_then(|contact| match &contact.key {
            Key::FromLink(key) | Key::Verified { key, .. } | Key::CheckAnew { before: key } => Some(*key),
            Key::Unknown => None,
        });
        let token = contact.and_then(|contact| contact.token.as_ref()).map(|token| InviteToken::new(*token.expose()));
        let minute = self.clock.minute(now);
        let ticket = key.and_then(|key| {
            ring_ticket::make(&self.identity, &key, token.as_ref(), offer.ring_offer(), minute, &mut self.rng)
        });
        Some(STANDARD.encode(ticket.unwrap_or_else(|| ring_ticket::filler(&mut self.rng))))
    }

    fn ring_here(&mut self, session: SessionId, flow: FlowId, admitted: Admitted, stage: Stage, now: Instant) {
        let call = self.begin(admitted.shown, admitted.parties, flow, now);
        let (id, other) = (call.id, call.other.clone());
        self.call = Some(Call { session: Some(session), stage, ..call });
        self.user_agent.ring(session, 180, None, now);
        self.show(Event::Ringing { call: id, at: Side::Here, other });
        if let Some(name) = admitted.used_link {
            self.show(Event::LinkUsed { call: id, name, by: Side::There });
        }
        if self.auto_answer {
            // The call rings here, so there is something to answer.
            let _ = self.answer(now);
        }
    }

    fn admit(&mut self, request: &Request, now: Instant) -> Option<Admitted> {
        let from = From::of(request.headers.from().ok().as_ref());
        if matches!(self.line, Line::Direct(_)) {
            // Addresses of calls without a gateway prove nothing.
            return Some(Admitted::stranger(From { account: None, hash: None, ..from }));
        }
        if !self.keeps_identity {
            return Some(Admitted::stranger(from));
        }
        let ticket = self.open_ticket(&request.body, now).ok()?;
        decide(&self.contacts, from, ticket, self.clock.day(now))
    }

    fn open_ticket(&mut self, offer: &[u8], now: Instant) -> Result<Option<OpenedTicket>, Replayed> {
        let Ok(offer) = Description::parse(offer) else { return Ok(None) };
        let decoded = offer.ring_ticket.as_deref().and_then(|text| STANDARD.decode(text).ok());
        let Some(ticket) = decoded.and_then(|octets| <[u8; RING_TICKET_LEN]>::try_from(octets).ok()) else {
            return Ok(None);
        };
        let fingerprint = &offer.fingerprint.sha256;
        let ring_offer = RingOffer { fingerprint, tls_id: offer.tls_id.as_deref().unwrap_or_default() };
        let minute = self.clock.minute(now);
        let minutes = [minute, minute.saturating_sub(1), minute.saturating_add(1)];
        let tokens: Vec<_> = self.contacts.links().iter().map(|link| InviteToken::new(*link.token.expose())).collect();
        match ring_ticket::open(&self.identity, &ticket, ring_offer, minutes, &tokens) {
            // What nothing vouches for is worth nothing at once, and must not push out others.
            Some(opened) if opened.voucher == Voucher::Nothing => Ok(None),
            Some(_) if !self.tickets.is_new(&ticket, now) => Err(Replayed),
            opened => Ok(opened),
        }
    }

    fn stay_silent(&mut self, session: SessionId, now: Instant) {
        self.silent_calls += 1;
        self.silent.push_back(session);
        if self.silent.len() > MAX_SILENT_CALLS
            && let Some(oldest) = self.silent.pop_front()
        {
            self.user_agent.reject(oldest, 480, reason_phrase(480), now);
        }
    }
}

impl From {
    fn of(from: Option<&NameAddr>) -> Self {
        let hash = from.and_then(address::caller_hash);
        Self {
            shown: from.map_or_else(address::unknown_caller, address::caller),
            hidden: hash.is_none(),
            account: from.filter(|_| hash.is_some()).and_then(|from| address::account(&from.uri)),
            hash,
        }
    }
}

impl Admitted {
    fn stranger(from: From) -> Self {
        let parties = Parties::stranger(Role::Responder, from.account, from.hash);
        Self { shown: from.shown, parties, used_link: None }
    }
}

/// Who rings, and as whom; `None`: nobody must notice that this phone exists.
fn decide(contacts: &Contacts, from: From, ticket: Option<OpenedTicket>, today: Date) -> Option<Admitted> {
    let vouched = ticket.filter(|ticket| ticket.voucher != Voucher::Nothing);
    let named = from.account.as_ref().and_then(|account| contacts.at(account));
    if let Some(ticket) = vouched
        // One person may have several addresses.
        && let Some(contact) = named
            .filter(|contact| contact.key.pinned() == Some(&ticket.caller))
            .or_else(|| contacts.known_by(&ticket.caller))
    {
        let is_named_so = from.hidden || from.account.as_ref() == Some(&contact.address);
        let parties = Parties::contact(Role::Responder, contact).with_ticket_of(ticket.caller);
        return is_named_so.then(|| Admitted { shown: contact.name.clone(), parties, used_link: None });
    }
    match vouched {
        Some(OpenedTicket { voucher: Voucher::Link(index), caller }) => {
            let link = contacts.links().get(index).filter(|link| !link.is_expired(today));
            if link.is_some() && is_known_by_another_key(contacts, &from, &caller) {
                return Some(stranger(contacts, from, vouched));
            }
            if let Some(link) = link {
                let is_good = link.is_good_for(&caller, today);
                let standing = if is_good { Standing::ByOurLink(link.id) } else { Standing::ByUsedLink(link.id) };
                let used_link = (!is_good).then(|| link.name.clone());
                let shown = if is_good { link.name.clone() } else { format!("somebody with {}'s link", link.name) };
                let parties = Parties { standing, ..Admitted::stranger(from).parties }.with_ticket_of(caller);
                return Some(Admitted { shown, parties, used_link });
            }
        }
        Some(OpenedTicket { voucher: Voucher::Key, caller }) => {
            // Whoever was added by address, or is to be checked anew, has no key here that could vouch for them.
            if let Some(contact) = named.filter(|contact| contact.key.pinned().is_none()) {
                let parties = Parties::contact(Role::Responder, contact).with_ticket_of(caller);
                return Some(Admitted { shown: contact.name.clone(), parties, used_link: None });
            }
            if contacts.has_public_link() && is_known_by_another_key(contacts, &from, &caller) {
                return Some(stranger(contacts, from, vouched));
            }
            if contacts.has_public_link() {
                let stranger = Admitted::stranger(from);
                let shown = format!("{} (by your public link)", stranger.shown);
                let parties = Parties { standing: Standing::ByPublicLink, ..stranger.parties }.with_ticket_of(caller);
                return Some(Admitted { shown, parties, used_link: None });
            }
        }
        Some(OpenedTicket { voucher: Voucher::Nothing, .. }) | None => {}
    }
    contacts.strangers_may_ring().then(|| stranger(contacts, from, vouched))
}

/// Whether the caller comes from the address of a contact whose key is another one: no link makes up for that.
fn is_known_by_another_key(contacts: &Contacts, from: &From, caller: &IdentityPublic) -> bool {
    let contact = from.account.as_ref().and_then(|account| contacts.at(account));
    contact.and_then(|contact| contact.key.pinned()).is_some_and(|key| key != caller)
}

/// Under the address of a contact only the contact's key will do, though nobody vouched for it yet.
fn stranger(contacts: &Contacts, from: From, ticket: Option<OpenedTicket>) -> Admitted {
    let contact = from.account.as_ref().and_then(|account| contacts.at(account));
    let known = contact.map(|contact| Parties::contact(Role::Responder, contact));
    let admitted = Admitted::stranger(from);
    let parties = known.unwrap_or(admitted.parties);
    let parties = match ticket {
        Some(ticket) => parties.with_ticket_of(ticket.caller),
        None => parties,
    };
    Admitted { parties, ..admitted }
}
