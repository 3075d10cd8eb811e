//! The UDP socket of a call's media, with a wait that is exact to fractions of a millisecond (`ppoll`; a socket's own
//! receive timeout is rounded to the kernel's tick, 4 ms on many systems).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, ppoll};
use socket2::{Domain, Protocol, Socket, Type};

/// The UDP socket of a call. One socket serves both address families where the system allows it.
#[derive(Debug)]
pub struct MediaSocket {
    socket: UdpSocket,
    both_families: bool,
}

impl MediaSocket {
    /// A socket on a port the system chooses, on every interface, for IPv6 and IPv4.
    ///
    /// # Errors
    /// When the system has no socket left.
    pub fn for_relay() -> io::Result<Self> {
        let dual = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_only_v6(false)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
            Ok(socket)
        };
        let (socket, both_families) = match dual() {
            Ok(socket) => (UdpSocket::from(socket), true),
            Err(_no_ipv6) => (UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?, false),
        };
        socket.set_nonblocking(true)?;
        Ok(Self { socket, both_families })
    }

    /// A socket on one address of this machine, for direct calls.
    ///
    /// # Errors
    /// When the address is not this machine's or no port is free.
    pub fn on_address(address: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, both_families: false })
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// When the system has no handle left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, both_families: self.both_families })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends one datagram.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let to = match to {
            SocketAddr::V4(v4) if self.both_families => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
        // A datagram that cannot be sent is a lost datagram: every layer above expects those.
        let _ = self.socket.send_to(bytes, to);
    }

    /// Takes one datagram that has arrived.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        loop {
            match self.socket.recv_from(buffer) {
                Ok((count, from)) => {
                    return Some((count, SocketAddr::new(from.ip().to_canonical(), from.port())));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                // An ICMP answer to something sent earlier, reported once.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        }
    }

    /// Sleeps until a datagram arrives or the deadline has come.
    pub fn wait_until(&self, deadline: Instant) {
        let wait = deadline.saturating_duration_since(Instant::now());
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short wait.
        let _ = ppoll(&mut sockets, Some(wait.into()), None);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_socket_reaches_both_address_families() {
        let ours = MediaSocket::for_relay().unwrap();
        let port = ours.local_addr().unwrap().port();
        for loopback in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let Ok(theirs) = UdpSocket::bind((loopback, 0)) else { continue };
            let address = theirs.local_addr().unwrap();
            if address.is_ipv6() && !ours.both_families {
                continue;
            }
            ours.send(address, b"ping");
            let mut buffer = [0; 16];
            assert_eq!(theirs.recv_from(&mut buffer).unwrap().0, 4);
            theirs.send_to(b"answer", (loopback, port)).unwrap();
            ours.wait_until(Instant::now() + Duration::from_secs(5));
            assert_eq!(ours.receive(&mut buffer), Some((6, address)));
        }
    }

    #[test]
    fn the_wait_ends_at_its_deadline() {
        let socket = MediaSocket::on_address(Ipv4Addr::LOCALHOST.into()).unwrap();
        let began = Instant::now();
        socket.wait_until(began + Duration::from_millis(30));
        assert!(began.elapsed() >= Duration::from_millis(30));
        assert!(socket.receive(&mut [0; 16]).is_none());
        socket.wait_until(began);
    }
}
