//! Opening the gateway's sockets.

use super::error::ServeError;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Octets the system may queue per direction of the relay: 500 calls' media for about 100 ms. The system may give less.
const RELAY_BUFFER_LEN: usize = 4 * 1024 * 1024;

/// Lets the process have as many sockets as the system grants it: the usual 1,024 are fewer than the connections that
/// are allowed, and a stranger could use them up.
pub(super) fn allow_many() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Refused: the limit stays, and connections beyond it wait to be accepted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// A TCP listener, ready for tokio.
pub(super) fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let open = || -> io::Result<TcpListener> {
        let socket = of_one_family(address, Type::STREAM, Protocol::TCP)?;
        // A restarted gateway must not wait for the old connections' time-outs.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|reason| ServeError::listening(what, address, reason))
}

/// A UDP socket of the relay.
pub(super) fn relay(address: SocketAddr) -> Result<UdpSocket, ServeError> {
    let open = || -> io::Result<UdpSocket> {
        let socket = of_one_family(address, Type::DGRAM, Protocol::UDP)?;
        // Less than asked for is no error: the system's limit holds.
        let _ = socket.set_recv_buffer_size(RELAY_BUFFER_LEN);
        let _ = socket.set_send_buffer_size(RELAY_BUFFER_LEN);
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|reason| ServeError::listening("the relay's address", address, reason))
}

/// An IPv6 socket takes IPv6 only: the families have sockets of their own.
fn of_one_family(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
