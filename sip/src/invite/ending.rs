//! How calls end (RFC 3261 §15, §9): CANCEL, refusal or BYE, as the state demands.
//!
//! ```text
//!  hang up: Calling     → Withdrawing (CANCEL as soon as a provisional answer allows it)
//!           Incoming    → 480
//!           Accepted    → BYE after the ACK, or when it never comes
//!           Established → BYE → Closing → answer or timeout → Over
//!  ◀─ BYE:  200, pending INVITEs 487
//! ```

use std::time::Instant;

use rand_core::RngCore;

use super::offer::Exchange;
use super::session::{Phase, Session, SessionAlarm};
use crate::transaction::{Owner, TIMEOUT};
use crate::user_agent::context::{Context, Reply};
use crate::user_agent::{EndCause, TransactionId};
use crate::wire::{HeaderName, Method, Response};

impl Session {
    /// Ends the call whatever its state.
    pub(crate) fn hang_up<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        self.hang_up_for(context, EndCause::LocalHangUp, now);
    }

    pub(super) fn hang_up_for<R: RngCore>(&mut self, context: &mut Context<R>, cause: EndCause, now: Instant) {
        match self.phase {
            Phase::Calling => {
                self.end(context, cause);
                self.phase = Phase::Withdrawing;
                self.disarm(context, SessionAlarm::RingLimit);
                if context.layer.is_proceeding(self.invite) {
                    self.send_cancel(context, now);
                }
            }
            Phase::Incoming => self.refuse(context, Reply::new(480), cause, now),
            Phase::Accepted => {
                self.end(context, cause);
                self.bye_wanted = true;
            }
            Phase::Established => self.close(context, cause, now),
            Phase::Withdrawing | Phase::Closing | Phase::Over => {}
        }
    }

    /// Tells the owner and sends BYE.
    pub(super) fn close<R: RngCore>(&mut self, context: &mut Context<R>, cause: EndCause, now: Instant) {
        self.end(context, cause);
        self.send_bye(context, now);
    }

    pub(super) fn send_bye<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        self.withdraw_from_dialog(context, now);
        self.bye = self.start_bye(context, None, now);
        self.phase = if self.bye.is_some() { Phase::Closing } else { Phase::Over };
    }

    fn start_bye<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        authorization: Option<(HeaderName, String)>,
        now: Instant,
    ) -> Option<TransactionId> {
        let dialog = self.dialog.as_mut()?;
        let cseq = dialog.next_cseq();
        let mut bye = Context::<R>::in_dialog(dialog, Method::Bye, cseq);
        if let Some((name, value)) = authorization {
            bye.headers.push(name, value);
        }
        context.start(self.flow, Owner::Session(self.id), bye, now)
    }

    pub(super) fn handle_bye_response<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        response: Response,
        now: Instant,
    ) {
        if response.status < 200 {
            return;
        }
        let uri = self.dialog.as_ref().map(|dialog| dialog.path().0);
        let authorization = uri.and_then(|uri| self.authorize(context, transaction, &response, (&Method::Bye, &uri)));
        if authorization.is_some() {
            self.bye = self.start_bye(context, authorization, now);
            self.authorized = self.bye;
        } else {
            self.bye = None;
        }
        if self.bye.is_none() {
            self.phase = Phase::Over;
        }
    }

    /// Their BYE (§15.1.2).
    pub(super) fn handle_bye<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        now: Instant,
    ) {
        context.respond(transaction, Reply::new(200), now);
        if self.phase == Phase::Incoming {
            return self.refuse(context, Reply::new(487), EndCause::RemoteBye, now);
        }
        self.end(context, EndCause::RemoteBye);
        if self.bye.is_some() {
            return;
        }
        let offer_is_open = self.exchange.is_open_invite();
        self.withdraw_from_dialog(context, now);
        if offer_is_open {
            // Their 487 to our re-INVITE is on its way and wants its ACK.
            self.phase = Phase::Closing;
            self.arm(context, SessionAlarm::Linger, now + TIMEOUT);
        } else {
            self.phase = Phase::Over;
        }
    }

    /// Nothing of the dialog goes on: no repeats, no refresh, their open offer is answered 487.
    fn withdraw_from_dialog<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        context.outbox.alarms.disarm_session(self.id);
        self.acceptance = None;
        self.next_offer = None;
        self.refresh = None;
        if let Exchange::Theirs { transaction, .. } = self.exchange {
            context.respond(transaction, Reply::new(487), now);
            self.exchange = Exchange::Idle;
        }
    }
}
