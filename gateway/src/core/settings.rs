//! What the signalling core is told once.

use std::net::SocketAddr;

use undertone_config::Domain;

/// What phones are told of the relay: its public address per family. Phones send media nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddresses {
    /// For IPv4, if the relay serves it.
    pub v4: Option<SocketAddr>,
    /// For IPv6, if the relay serves it.
    pub v6: Option<SocketAddr>,
}

/// What the gateway is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain of all accounts, and the realm of their passwords.
    pub domain: Domain,
    /// Where the relay is reached.
    pub relay: RelayAddresses,
    /// Calls at the same time, and slots of the relay. A call that rings on several devices takes a slot for each.
    pub max_calls: u32,
}
