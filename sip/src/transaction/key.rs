//! How messages find their transaction (RFC 3261 §17.1.3, §17.2.3), always within one flow.
//!
//! A message that comes on another flow belongs to nobody here: an attacker with a connection of its
//! own cannot answer, acknowledge or cancel what runs on somebody else's.

use crate::user_agent::FlowId;
use crate::wire::uri::uri_to_string;
use crate::wire::{HeaderName, Headers, Method, Request, Response};

/// Key of a request we sent: branch and method.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientKey {
    flow: FlowId,
    branch: String,
    method: Method,
}

impl ClientKey {
    pub(crate) fn of_request(flow: FlowId, request: &Request) -> Option<Self> {
        let branch = request.headers.via_top().ok()?.branch()?.to_owned();
        Some(Self { flow, branch, method: request.method.clone() })
    }

    pub(crate) fn of_response(flow: FlowId, response: &Response) -> Option<Self> {
        let branch = response.headers.via_top().ok()?.branch()?.to_owned();
        Some(Self { flow, branch, method: response.headers.cseq().ok()?.method })
    }
}

/// Key of a request we received: branch, sent-by and method, an ACK counting as its INVITE.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerKey {
    flow: FlowId,
    origin: String,
    method: Method,
}

impl ServerKey {
    pub(crate) fn of(flow: FlowId, request: &Request) -> Option<Self> {
        let is_ack = request.method == Method::Ack;
        let method = if is_ack { Method::Invite } else { request.method.clone() };
        Some(Self { flow, origin: origin(request)?, method })
    }

    /// The key of the INVITE that a CANCEL (same branch) is about.
    pub(crate) fn of_cancelled(flow: FlowId, cancel: &Request) -> Option<Self> {
        Some(Self { flow, origin: origin(cancel)?, method: Method::Invite })
    }
}

/// Branch and sent-by; for a branch without the magic cookie the fields RFC 2543 matched by.
fn origin(request: &Request) -> Option<String> {
    let via = request.headers.via_top().ok()?;
    let port = via.port.map(|port| format!(":{port}")).unwrap_or_default();
    let host = via.host.to_ascii_lowercase();
    match via.branch() {
        Some(branch) if via.has_rfc3261_branch() => Some(format!("{branch} {host}{port}")),
        _ => {
            let headers = &request.headers;
            let from_tag = headers.from().ok()?.tag().unwrap_or_default().to_owned();
            Some(format!(
                "{} {} {from_tag} {} {via}",
                uri_to_string(&request.uri),
                headers.call_id().ok()?,
                headers.cseq().ok()?.number,
            ))
        }
    }
}

/// What two copies of one request that came by different paths share (§8.2.2.2). Only a request
/// outside a dialog has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergeKey {
    call_id: String,
    from_tag: String,
    cseq: String,
}

impl MergeKey {
    pub(crate) fn of(headers: &Headers) -> Option<Self> {
        if headers.to().ok()?.tag().is_some() {
            return None;
        }
        Some(Self {
            call_id: headers.call_id().ok()?.to_owned(),
            from_tag: headers.from().ok()?.tag()?.to_owned(),
            cseq: headers.get(&HeaderName::CSeq)?.to_owned(),
        })
    }
}
