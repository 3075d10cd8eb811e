//! Datagrams in batches: one system call takes or gives up to [`BATCH`] of them; nothing is allocated per call.
//!
//! `nix` resets neither the length of control messages nor that of addresses in reused headers: so no control messages
//! are used, and each direction and each family has headers of its own.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams per system call: at 500 calls a batch is a third of a millisecond's traffic.
pub(super) const BATCH: usize = 32;

/// Room for one datagram; more than the relay carries, so that a longer one is seen to be longer.
const ROOM: usize = 2_048;

/// Which of the relay's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A place of the batch and what is to be sent from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    pub(super) place: usize,
    pub(super) len: usize,
    pub(super) to: SocketAddr,
}

/// The datagrams of one batch.
pub(super) struct Batch {
    buffers: Box<[[u8; ROOM]]>,
    received: [(SocketAddr, usize); BATCH],
    /// For IPv4 and for IPv6.
    receiving: [MultiHeaders<SockaddrStorage>; 2],
    sending: MultiHeaders<SockaddrStorage>,
}

impl Batch {
    pub(super) fn new() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            buffers: vec![[0; ROOM]; BATCH].into_boxed_slice(),
            received: [(nowhere, 0); BATCH],
            receiving: [MultiHeaders::preallocate(BATCH, None), MultiHeaders::preallocate(BATCH, None)],
            sending: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Takes what has arrived, up to a full batch; 0 if there is nothing.
    pub(super) fn receive(&mut self, socket: &UdpSocket, family: Family) -> Result<usize, Errno> {
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(buffers.next().map_or(&mut [][..], |buffer| &mut buffer[..]))]);
        let headers = &mut self.receiving[family as usize];
        let flags = MsgFlags::MSG_DONTWAIT;
        let results = match recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None) {
            Ok(results) => results,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut count = 0;
        for (result, place) in results.zip(&mut self.received) {
            let from = result.address.as_ref().and_then(to_std);
            // A datagram without a source cannot be anybody's: an empty one is dropped by the relay.
            *place = from.map_or((SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), 0), |from| (from, result.bytes));
            count += 1;
        }
        Ok(count)
    }

    /// One of the datagrams taken by the last [`Self::receive`].
    pub(super) fn datagram(&mut self, place: usize) -> (SocketAddr, &mut [u8]) {
        let (from, len) = self.received[place];
        (from, &mut self.buffers[place][..len.min(ROOM)])
    }

    /// Sends up to a batch. What the system refuses is lost, as on any network.
    pub(super) fn send(&mut self, socket: &UdpSocket, outgoing: &[Outgoing]) {
        let mut rest = outgoing;
        while !rest.is_empty() {
            // A refused datagram ends the system call's run: it is skipped and the rest goes on.
            let sent = self.send_some(socket, rest).unwrap_or(0).max(1);
            rest = rest.get(sent..).unwrap_or(&[]);
        }
    }

    fn send_some(&mut self, socket: &UdpSocket, outgoing: &[Outgoing]) -> Result<usize, Errno> {
        let buffers = &self.buffers;
        let bytes = |out: &Outgoing| &buffers[out.place][..out.len];
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            std::array::from_fn(|i| [IoSlice::new(outgoing.get(i).map_or(&[][..], bytes))]);
        let addresses: [Option<SockaddrStorage>; BATCH] =
            std::array::from_fn(|i| outgoing.get(i).map(|out| SockaddrStorage::from(out.to)));
        let count = outgoing.len().min(BATCH);
        let no_control: [ControlMessage<'_>; 0] = [];
        let flags = MsgFlags::MSG_DONTWAIT;
        let results =
            sendmmsg(socket.as_raw_fd(), &mut self.sending, slices[..count].iter(), addresses, no_control, flags)?;
        Ok(results.count())
    }
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_batch_arrives_whole_in_order_and_is_sent_on() {
        let [relay, phone] = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&relay, Family::V4).unwrap(), 0, "nothing there: no waiting");
        for round in 0..3u8 {
            for number in 0..BATCH as u8 {
                phone.send_to(&[round, number], relay.local_addr().unwrap()).unwrap();
            }
            assert_eq!(batch.receive(&relay, Family::V4).unwrap(), BATCH);
            let to = phone.local_addr().unwrap();
            let outgoing: Vec<Outgoing> = (0..BATCH)
                .map(|place| {
                    let (from, bytes) = batch.datagram(place);
                    assert_eq!((from, &*bytes), (to, &[round, place as u8][..]));
                    Outgoing { place, len: 1, to }
                })
                .collect();
            batch.send(&relay, &outgoing);
            let mut buffer = [0; 9];
            for _ in 0..BATCH {
                assert_eq!(phone.recv(&mut buffer).unwrap(), 1);
            }
        }
    }

    /// The length of an IPv4 address, once reported, would cut an IPv6 address in the same headers.
    #[test]
    fn one_batch_serves_both_families_in_turn() {
        let [v4, phone4] = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let [v6, phone6] = [(), ()].map(|()| UdpSocket::bind("[::1]:0").unwrap());
        let mut batch = Batch::new();
        for _ in 0..3 {
            for (relay, phone, family) in [(&v4, &phone4, Family::V4), (&v6, &phone6, Family::V6)] {
                phone.send_to(&[0x80], relay.local_addr().unwrap()).unwrap();
                assert_eq!(batch.receive(relay, family).unwrap(), 1);
                assert_eq!(batch.datagram(0).0, phone.local_addr().unwrap());
            }
        }
    }

    #[test]
    fn one_address_that_cannot_be_reached_does_not_stop_the_others() {
        let [relay, phone] = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut batch = Batch::new();
        let reachable = phone.local_addr().unwrap();
        let unreachable = SocketAddr::from(([255, 255, 255, 255], 9));
        let outgoing = [reachable, unreachable, reachable].map(|to| Outgoing { place: 0, len: 3, to });
        batch.send(&relay, &outgoing);
        let mut buffer = [0; 9];
        assert_eq!(phone.recv(&mut buffer).unwrap() + phone.recv(&mut buffer).unwrap(), 6);
    }

    #[test]
    fn a_datagram_longer_than_the_relay_carries_is_seen_to_be_longer() {
        let [relay, phone] = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        phone.send_to(&[0x80; 9_000], relay.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&relay, Family::V4).unwrap(), 1);
        assert!(batch.datagram(0).1.len() > crate::core::relay::MAX_DATAGRAM_LEN);
    }
}
