//! SIP without a gateway, for measurements and for tests with other makers' phones: one address of this machine,
//! UDP and TCP, and one UDP port for media.
//!
//! A flow is one other phone's address (UDP) or one connection (TCP).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use undertone_sip::user_agent::FlowId;

use super::media_socket::MediaSocket;

/// Other phones remembered at a time: a stranger may make up addresses, the one longest silent is forgotten.
pub const MAX_PEERS: usize = 64;
/// Longest SIP datagram: what UDP can carry.
const DATAGRAM_LEN: usize = 65_535;

/// How long to wait when the system has no handle left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What arrives from other phones.
#[derive(Debug)]
pub enum DirectEvent {
    /// A datagram.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A connection.
    Accepted {
        /// From where.
        from: SocketAddr,
        /// The connection.
        stream: TcpStream,
    },
}

/// The sockets of direct mode.
#[derive(Debug)]
pub struct DirectSockets {
    local: SocketAddr,
    udp: Arc<UdpSocket>,
    tcp: Option<TcpListener>,
    media: MediaSocket,
}

impl DirectSockets {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address is not this machine's or the port is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let local = tcp.local_addr()?;
        let udp = Arc::new(UdpSocket::bind(local).await?);
        let media = MediaSocket::on_address(local.ip())?;
        Ok(Self { local, udp, tcp: Some(tcp), media })
    }

    /// Where other phones reach this one.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The media socket, which every call shares in turn.
    #[must_use]
    pub fn media(&self) -> &MediaSocket {
        &self.media
    }

    /// Sends one datagram; one that cannot be sent is lost, as any datagram may be.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let _ = self.udp.try_send_to(bytes, to);
    }

    /// Begins to hand on what arrives.
    pub fn listen<E>(&mut self, events: &mpsc::Sender<E>)
    where
        E: From<DirectEvent> + Send + 'static,
    {
        let (udp, datagrams) = (Arc::clone(&self.udp), events.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_LEN];
            loop {
                // An error is an ICMP answer to something sent earlier.
                let Ok((count, from)) = udp.recv_from(&mut buffer).await else { continue };
                let bytes = buffer[..count].to_vec();
                if datagrams.send(DirectEvent::Datagram { from, bytes }.into()).await.is_err() {
                    return;
                }
            }
        });
        let Some(tcp) = self.tcp.take() else { return };
        let connections = events.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, from)) = tcp.accept().await else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                if connections.send(DirectEvent::Accepted { from, stream }.into()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Which flow a datagram belongs to.
#[derive(Debug, Default)]
pub struct Peers {
    by_address: BTreeMap<SocketAddr, Peer>,
    clock: u64,
}

#[derive(Debug)]
struct Peer {
    flow: FlowId,
    last_seen: u64,
}

impl Peers {
    /// The flow of an address, if it is known.
    pub fn flow_of(&mut self, address: SocketAddr) -> Option<FlowId> {
        self.clock += 1;
        let peer = self.by_address.get_mut(&address)?;
        peer.last_seen = self.clock;
        Some(peer.flow)
    }

    /// The address of a flow, if it is known.
    pub fn address_of(&mut self, flow: FlowId) -> Option<SocketAddr> {
        self.clock += 1;
        let (address, peer) = self.by_address.iter_mut().find(|(_, peer)| peer.flow == flow)?;
        peer.last_seen = self.clock;
        Some(*address)
    }

    /// Remembers a flow; returns the one that had to be forgotten for it.
    pub fn add(&mut self, address: SocketAddr, flow: FlowId) -> Option<FlowId> {
        self.clock += 1;
        let replaced = self.by_address.insert(address, Peer { flow, last_seen: self.clock });
        if replaced.is_some() || self.by_address.len() <= MAX_PEERS {
            return replaced.map(|peer| peer.flow);
        }
        let oldest = *self.by_address.iter().min_by_key(|(_, peer)| peer.last_seen)?.0;
        self.by_address.remove(&oldest).map(|peer| peer.flow)
    }

    /// Forgets a flow.
    pub fn remove(&mut self, flow: FlowId) {
        self.by_address.retain(|_, peer| peer.flow != flow);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn made_up_addresses_push_out_only_the_longest_silent_ones() {
        let address = |n: u16| SocketAddr::from(([127, 0, 0, 1], n));
        let mut peers = Peers::default();
        for n in 1..=MAX_PEERS as u16 {
            assert_eq!(peers.add(address(n), FlowId(u64::from(n))), None);
        }
        assert_eq!(peers.flow_of(address(1)), Some(FlowId(1)));
        assert_eq!(peers.add(address(1000), FlowId(1000)), Some(FlowId(2)));
        assert_eq!(peers.address_of(FlowId(1)), Some(address(1)));
        assert_eq!(peers.flow_of(address(2)), None);
        peers.remove(FlowId(1));
        assert_eq!(peers.flow_of(address(1)), None);
    }

    #[tokio::test]
    async fn datagrams_and_connections_are_handed_on_with_their_origin() {
        let mut sockets = DirectSockets::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (events, mut heard) = mpsc::channel::<DirectEvent>(8);
        sockets.listen(&events);
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        other.send_to(b"hello", sockets.local()).await.unwrap();
        match heard.recv().await.unwrap() {
            DirectEvent::Datagram { from, bytes } => {
                assert_eq!((from, bytes.as_slice()), (other.local_addr().unwrap(), &b"hello"[..]));
            }
            other @ DirectEvent::Accepted { .. } => panic!("{other:?}"),
        }
        let stream = TcpStream::connect(sockets.local()).await.unwrap();
        assert!(matches!(heard.recv().await.unwrap(),
            DirectEvent::Accepted { from, .. } if from == stream.local_addr().unwrap()));
    }
}
