//! Keeping a call alive (RFC 4028 §7.4, §10): the refresher sends UPDATE, or re-INVITE to a side that
//! knows no UPDATE, at half the interval; whoever sees no refresh in time hangs up.

use std::time::{Duration, Instant};

use rand_core::RngCore;

use super::session::{Phase, Session, SessionAlarm};
use super::session_timer::{Agreement, Refresher};
use crate::transaction::Owner;
use crate::user_agent::context::Context;
use crate::user_agent::{EndCause, TransactionId, compose};
use crate::wire::{HeaderName, Method, NameAddr, Response};

/// When a refresh that could not go out, or was refused, is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(5);

impl Session {
    /// An interval was agreed or renewed: it starts now.
    pub(super) fn keep_time<R: RngCore>(&self, context: &mut Context<R>, agreement: Agreement, now: Instant) {
        match agreement.refresher {
            Refresher::Us => {
                self.arm(context, SessionAlarm::Refresh, now + agreement.refresh_after());
            }
            Refresher::Them => self.disarm(context, SessionAlarm::Refresh),
        }
        self.arm(context, SessionAlarm::Expire, now + agreement.expire_after());
    }

    pub(super) fn refresh_session<R: RngCore>(&mut self, context: &mut Context<R>, now: Instant) {
        if self.phase != Phase::Established {
            return;
        }
        let is_free = self.exchange.is_idle() && self.acceptance.is_none();
        if !is_free || self.refresh.is_some() {
            self.arm(context, SessionAlarm::Refresh, now + RETRY);
        } else if self.peer_allows_update {
            self.refresh = self.send_update(context, None, now);
        } else {
            self.offer_again(context, now);
        }
    }

    fn send_update<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        authorization: Option<(HeaderName, String)>,
        now: Instant,
    ) -> Option<TransactionId> {
        let dialog = self.dialog.as_mut()?;
        let cseq = dialog.next_cseq();
        let mut update = Context::<R>::in_dialog(dialog, Method::Update, cseq);
        let headers = &mut update.headers;
        headers.push(HeaderName::Contact, NameAddr::new(self.contact.clone()).to_string());
        headers.push(HeaderName::Allow, compose::ALLOW);
        headers.push(HeaderName::Supported, compose::SUPPORTED);
        for (name, value) in self.timer.ask().into_iter().chain(authorization) {
            headers.push(name, value);
        }
        context.start(self.flow, Owner::Session(self.id), update, now)
    }

    pub(super) fn handle_refresh_response<R: RngCore>(
        &mut self,
        context: &mut Context<R>,
        transaction: TransactionId,
        response: Response,
        now: Instant,
    ) {
        if response.status < 200 {
            return;
        }
        self.refresh = None;
        let uri = self.dialog.as_ref().map(|dialog| dialog.path().0);
        let authorization =
            uri.and_then(|uri| self.authorize(context, transaction, &response, (&Method::Update, &uri)));
        if authorization.is_some() {
            self.refresh = self.send_update(context, authorization, now);
            self.authorized = self.refresh;
            return;
        }
        match response.status {
            200..=299 => {
                if let Some(dialog) = &mut self.dialog {
                    dialog.refresh_target(&response.headers);
                }
                let agreement = self.timer.handle_accepted(&response.headers);
                self.keep_time(context, agreement, now);
            }
            408 | 481 => self.close(context, EndCause::Timeout, now),
            422 if self.timer.handle_too_small(&response.headers) => {
                self.refresh = self.send_update(context, None, now);
            }
            status => {
                if matches!(status, 405 | 501) {
                    self.peer_allows_update = false;
                }
                self.arm(context, SessionAlarm::Refresh, now + RETRY);
            }
        }
    }
}
