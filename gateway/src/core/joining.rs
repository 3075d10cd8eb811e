//! Joining by a link, and what a phone that joined may do with its account's devices.
//!
//! ```text
//! flow with a device's key
//!   REGISTER, device listed ────────────▶ 200, no challenge
//!   REGISTER, device not listed ────────▶ 403, the same for accounts that do not exist
//!   REGISTER + token ──▶ store: token good? device added ──▶ 200
//!                                   └──no──▶ 403 with its reason
//! signed in on such a flow
//!   MESSAGE application/undertone-devices: add | list | revoke HASH ──▶ store ──▶ 200 with the answer
//! ```
//! The store decides; what signs in is only ever the snapshot of accounts that it gives back. So a device that was
//! revoked in between is refused, whatever the token would have allowed.

use std::time::Instant;

use rand_core::RngCore;
use undertone_config::LinkToken;
use undertone_sip::user_agent::{FlowId, TransactionId};
use undertone_sip::wire::{HeaderName, Request, Response};
use zeroize::Zeroizing;

use super::accounts::AccountName;
use super::answers::{self, Answer};
use super::day::Day;
use super::device::DeviceHash;
use super::errand::{Errand, ErrandDone, Outcome, Purpose, RedeemRefusal, Waiting};
use super::gateway::Gateway;
use super::hide;
use super::invite_token::{self, TokenHash};
use super::output::Output;
use super::registrar;
use super::totals::Count;

/// The type of device commands and their answers.
const DEVICES_TYPE: &str = "application/undertone-devices";

/// What a REGISTER on a flow with a device's key comes to.
pub(super) enum Claim {
    /// The device is listed.
    Account(AccountName),
    /// The store is to look at a token.
    Token(AccountName, TokenHash),
}

/// A device command.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Add,
    List,
    Revoke(DeviceHash),
}

impl<R: RngCore> Gateway<R> {
    /// An errand is over: its request is answered, and the accounts that it changed are in force.
    pub fn handle_errand_done(&mut self, done: ErrandDone, now: Instant) {
        let ErrandDone { id, outcome, accounts } = done;
        let Some(Waiting { transaction, flow, purpose }) = self.errands.take(id) else { return };
        match purpose {
            Purpose::Join { request, account } => {
                // First: the device that joined is listed there.
                if let Some(accounts) = accounts {
                    self.handle_accounts(accounts, now);
                }
                let response = self.join(flow, &request, account, outcome, now);
                self.agent.respond(transaction, response, now);
            }
            Purpose::Invite { .. } | Purpose::List { .. } | Purpose::Revoke => {
                let response = self.device_answer(purpose, outcome);
                self.agent.respond(transaction, response, now);
                self.settle(now);
                // Last: a device that revokes itself is told before its flow is closed.
                if let Some(accounts) = accounts {
                    self.handle_accounts(accounts, now);
                }
            }
        }
        self.settle(now);
    }

    /// What a REGISTER on a flow with this device's key claims, and whether the device is listed.
    pub(super) fn claim(
        &mut self,
        flow: FlowId,
        device: DeviceHash,
        request: &Request,
        now: Instant,
    ) -> Result<Claim, Answer> {
        let address = request.headers.to().ok().filter(|to| hide::is_ours(&to.uri, &self.settings));
        let account = address.as_ref().and_then(|to| AccountName::from_user_part(to.uri.user()?));
        let Some(token) = invite_token::token_of(request).map_err(|_| answers::BAD_TOKEN)? else {
            let listed = account.filter(|account| self.accounts.lists(account, &device));
            return listed.map(Claim::Account).ok_or(answers::UNKNOWN_DEVICE);
        };
        let account = account.ok_or(answers::refusal(RedeemRefusal::Unknown))?;
        registrar::check_addresses(request, &account, &self.settings)?;
        let state = self.flows.get_mut(flow).ok_or(answers::NOT_SIGNED_IN)?;
        if !self.authenticator.may_guess(state, account.as_str(), now) {
            return Err(answers::SLOW_DOWN.with(HeaderName::RetryAfter, "1".to_owned()));
        }
        Ok(Claim::Token(account, token))
    }

    /// Asks the store for a token. `None`: the answer comes with [`Gateway::handle_errand_done`].
    pub(super) fn redeem(
        &mut self,
        (transaction, flow): (TransactionId, FlowId),
        request: Box<Request>,
        (account, token): (AccountName, TokenHash),
        device: DeviceHash,
    ) -> Option<Response> {
        let errand = Errand::Redeem { account: account.clone(), token, device };
        self.send_errand(transaction, flow, errand, Purpose::Join { request, account })
    }

    /// The answer to a REGISTER whose token the store has looked at.
    fn join(
        &mut self,
        flow: FlowId,
        request: &Request,
        account: AccountName,
        outcome: Outcome,
        now: Instant,
    ) -> Response {
        let allowed = match outcome {
            Outcome::Redeemed(Ok(())) => {
                if let Some(state) = self.flows.get_mut(flow) {
                    self.authenticator.put_back(state, account.as_str());
                }
                let device = self.flows.get(flow).and_then(|state| state.device);
                let listed = device.is_some_and(|device| self.accounts.lists(&account, &device));
                if listed { Ok(account) } else { Err(answers::UNKNOWN_DEVICE) }
            }
            Outcome::Redeemed(Err(refusal)) => Err(answers::refusal(refusal)),
            Outcome::Invited(_) | Outcome::Devices(_) | Outcome::Revoked(_) | Outcome::NotListed | Outcome::Failed => {
                Err(answers::STORE_FAILED)
            }
        };
        self.registered(flow, request, allowed, now)
    }

    /// A MESSAGE: a device command, or nothing this gateway takes.
    pub(super) fn device_command(
        &mut self,
        transaction: TransactionId,
        flow: FlowId,
        request: &Request,
        now: Instant,
    ) -> Option<Response> {
        let is_command = request.headers.content_type().as_deref() == Some(DEVICES_TYPE);
        if !is_command || !hide::is_ours(&request.uri, &self.settings) || request.uri.user().is_some() {
            return Some(answers::no_messages());
        }
        match self.admit(flow, request, now) {
            Ok((errand, purpose)) => self.send_errand(transaction, flow, errand, purpose),
            Err(answer) => Some(answer.into_response()),
        }
    }

    fn admit(&mut self, flow: FlowId, request: &Request, now: Instant) -> Result<(Errand, Purpose), Answer> {
        let state = self.flows.get_mut(flow).ok_or(answers::NOT_BY_DEVICE)?;
        let (Some(own), Some(account)) = (state.device, state.account.clone()) else {
            return Err(answers::NOT_BY_DEVICE);
        };
        if !state.guesses.take(now) {
            return Err(answers::SLOW_DOWN.with(HeaderName::RetryAfter, "1".to_owned()));
        }
        match Command::parse(&request.body).ok_or(answers::BAD_DEVICE_COMMAND)? {
            Command::Add if self.succession.operator.is_none() => Err(answers::NO_OPERATOR_KEY),
            Command::Add => {
                let mut octets = Zeroizing::new([0; 32]);
                self.rng.fill_bytes(octets.as_mut());
                let token = Box::new(LinkToken::new(*octets));
                let errand = Errand::Invite { account, token: TokenHash::of(&token), by: own };
                Ok((errand, Purpose::Invite { token }))
            }
            Command::List => Ok((Errand::ListDevices { account }, Purpose::List { own })),
            Command::Revoke(device) => Ok((Errand::RevokeDevice { account, device, by: own }, Purpose::Revoke)),
        }
    }

    /// The answer to a device command that the store has carried out.
    fn device_answer(&self, purpose: Purpose, outcome: Outcome) -> Response {
        match (purpose, outcome, &self.succession.operator) {
            (Purpose::Invite { token }, Outcome::Invited(Ok(expires_s)), Some(operator)) => {
                let token = invite_token::encode(&token);
                told(&format!("token {}\r\nexpires {expires_s}\r\noperator {}\r\n", *token, operator))
            }
            (Purpose::Invite { .. }, Outcome::Invited(Err(_)), _) => answers::TOO_MANY_INVITES.into_response(),
            (Purpose::List { own }, Outcome::Devices(devices), _) => told(&list(own, &devices)),
            (Purpose::Revoke, Outcome::Revoked(true), _) => told(""),
            (Purpose::Revoke, Outcome::Revoked(false), _) => answers::NO_SUCH_DEVICE.into_response(),
            (Purpose::Invite { .. } | Purpose::Revoke, Outcome::NotListed, _) => answers::NOT_BY_DEVICE.into_response(),
            (
                Purpose::Join { .. } | Purpose::Invite { .. } | Purpose::List { .. } | Purpose::Revoke,
                Outcome::Redeemed(_)
                | Outcome::Invited(_)
                | Outcome::Devices(_)
                | Outcome::Revoked(_)
                | Outcome::NotListed
                | Outcome::Failed,
                _,
            ) => answers::STORE_FAILED.into_response(),
        }
    }

    fn send_errand(
        &mut self,
        transaction: TransactionId,
        flow: FlowId,
        errand: Errand,
        purpose: Purpose,
    ) -> Option<Response> {
        if !self.errands.has_room(flow) {
            self.totals.add(Count::Limited);
            return Some(answers::STORE_BUSY.with(HeaderName::RetryAfter, "1".to_owned()).into_response());
        }
        let id = self.errands.add(Waiting { transaction, flow, purpose });
        self.outputs.push_back(Output::Errand { id, errand });
        None
    }
}

impl Command {
    /// One line; a line break at its end may be missing.
    fn parse(body: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(body).ok()?;
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        match line.split_once(' ') {
            None if line == "add" => Some(Self::Add),
            None if line == "list" => Some(Self::List),
            Some(("revoke", hash)) => DeviceHash::from_hex(hash).map(Self::Revoke),
            None | Some(_) => None,
        }
    }
}

fn list(own: DeviceHash, devices: &[(DeviceHash, Day)]) -> String {
    let which = |device: &DeviceHash| if *device == own { "this" } else { "other" };
    devices.iter().map(|(device, added)| format!("{} {added} {}\r\n", device.to_hex(), which(device))).collect()
}

fn told(body: &str) -> Response {
    let mut response = Response::new(200);
    response.headers.push(HeaderName::ContentType, DEVICES_TYPE);
    response.body = body.as_bytes().to_vec();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_of_three_lines() {
        let hash = DeviceHash::of_key(b"key");
        for (text, command) in [
            ("add".to_owned(), Command::Add),
            ("list\r\n".to_owned(), Command::List),
            (format!("revoke {}\n", hash.to_hex()), Command::Revoke(hash)),
        ] {
            assert_eq!(Command::parse(text.as_bytes()), Some(command));
        }
        for bad in ["", "ADD", "add ", "add\r\nadd", "revoke", "revoke 12", "list this", "\u{e4}"] {
            assert_eq!(Command::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Command::parse(b"\xff"), None);
    }
}
