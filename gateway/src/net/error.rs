//! Why the gateway cannot run, each as one sentence that says what to do.

use crate::confinement::ConfinementError;
use crate::store::StoreError;
use std::io;
use std::net::SocketAddr;

/// The gateway cannot start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "{what} {address} is in use by another program; stop it (perhaps a gateway that still runs), or choose another port in gateway.toml"
    )]
    InUse {
        /// What the address is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The port is reserved.
    #[error(
        "{what} {address} may not be used by this user; choose a port above 1023 in gateway.toml, or give the program the right to it"
    )]
    NotPermitted {
        /// What the address is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Not an address of this machine.
    #[error("{what} {address} is not an address of this machine; correct it in gateway.toml")]
    NotOurs {
        /// What the address is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else the system says about an address.
    #[error("{what} {address} cannot be listened on ({reason}); correct it in gateway.toml")]
    Listen {
        /// What the address is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        reason: io::Error,
    },
    /// Clear text is for this machine only.
    #[error(
        "--insecure-loopback-signalling {address} is refused: unencrypted signalling is for development on this machine only; give a loopback address such as 127.0.0.1:5060"
    )]
    InsecureAddress {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The system refused a thread, a timer or a signal.
    #[error("the gateway could not be started ({0}); close some programs and try again")]
    System(#[from] io::Error),
    /// The accounts cannot be read at the start.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process cannot be confined.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The relay's thread ended.
    #[error("the relay has stopped, so no sound can be carried; start the gateway again and report this as a defect")]
    RelayStopped,
    /// The store's thread ended.
    #[error("the account store is no longer looked after; start the gateway again and report this as a defect")]
    StoreStopped,
}

impl ServeError {
    /// Names the cause why an address cannot be listened on.
    pub(super) fn listening(what: &'static str, address: SocketAddr, reason: io::Error) -> Self {
        let kind = reason.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::InUse { what, address }
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::NotPermitted { what, address }
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::NotOurs { what, address }
        } else {
            Self::Listen { what, address, reason }
        }
    }
}
