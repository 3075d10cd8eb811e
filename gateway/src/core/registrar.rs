//! The registrar: what a REGISTER asks for and what it is told (RFC 3261 §10, RFC 5626 §6).
//!
//! ```text
//! no Contact          tell this phone's own binding
//! Contact: *, 0       take every device of the account back
//! Contact, expires 0  take this device back
//! Contact, expires n  bind this device to the flow for n seconds (60 … 3600; less: 423)
//! ```
//! A phone learns of its own binding only, never of the account's other devices. The Contact it gave is read for
//! the device's identity, told back to it in the same answer, as phones look for it there, and not kept.

use std::time::{Duration, Instant};

use undertone_sip::user_agent::FlowId;
use undertone_sip::wire::{HeaderName, NameAddr, Request, Response};

use super::accounts::AccountName;
use super::answers::{self, Answer};
use super::bindings::{Bindings, Device};
use super::hide;
use super::pseudonym::PseudonymKey;
use super::settings::Settings;

/// Shortest binding in seconds: refreshing faster only costs.
pub const MIN_EXPIRES_S: u32 = 60;

/// Longest binding in seconds, also if more is asked for or nothing is said.
pub const MAX_EXPIRES_S: u32 = 3_600;

/// What phones are told about keep-alives (RFC 5626 §4.4.1): a flow from which nothing came for this many seconds
/// may be closed. Mobile networks forget idle connections after a few minutes.
pub const FLOW_TIMER_S: u32 = 120;

/// What a REGISTER asks for.
#[derive(Debug)]
struct Asked {
    /// `Contact: *`.
    clear: bool,
    remove: Vec<Device>,
    bind: Option<Bind>,
}

#[derive(Debug)]
struct Bind {
    device: Device,
    contact: NameAddr,
    expires_s: u32,
}

/// Carries a REGISTER out for `account`, which has proven itself on `flow`.
pub(crate) fn handle_register(
    request: &Request,
    account: &AccountName,
    flow: FlowId,
    bindings: &mut Bindings,
    key: &PseudonymKey,
    settings: &Settings,
    now: Instant,
) -> Result<Response, Answer> {
    check_addresses(request, account, settings)?;
    let asked = read(request, flow, key)?;
    if asked.clear {
        bindings.unbind_all(account);
    }
    for device in &asked.remove {
        bindings.unbind(account, device);
    }
    let Some(Bind { device, contact, expires_s }) = asked.bind else {
        return Ok(told(account, flow, bindings, settings, now));
    };
    let expires = now + Duration::from_secs(expires_s.into());
    bindings.bind(account, device, flow, expires).map_err(|_| answers::TOO_MANY_DEVICES)?;
    let mut response = bound(&contact, expires_s);
    // Outbound is in use only if the phone said that it speaks it (RFC 5626 §6).
    let speaks_outbound = request.headers.lists(&HeaderName::Supported, "outbound");
    if speaks_outbound && matches!(device, Device::Instance { reg_id, .. } if reg_id > 0) {
        response.headers.push(HeaderName::Require, "outbound");
    }
    Ok(with_constants(response))
}

/// A phone signs in itself and nobody else (RFC 3261 §10.3 step 4, third parties excluded).
pub(super) fn check_addresses(request: &Request, account: &AccountName, settings: &Settings) -> Result<(), Answer> {
    if !hide::is_ours(&request.uri, settings) {
        return Err(answers::OTHER_REGISTRAR);
    }
    for address in [request.headers.to(), request.headers.from()] {
        let address = address.map_err(|_| answers::BAD_CONTACT)?;
        if !hide::names(&address.uri, account, settings) {
            return Err(answers::OTHER_ACCOUNT);
        }
    }
    Ok(())
}

fn read(request: &Request, flow: FlowId, key: &PseudonymKey) -> Result<Asked, Answer> {
    let headers = &request.headers;
    if headers.contact_is_star() {
        return match headers.expires() {
            Some(0) => Ok(Asked { clear: true, remove: Vec::new(), bind: None }),
            Some(_) | None => Err(answers::BAD_CONTACT),
        };
    }
    let mut asked = Asked { clear: false, remove: Vec::new(), bind: None };
    for contact in headers.contacts().map_err(|_| answers::BAD_CONTACT)? {
        let device = device(&contact, flow, key);
        match expires_s(&contact, headers.expires()) {
            0 => asked.remove.push(device),
            1..MIN_EXPIRES_S => {
                return Err(answers::TOO_BRIEF.with(HeaderName::MinExpires, MIN_EXPIRES_S.to_string()));
            }
            _ if asked.bind.is_some() => return Err(answers::ONE_CONTACT),
            longer => asked.bind = Some(Bind { device, contact, expires_s: longer.min(MAX_EXPIRES_S) }),
        }
    }
    Ok(asked)
}

/// The contact's own expiry, else the message's, else the longest (RFC 3261 §10.3 step 7). One that is no number
/// counts as not given (§10.2.1.1).
fn expires_s(contact: &NameAddr, header: Option<u32>) -> u32 {
    let own = contact.params.get("expires").and_then(|text| text.parse().ok());
    own.or(header).unwrap_or(MAX_EXPIRES_S)
}

fn device(contact: &NameAddr, flow: FlowId, key: &PseudonymKey) -> Device {
    let Some(instance) = contact.params.get("+sip.instance") else { return Device::Flow(flow) };
    let reg_id = contact.params.get("reg-id").and_then(|text| text.parse().ok()).unwrap_or(0);
    Device::Instance { instance: key.of(&[instance.as_bytes()]), reg_id }
}

/// The answer to a phone that was bound: its own contact, as it wrote it, with its expiry.
fn bound(contact: &NameAddr, expires_s: u32) -> Response {
    let mut own = NameAddr::new(contact.uri.clone());
    own.params.set("expires", expires_s.to_string());
    let mut response = Response::new(200);
    response.headers.push(HeaderName::Contact, own.to_string());
    response.headers.push(HeaderName::Expires, expires_s.to_string());
    response
}

/// The answer to a phone that asked, or took something back: the binding that leads down its flow, if any.
fn told(account: &AccountName, flow: FlowId, bindings: &Bindings, settings: &Settings, now: Instant) -> Response {
    let left = bindings.on_flow(account, flow).map(|expires| expires.saturating_duration_since(now).as_secs());
    let response = match left.and_then(|seconds| u32::try_from(seconds).ok()) {
        Some(seconds) => bound(&NameAddr::new(hide::account_uri(account, settings)), seconds),
        None => Response::new(200),
    };
    with_constants(response)
}

fn with_constants(mut response: Response) -> Response {
    response.headers.push(HeaderName::Supported, "outbound");
    response.headers.push(HeaderName::FlowTimer, FLOW_TIMER_S.to_string());
    response
}
