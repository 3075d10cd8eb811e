//! What the signalling side of the phone asks of its shell, and what it has to be told about flows.

use std::net::SocketAddr;

use undertone_sip::user_agent::{FlowId, Transport};

use super::contacts::ContactChange;
use super::event::Event;
use super::media_command::MediaCommand;

/// Flows that the shell accepted (direct mode) have numbers from here on; those the phone asked for are below.
pub const FIRST_ACCEPTED_FLOW: u64 = 1 << 63;
/// What the shell has to do. Drain until `None` after every call.
#[derive(Debug)]
pub enum Output {
    /// Open a flow; report it with `Phone::handle_flow_opened` or `handle_flow_closed`.
    OpenFlow {
        /// The flow's name from now on.
        flow: FlowId,
        /// Where to.
        target: Target,
    },
    /// Close the flow, once everything given to it is sent, and forget it; nothing is to be reported.
    CloseFlow {
        /// Which one.
        flow: FlowId,
    },
    /// Send these bytes on the flow, as they are.
    Transmit {
        /// Which one.
        flow: FlowId,
        /// One message or keep-alive.
        bytes: Vec<u8>,
    },
    /// For the media thread.
    Media(MediaCommand),
    /// Keep this change of the contacts, then tell the phone with `Phone::handle_contacts`; if it was refused or could
    /// not be written, with `Phone::handle_not_kept`.
    Keep(ContactChange),
    /// For the person.
    Ui(Event),
}

/// Where a flow leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The gateway of the configuration, over TLS 1.3, checked against its pin; the shell knows its name and resolves it.
    Gateway,
    /// Another phone (direct mode).
    Peer {
        /// TCP or UDP.
        transport: Transport,
        /// Where it listens.
        address: SocketAddr,
    },
}

/// What the shell knows of a flow it has opened or accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowOpened {
    /// What carries it.
    pub transport: Transport,
    /// Direct mode: the addresses of this flow. `None` towards a gateway, so that no message can carry a local address.
    pub direct: Option<DirectAddresses>,
}

/// Both ends of a direct flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectAddresses {
    /// This phone's signalling address as the other phone can reach it: never the unspecified address.
    pub local: SocketAddr,
    /// The other phone's.
    pub remote: SocketAddr,
}
