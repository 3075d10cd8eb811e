//! How our messages look: an allow-list of headers in one constant order, whoever speaks.
//!
//! Nothing else leaves: no User-Agent, Server, Date or Subject, and nothing the other leg said.

use super::flow::{FlowIdentity, Transport};
use crate::wire::{CSeq, HeaderName, Headers, Method};

/// Methods we take part in; the same for everybody.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE";
/// Extensions calls make use of (RFC 4028).
pub(crate) const SUPPORTED: &str = "timer";
/// Hops a request may take (RFC 3261 §8.1.1.6).
pub(crate) const MAX_FORWARDS: &str = "70";
/// The only kind of body calls have.
pub(crate) const SDP: &str = "application/sdp";

/// The allow-list, in the order in which headers are written.
const ORDER: [HeaderName; 35] = [
    HeaderName::Via,
    HeaderName::MaxForwards,
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::Route,
    HeaderName::RecordRoute,
    HeaderName::Path,
    HeaderName::ServiceRoute,
    HeaderName::Contact,
    HeaderName::Allow,
    HeaderName::Supported,
    HeaderName::Require,
    HeaderName::ProxyRequire,
    HeaderName::Unsupported,
    HeaderName::SessionExpires,
    HeaderName::MinSe,
    HeaderName::Expires,
    HeaderName::MinExpires,
    HeaderName::FlowTimer,
    HeaderName::UndertoneNextPin,
    HeaderName::RetryAfter,
    HeaderName::Reason,
    HeaderName::Authorization,
    HeaderName::ProxyAuthorization,
    HeaderName::WwwAuthenticate,
    HeaderName::ProxyAuthenticate,
    HeaderName::AuthenticationInfo,
    HeaderName::Accept,
    HeaderName::AcceptEncoding,
    HeaderName::Event,
    HeaderName::SubscriptionState,
    HeaderName::ContentDisposition,
    HeaderName::ContentType,
];

/// Puts headers into the constant order and drops those that are not on the list.
pub(crate) fn arrange(headers: Headers) -> Headers {
    let mut ranked: Vec<(usize, &HeaderName, &str)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let rank = ORDER.iter().position(|allowed| allowed == name)?;
            Some((rank, name, value))
        })
        .collect();
    ranked.sort_by_key(|(rank, _, _)| *rank);
    ranked.into_iter().map(|(_, name, value)| (name.clone(), value.to_owned())).collect()
}

/// Headers of an INVITE that a call's owner may add (`Invite::extra`): what this user agent does not
/// decide itself.
pub(crate) fn may_be_added(name: &HeaderName) -> bool {
    matches!(
        name,
        HeaderName::MaxForwards
            | HeaderName::Route
            | HeaderName::Expires
            | HeaderName::Reason
            | HeaderName::Authorization
            | HeaderName::ProxyAuthorization
    )
}

/// Our `Via` on a flow.
pub(crate) fn via(identity: &FlowIdentity, branch: &str) -> String {
    let transport = identity.transport.as_str();
    let sent_by = &identity.sent_by;
    // Over UDP the answer must come to the port we sent from (RFC 3581); connections bring it anyway.
    let rport = match identity.transport {
        Transport::Udp => ";rport",
        Transport::Tls | Transport::Tcp => "",
    };
    format!("SIP/2.0/{transport} {sent_by};branch={branch}{rport}")
}

/// A `CSeq` value.
pub(crate) fn cseq(number: u32, method: &Method) -> String {
    CSeq { number, method: method.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_leave_in_constant_order_and_only_from_the_list() {
        let headers: Headers = [
            (HeaderName::ContentType, "application/sdp"),
            (HeaderName::UserAgent, "Secret/1.0"),
            (HeaderName::Date, "today"),
            (HeaderName::Other("X-Me".into()), "me"),
            (HeaderName::Via, "first"),
            (HeaderName::From, "f"),
            (HeaderName::Via, "second"),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
        let arranged = arrange(headers);
        let seen: Vec<_> = arranged.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let expected = [("Via", "first"), ("Via", "second"), ("From", "f"), ("Content-Type", "application/sdp")];
        assert_eq!(seen, expected);
    }
}
