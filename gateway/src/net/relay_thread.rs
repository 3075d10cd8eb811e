//! The relay's own thread: sockets, clock and orders for [`core::relay`](crate::core::relay).
//!
//! ```text
//!   poll(sockets, wake) ─▶ orders ─▶ batch in ─▶ Relay ─▶ batch out ─▶ deadlines ─▶ events
//! ```
//! A thread owns its relay, its sockets and its batch; nothing is shared but the channels.

use super::core_task::CoreInput;
use super::udp_batch::{BATCH, Batch, Family, Outgoing};
use crate::core::relay::{MAX_DATAGRAM_LEN, Relay, RelayAction, RelayCommand, RelayEvent};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// Orders that may wait: a few per call that starts or ends in the time of one batch.
const MAX_WAITING_ORDERS: usize = 1_024;

/// Batches taken from one socket before orders and the other socket get their turn.
const BATCHES_PER_TURN: usize = 4;

/// The relay's sockets, one per family that it serves.
#[derive(Debug)]
pub(super) struct RelaySockets {
    pub(super) v4: Option<UdpSocket>,
    pub(super) v6: Option<UdpSocket>,
}

/// The way to a running relay thread. Dropping it ends the thread.
pub(super) struct RelayHandle {
    orders: Option<SyncSender<RelayCommand>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// The relay's thread is gone: media cannot be carried.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayGone;

impl RelayHandle {
    /// Starts the thread.
    pub(super) fn start(relay: Relay, sockets: RelaySockets, events: Sender<CoreInput>) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (orders, incoming) = mpsc::sync_channel(MAX_WAITING_ORDERS);
        let rings = Arc::clone(&wake);
        // The batch holds pointers of its own and is made where it stays.
        let work = move || Worker::new(relay, sockets, incoming, rings, events).run();
        let thread = std::thread::Builder::new().name("relay".to_owned()).spawn(work)?;
        Ok(Self { orders: Some(orders), wake, thread: Some(thread) })
    }

    /// Gives an order; it is followed within the time of one batch.
    pub(super) fn order(&self, command: RelayCommand) -> Result<(), RelayGone> {
        self.orders.as_ref().ok_or(RelayGone)?.send(command).map_err(|_| RelayGone)?;
        self.wake.write(1).map(|_| ()).map_err(|_| RelayGone)
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.orders = None;
        // Whatever fails here, the thread sees the closed channel at its next turn.
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    relay: Relay,
    sockets: RelaySockets,
    orders: Receiver<RelayCommand>,
    wake: Arc<EventFd>,
    events: Sender<CoreInput>,
    /// An event that found the core busy.
    unsent: Option<RelayEvent>,
    batch: Batch,
    /// For IPv4 and for IPv6.
    outgoing: [Vec<Outgoing>; 2],
}

/// What the thread woke up for.
#[derive(Clone, Copy)]
struct Readable {
    v4: bool,
    v6: bool,
}

impl Worker {
    fn new(
        relay: Relay,
        sockets: RelaySockets,
        orders: Receiver<RelayCommand>,
        wake: Arc<EventFd>,
        events: Sender<CoreInput>,
    ) -> Self {
        let outgoing = [Vec::with_capacity(BATCH), Vec::with_capacity(BATCH)];
        Self { relay, sockets, orders, wake, events, unsent: None, batch: Batch::new(), outgoing }
    }

    fn run(mut self) {
        loop {
            let readable = match self.wait() {
                Ok(readable) => readable,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    tracing::error!("the relay cannot wait for datagrams ({error}): it stops");
                    return;
                }
            };
            if !self.follow_orders() {
                return;
            }
            if readable.v4 {
                self.carry(Family::V4);
            }
            if readable.v6 {
                self.carry(Family::V6);
            }
            self.relay.handle_timeout(Instant::now());
            self.report();
        }
    }

    fn wait(&self) -> Result<Readable, Errno> {
        let timeout = match self.relay.poll_timeout() {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up: waking a moment too early would only mean another turn.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        // A family that is not served is watched in name only: the wake-up stands in for it.
        let wake = self.wake.as_fd();
        let v4 = self.sockets.v4.as_ref().map_or(wake, AsFd::as_fd);
        let v6 = self.sockets.v6.as_ref().map_or(wake, AsFd::as_fd);
        let mut fds = [wake, v4, v6].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut fds, timeout)?;
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        Ok(Readable { v4: is_ready(&fds[1]), v6: is_ready(&fds[2]) })
    }

    /// False when nobody will give orders any more.
    fn follow_orders(&mut self) -> bool {
        // EAGAIN: nobody rang; the orders are looked at all the same.
        let _ = self.wake.read();
        loop {
            match self.orders.try_recv() {
                Ok(command) => self.relay.handle_command(command, Instant::now()),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn carry(&mut self, family: Family) {
        for _ in 0..BATCHES_PER_TURN {
            let socket = match family {
                Family::V4 => &self.sockets.v4,
                Family::V6 => &self.sockets.v6,
            };
            let Some(socket) = socket else { return };
            // An error here is an ICMP answer to something sent earlier; the socket itself stays good.
            let count = self.batch.receive(socket, family).unwrap_or(0);
            let now = Instant::now();
            for place in 0..count {
                self.judge(place, now);
            }
            self.flush();
            if count < BATCH {
                return;
            }
        }
    }

    fn judge(&mut self, place: usize, now: Instant) {
        let (from, bytes) = self.batch.datagram(place);
        let len = bytes.len();
        match self.relay.handle_datagram(from, bytes, now) {
            RelayAction::Forward { to } => self.queue(Outgoing { place, len, to }),
            RelayAction::Reply { len } => {
                self.queue(Outgoing { place, len, to: from });
                self.send_held();
            }
            RelayAction::Drop => {}
        }
    }

    fn queue(&mut self, outgoing: Outgoing) {
        self.outgoing[usize::from(outgoing.to.is_ipv6())].push(outgoing);
    }

    /// The leg takes nothing from the relay before its check is answered: the answer goes out first.
    fn send_held(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some((len, to)) = self.relay.take_held(&mut buffer) {
            self.flush();
            if let Some(socket) = self.socket_towards(to) {
                // Lost like any other datagram if the system refuses it.
                let _ = socket.send_to(&buffer[..len], to);
            }
        }
    }

    fn flush(&mut self) {
        for (socket, outgoing) in [&self.sockets.v4, &self.sockets.v6].into_iter().zip(&mut self.outgoing) {
            if let Some(socket) = socket.as_ref().filter(|_| !outgoing.is_empty()) {
                self.batch.send(socket, outgoing);
            }
            outgoing.clear();
        }
    }

    fn socket_towards(&self, to: SocketAddr) -> Option<&UdpSocket> {
        if to.is_ipv4() { self.sockets.v4.as_ref() } else { self.sockets.v6.as_ref() }
    }

    /// The relay never waits for the core: an event that does not fit is offered again at the next turn.
    fn report(&mut self) {
        while let Some(event) = self.unsent.take().or_else(|| self.relay.poll_event()) {
            if let Err(TrySendError::Full(_)) = self.events.try_send(CoreInput::Relay(event)) {
                self.unsent = Some(event);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::relay::{LegCredentials, SlotId, SlotNumbers};
    use crate::net::sockets;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use stun_types::attribute::{AttributeType, RawAttribute};
    use stun_types::message::{
        BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt,
        MessageWriteVec, ShortTermCredentials, TransactionId,
    };

    const DTLS: &[u8] = &[22, 0xfe, 0xfd, 7];
    const RTP: &[u8] = &[0x80, 0x6f, 0, 1];

    #[test]
    fn a_call_is_carried_between_ipv4_and_ipv6_and_stops_at_once() {
        let world = World::new();
        let [caller, callee] = world.open();
        let (alice, bob) = (phone("127.0.0.1:0"), phone("[::1]:0"));
        alice.send_to(&check(&caller), world.v4).unwrap();
        assert_eq!(kind(&received(&alice)), MessageClass::Success);
        alice.send_to(DTLS, world.v4).unwrap();
        // Not waiting for the relay would be a race between two sockets of it.
        std::thread::sleep(Duration::from_millis(50));
        bob.send_to(&check(&callee), world.v6).unwrap();
        assert_eq!(kind(&received(&bob)), MessageClass::Success, "the answer comes before what was held");
        assert_eq!(received(&bob), DTLS);
        for number in 0..200u8 {
            bob.send_to(&[0x80, number], world.v6).unwrap();
            assert_eq!(received(&alice), [0x80, number]);
        }
        world.handle.order(RelayCommand::Close { slot: world.slot }).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        alice.send_to(RTP, world.v4).unwrap();
        bob.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(bob.recv(&mut [0; 64]).is_err(), "after the close nothing passes");
    }

    #[test]
    fn dropping_the_handle_ends_the_thread() {
        let World { handle, v4, .. } = World::new();
        drop(handle);
        assert!(UdpSocket::bind(v4).is_ok(), "its sockets are closed");
    }

    struct World {
        handle: RelayHandle,
        slot: SlotId,
        v4: SocketAddr,
        v6: SocketAddr,
        _events: tokio::sync::mpsc::Receiver<CoreInput>,
    }

    impl World {
        fn new() -> Self {
            let open = |address: &str| sockets::relay(address.parse().unwrap()).unwrap();
            let (v4, v6) = (open("127.0.0.1:0"), open("[::1]:0"));
            let addresses = [v4.local_addr().unwrap(), v6.local_addr().unwrap()];
            let relay = Relay::new(1, addresses.to_vec(), &mut ChaCha20Rng::seed_from_u64(1));
            let (events, receiver) = tokio::sync::mpsc::channel(4);
            let handle = RelayHandle::start(relay, RelaySockets { v4: Some(v4), v6: Some(v6) }, events).unwrap();
            let slot = SlotNumbers::new(1).allocate().unwrap();
            Self { handle, slot, v4: addresses[0], v6: addresses[1], _events: receiver }
        }

        fn open(&self) -> [LegCredentials; 2] {
            let mut rng = ChaCha20Rng::seed_from_u64(2);
            let legs = [LegCredentials::draw(&mut rng), LegCredentials::draw(&mut rng)];
            let copy = [legs[0].duplicate(), legs[1].duplicate()];
            self.handle.order(RelayCommand::Open { slot: self.slot, legs: copy }).unwrap();
            // The order is followed before the next datagram: it was given first.
            legs
        }
    }

    fn phone(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn received(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let len = socket.recv(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    fn kind(bytes: &[u8]) -> MessageClass {
        Message::from_bytes(bytes).unwrap().class()
    }

    fn check(credentials: &LegCredentials) -> Vec<u8> {
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        let mut check = Message::builder(kind, TransactionId::from(9), MessageWriteVec::new());
        let username = format!("{}:phonefrag", credentials.ufrag());
        check.add_attribute(&RawAttribute::new(AttributeType::new(0x0006), username.as_bytes())).unwrap();
        check.add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &[0x6e, 0, 1, 0xff])).unwrap();
        check.add_attribute(&RawAttribute::new(AttributeType::new(0x802a), &[7; 8])).unwrap();
        let key = ShortTermCredentials::new(credentials.password().to_owned()).make_key();
        check.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
        check.add_fingerprint().unwrap();
        check.finish()
    }
}
