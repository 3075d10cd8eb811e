//! Flows: the only roads messages take (RFC 5626 §3.1).
//!
//! A flow is a connection, or a socket together with one peer address, that the shell opened or
//! accepted. A user agent never resolves or connects anything: it sends on the flow it was told to
//! use, and a dialog stays on the flow it began on.

use crate::wire::Uri;

/// Names a flow. The shell draws the numbers and never uses one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// What carries a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TLS over TCP.
    Tls,
    /// TCP without protection: loopback development and direct mode only.
    Tcp,
    /// UDP: direct mode only.
    Udp,
}

impl Transport {
    /// Whether the transport repeats lost messages itself, so that transactions need not.
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Tls | Self::Tcp => true,
            Self::Udp => false,
        }
    }

    /// The name in a `Via` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// How we show ourselves on a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowIdentity {
    /// What carries the flow.
    pub transport: Transport,
    /// `host[:port]` for our `Via`: a gateway's own name, or a random `….invalid` name of a phone.
    pub sent_by: String,
    /// Our `Contact` where a call has not been given one of its own: in provisional answers.
    pub contact: Uri,
}
