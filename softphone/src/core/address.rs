//! What people type to call someone, read into where the call goes and how the other side is shown.
//!
//! With a gateway: `bob`, `bob@gw.example`, `sip:bob@gw.example` (a bare name is on one's own gateway). Without one:
//! `sip:bob@192.0.2.7:5060`, `;transport=tcp` for TCP. Nothing is resolved here, so a direct call needs an IP address.

use std::net::{IpAddr, SocketAddr};

use undertone_config::AccountAddress;
use undertone_media::verify::AddressHash;
use undertone_sip::user_agent::Transport;
use undertone_sip::wire::uri::{host_to_string, is_sip, parse_uri, sip_uri, uri_param};
use undertone_sip::wire::{NameAddr, Uri};

use super::event::{NotDone, clean};

/// The port of SIP without TLS (RFC 3261 §19.1.2), for direct calls that name none.
const DIRECT_PORT: u16 = 5060;
/// How a caller is shown who does not say who they are.
const UNKNOWN_CALLER: &str = "an unknown caller";

/// Whom to call through the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Callee {
    /// Request-URI and To.
    pub(super) uri: Uri,
    /// For people.
    pub(super) shown: String,
}

/// Whom to call without a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DirectCallee {
    /// Request-URI and To.
    pub(super) uri: Uri,
    /// For people.
    pub(super) shown: String,
    /// What carries the signalling.
    pub(super) transport: Transport,
    /// Where the other phone listens.
    pub(super) address: SocketAddr,
}

/// Reads an address to be called through the gateway of `domain`.
pub(super) fn callee(typed: &str, domain: &str) -> Result<Callee, NotDone> {
    let text = typed.trim();
    let with_scheme = match text.split_once(':') {
        Some(("sip" | "sips", _)) => text.to_owned(),
        Some(_) | None if text.contains('@') => format!("sip:{text}"),
        Some(_) => return Err(bad("write it like name@gateway")),
        None => format!("sip:{text}@{domain}"),
    };
    let uri = parse(&with_scheme)?;
    let user = user(&uri).ok_or(bad("it has no name before the @"))?;
    let host = host_to_string(&uri.host_with_port.host);
    let shown = clean(&format!("{user}@{host}"));
    Ok(Callee { uri: sip_uri(Some(user), uri.host_with_port.host.clone(), None), shown })
}

/// Reads an address to be called directly.
pub(super) fn direct_callee(typed: &str) -> Result<DirectCallee, NotDone> {
    let text = typed.trim();
    if text.starts_with("sips:") {
        return Err(bad("a direct call has no gateway; write sip:name@address:port"));
    }
    let with_scheme = if text.starts_with("sip:") { text.to_owned() } else { format!("sip:{text}") };
    let uri = parse(&with_scheme)?;
    let host = host_to_string(&uri.host_with_port.host);
    let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else {
        return Err(bad("a direct call needs an IP address, such as sip:bob@192.0.2.7:5060"));
    };
    let transport = match uri_param(&uri, "transport").as_deref() {
        None | Some("udp") => Transport::Udp,
        Some("tcp") => Transport::Tcp,
        Some(_) => return Err(bad("a direct call goes over udp or tcp")),
    };
    let port = uri.host_with_port.port.as_ref().map_or(DIRECT_PORT, |port| *port.value());
    let address = SocketAddr::new(ip, port);
    if !super::ice::is_sendable(address) {
        return Err(bad("nobody can listen at this address and port"));
    }
    Ok(DirectCallee { shown: shown(&uri), uri, transport, address })
}

impl DirectCallee {
    /// Nobody, before it is known whom a call goes to.
    pub(super) fn nobody() -> Self {
        Self { uri: Uri::default(), shown: String::new(), transport: Transport::Udp, address: ([0, 0, 0, 0], 0).into() }
    }
}

/// How a caller is shown who does not say who they are.
pub(super) fn unknown_caller() -> String {
    UNKNOWN_CALLER.to_owned()
}

/// A caller as shown to people; a hidden or nameless one as unknown.
pub(super) fn caller(from: &NameAddr) -> String {
    match shown(&from.uri) {
        shown if shown.is_empty() || shown.starts_with("anonymous@") => UNKNOWN_CALLER.to_owned(),
        shown => shown,
    }
}

/// `user@domain` as the verification takes it.
pub(super) fn hash(uri: &Uri) -> AddressHash {
    AddressHash::of(&format!("{}@{}", user(uri).unwrap_or_default(), host_to_string(&uri.host_with_port.host)))
}

/// The address a caller shows; `None` for a hidden one.
pub(super) fn caller_hash(from: &NameAddr) -> Option<AddressHash> {
    (caller(from) != UNKNOWN_CALLER).then(|| hash(&from.uri))
}

/// `sip:user@ip:port` of this phone on a direct flow; without the user if that cannot stand in an address.
pub(super) fn own_direct_uri(user: &str, local: SocketAddr, transport: Transport) -> Uri {
    let suffix = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
    let named = parse_uri(&format!("sip:{user}@{local}{suffix}"));
    named.or_else(|_| parse_uri(&format!("sip:{local}{suffix}"))).unwrap_or_default()
}

/// `sip:user@domain`; without the user if that cannot stand in an address. The names come from checked settings.
pub(super) fn account_uri(user: &str, domain: &str) -> Uri {
    let named = parse_uri(&format!("sip:{user}@{domain}"));
    named.or_else(|_| parse_uri(&format!("sip:{domain}"))).unwrap_or_default()
}

/// A caller who is not named (RFC 3323 §4.1.1.3).
pub(super) fn anonymous_uri() -> Uri {
    parse_uri("sip:anonymous@anonymous.invalid").unwrap_or_default()
}

/// The account behind an address; `None` if no gateway of ours could have given it.
pub(super) fn account(uri: &Uri) -> Option<AccountAddress> {
    format!("{}@{}", user(uri)?, host_to_string(&uri.host_with_port.host)).parse().ok()
}

/// `sip:domain`.
pub(super) fn domain_uri(domain: &str) -> Uri {
    parse_uri(&format!("sip:{domain}")).unwrap_or_default()
}

fn shown(uri: &Uri) -> String {
    let host = host_to_string(&uri.host_with_port.host);
    let port = uri.host_with_port.port.as_ref().map(|port| *port.value());
    match (user(uri), port) {
        (None, _) => String::new(),
        (Some(user), Some(port)) => clean(&format!("{user}@{host}:{port}")),
        (Some(user), None) => clean(&format!("{user}@{host}")),
    }
}

fn user(uri: &Uri) -> Option<&str> {
    uri.auth.as_ref().map(|auth| auth.user.as_str()).filter(|user| !user.is_empty())
}

fn parse(text: &str) -> Result<Uri, NotDone> {
    match parse_uri(text) {
        Ok(uri) if is_sip(&uri) => Ok(uri),
        Ok(_) | Err(_) => Err(bad("write it like name@gateway")),
    }
}

fn bad(hint: &'static str) -> NotDone {
    NotDone::BadAddress { hint }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use undertone_sip::wire::uri::uri_to_string;

    use super::*;

    #[test]
    fn a_bare_name_is_on_ones_own_gateway_and_a_full_one_where_it_says() {
        for (typed, uri, shown) in [
            ("bob", "sip:bob@gw.example", "bob@gw.example"),
            (" bob@other.example ", "sip:bob@other.example", "bob@other.example"),
            ("sip:bob@gw.example", "sip:bob@gw.example", "bob@gw.example"),
            ("sips:bob@gw.example:5061;transport=tls", "sip:bob@gw.example", "bob@gw.example"),
        ] {
            let callee = callee(typed, "gw.example").unwrap();
            assert_eq!(uri_to_string(&callee.uri), uri, "{typed}");
            assert_eq!(callee.shown, shown, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_a_hint() {
        for typed in ["", "@gw.example", "a b", "tel:+491234", "bob@", "bob@gw example", "bob\r\nX: y@gw.example"] {
            assert!(matches!(callee(typed, "gw.example"), Err(NotDone::BadAddress { .. })), "{typed:?}");
        }
        for typed in
            ["bob", "sip:bob@gw.example", "sips:bob@192.0.2.7", "sip:bob@0.0.0.0", "sip:b@192.0.2.7;transport=tls"]
        {
            assert!(matches!(direct_callee(typed), Err(NotDone::BadAddress { .. })), "{typed:?}");
        }
    }

    #[test]
    fn a_direct_address_names_transport_and_port() {
        for (typed, transport, address) in [
            ("sip:bob@192.0.2.7", Transport::Udp, "192.0.2.7:5060"),
            ("bob@192.0.2.7:5070", Transport::Udp, "192.0.2.7:5070"),
            ("sip:bob@[2001:db8::7]:5070;transport=tcp", Transport::Tcp, "[2001:db8::7]:5070"),
            ("sip:192.0.2.7:5070", Transport::Udp, "192.0.2.7:5070"),
        ] {
            let callee = direct_callee(typed).unwrap();
            assert_eq!((callee.transport, callee.address), (transport, address.parse().unwrap()), "{typed}");
        }
    }

    #[test]
    fn a_caller_who_hides_is_shown_as_unknown() {
        for (from, shown) in [
            ("<sip:alice@gw.example>;tag=1", "alice@gw.example"),
            ("\"Your bank\" <sip:alice@gw.example>", "alice@gw.example"),
            ("<sip:anonymous@anonymous.invalid>", UNKNOWN_CALLER),
            ("<sip:gw.example>", UNKNOWN_CALLER),
        ] {
            assert_eq!(caller(&NameAddr::parse(from).unwrap()), shown);
        }
    }

    #[test]
    fn own_addresses_survive_names_that_cannot_stand_in_one() {
        let local: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(uri_to_string(&own_direct_uri("alice", local, Transport::Udp)), "sip:alice@192.0.2.1:5060");
        assert_eq!(uri_to_string(&own_direct_uri("a\r\nb", local, Transport::Tcp)), "sip:192.0.2.1:5060;transport=tcp");
        assert_eq!(uri_to_string(&account_uri("alice", "gw.example")), "sip:alice@gw.example");
    }
}
