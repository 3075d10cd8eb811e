//! Answers the gateway gives by itself: every status and sentence a phone can get from it, in one place.
//!
//! A phone shows these sentences to people, so each says what is wrong and, where something helps, what to do.
//! None depends on another account: whoever is called and whatever he does, the caller sees [`UNAVAILABLE`].

use undertone_sip::wire::{HeaderName, Response};

use super::errand::RedeemRefusal;

/// A final answer: status, sentence and the headers that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) header: Option<(HeaderName, String)>,
}

const fn answer(status: u16, reason: &'static str) -> Answer {
    Answer { status, reason, header: None }
}

/// A refusal in the store's words.
pub(crate) fn refusal(of: RedeemRefusal) -> Answer {
    match of {
        RedeemRefusal::Used => answer(403, "This invite has been used"),
        RedeemRefusal::Expired => answer(403, "This invite has expired"),
        RedeemRefusal::Unknown => answer(403, "This invite is not known here"),
        RedeemRefusal::TooManyDevices => answer(403, "This account has too many devices"),
    }
}

impl Answer {
    pub(crate) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(self.status);
        self.reason.clone_into(&mut response.reason);
        if let Some((name, value)) = self.header {
            response.headers.push(name, value);
        }
        response
    }
}

/// The answer to OPTIONS, the same for everybody and about everybody (RFC 3261 §11).
pub(crate) fn options() -> Response {
    let mut response = Response::new(200);
    response.headers.push(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, REGISTER");
    response.headers.push(HeaderName::Accept, "application/sdp");
    response.headers.push(HeaderName::Supported, "timer, outbound");
    response
}

/// The answer to a MESSAGE that is no device command: as if the method were not known here (RFC 3261 §21.4.6).
pub(crate) fn no_messages() -> Response {
    let mut response = Response::new(405);
    response.headers.push(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE");
    response
}

/// The one answer for unknown, offline, busy, declined and silent (privacy.md §1).
pub(crate) const UNAVAILABLE: Answer = answer(480, "Temporarily Unavailable");

pub(crate) const NOT_SIGNED_IN: Answer = answer(403, "Sign in first: this connection belongs to no account");
pub(crate) const NOT_YOUR_NAME: Answer = answer(403, "You can only call under the name of your own account");
pub(crate) const OTHER_DOMAIN: Answer = answer(404, "This gateway reaches only its own accounts");
pub(crate) const YOURSELF: Answer = answer(403, "An account cannot call itself");
pub(crate) const TOO_MANY_CALLS: Answer = answer(403, "Too many calls at once: end one of yours first");
pub(crate) const GATEWAY_FULL: Answer = answer(503, "The gateway is full: try again in a minute");
pub(crate) const NO_ICE: Answer = answer(488, "The offer has no ICE: switch ICE on in this phone");
pub(crate) const UNUSABLE_ANSWER: Answer = answer(488, "The other phone did not accept this change");
pub(crate) const CHANGE_PENDING: Answer = answer(491, "Request Pending");

pub(crate) const UNAUTHORIZED: Answer = answer(401, "Unauthorized");
pub(crate) const WRONG_PASSWORD: Answer = answer(403, "Wrong account name or password");
pub(crate) const OTHER_ACCOUNT: Answer = answer(403, "You can only sign in as yourself, one account per connection");
pub(crate) const SLOW_DOWN: Answer = answer(503, "Too many attempts: wait a moment");
pub(crate) const WEAK_DIGEST: Answer =
    answer(403, "Only digest SHA-256 with qop=auth is accepted: change it in this phone");
pub(crate) const BAD_DIGEST: Answer = answer(400, "Bad Authorization header");
pub(crate) const BAD_TOKEN: Answer = answer(400, "Bad invite token");
pub(crate) const NONCE_COUNT: Answer = answer(400, "A nonce can be used once: nc must be 00000001");
pub(crate) const OTHER_REGISTRAR: Answer = answer(404, "This gateway signs in only its own accounts");
pub(crate) const BAD_CONTACT: Answer = answer(400, "Bad Contact or Expires");
pub(crate) const ONE_CONTACT: Answer = answer(400, "One Contact per sign-in");
pub(crate) const TOO_MANY_DEVICES: Answer =
    answer(403, "Too many phones are signed in to this account: sign one out first");
pub(crate) const UNKNOWN_DEVICE: Answer = answer(403, "This device is not known for this account");
pub(crate) const STORE_BUSY: Answer = answer(503, "The gateway is busy: wait a moment");
pub(crate) const STORE_FAILED: Answer = answer(503, "The gateway cannot change its accounts now: tell its operator");
pub(crate) const NOT_BY_DEVICE: Answer = answer(403, "Only a phone that joined by a link can manage devices");
pub(crate) const BAD_DEVICE_COMMAND: Answer = answer(400, "Bad device command");
pub(crate) const NO_SUCH_DEVICE: Answer = answer(404, "No such device");
pub(crate) const NO_OPERATOR_KEY: Answer = answer(403, "This gateway has no operator key yet: tell its operator");
pub(crate) const TOO_MANY_INVITES: Answer =
    answer(403, "This account has too many open invites: wait until some expire");
pub(crate) const TOO_BRIEF: Answer = answer(423, "Interval Too Brief");
