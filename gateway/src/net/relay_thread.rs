//! The relay's own thread: sockets, clock and orders for [`core::relay`](crate::core::relay).
//!
//! ```text
//!   poll(sockets, wake) ─▶ orders ─▶ batch in ─▶ Relay ─▶ batch out ─▶ deadlines ─▶ events
//! ```
//! A thread owns its relay, its sockets and its batch; nothing is shared but the channels.

use super::core_task::CoreInput;
use super::udp_batch::{BATCH, Batch, Outgoing};
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
                self.carry(true);
            }
            if readable.v6 {
                self.carry(false);
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

    fn carry(&mut self, is_v4: bool) {
        for _ in 0..BATCHES_PER_TURN {
            let socket = if is_v4 { &self.sockets.v4 } else { &self.sockets.v6 };
            let Some(socket) = socket else { return };
            // An error here is an ICMP answer to something sent earlier; the socket itself stays good.
            let count = self.batch.receive(socket).unwrap_or(0);
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
