//! The TLS connections between phones and the gateway, as what they are to the cores: ordered byte streams with delay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use undertone_sip::user_agent::FlowId;
use undertone_sip::wire::{End, StreamFramer};

use super::station::StationId;

/// One way; a connection takes three of them to open (TCP and TLS 1.3).
pub(super) const LATENCY: Duration = Duration::from_millis(15);

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both ends learn it at once.
    Reset,
    /// Bytes vanish and nobody is told, as when a NAT forgot the connection.
    Silent,
}

/// One connection; the gateway's name for it is its key in [`SignallingLinks`].
pub(super) struct Connection {
    pub(super) station: StationId,
    /// The phone's name for it.
    pub(super) flow: FlowId,
    /// Cuts what the phone sends, as the gateway's shell does.
    pub(super) framer: StreamFramer,
    pub(super) silent: bool,
}

/// Something that travels.
#[derive(Debug)]
pub(super) enum Post {
    /// The gateway sees the connection open.
    Accepted(FlowId),
    /// The phone sees it open.
    Opened(FlowId),
    /// Nobody was there to connect to.
    Unreachable(StationId, FlowId),
    /// Bytes of the phone reach the gateway.
    ToGateway(FlowId, Vec<u8>),
    /// Bytes of the gateway reach the phone.
    ToPhone(FlowId, Vec<u8>),
    /// The phone's end was closed.
    ClosedByPhone(FlowId),
    /// The gateway's end was closed.
    ClosedByGateway(FlowId),
}

/// All connections and what is under way on them.
#[derive(Default)]
pub(super) struct SignallingLinks {
    pub(super) connections: BTreeMap<FlowId, Connection>,
    posts: BTreeMap<(Instant, u64), Post>,
    posted: u64,
    opened: u64,
}

impl SignallingLinks {
    /// A phone opens a connection; returns the gateway's name for it.
    pub(super) fn open(&mut self, station: StationId, flow: FlowId, now: Instant) -> FlowId {
        self.opened += 1;
        let name = FlowId(1_000 + self.opened);
        let framer = StreamFramer::new(End::Server);
        self.connections.insert(name, Connection { station, flow, framer, silent: false });
        self.post(Post::Accepted(name), now + 2 * LATENCY);
        self.post(Post::Opened(name), now + 3 * LATENCY);
        name
    }

    pub(super) fn post(&mut self, post: Post, at: Instant) {
        self.posted += 1;
        self.posts.insert((at, self.posted), post);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.posts.keys().next().map(|(at, _)| *at)
    }

    /// The next thing that has arrived by now.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Post> {
        let entry = self.posts.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// The gateway's name for a phone's connection.
    pub(super) fn name_of(&self, station: StationId, flow: FlowId) -> Option<FlowId> {
        let is_it = |c: &Connection| c.station == station && c.flow == flow;
        self.connections.iter().find(|(_, connection)| is_it(connection)).map(|(name, _)| *name)
    }

    /// The connections of a phone.
    pub(super) fn of(&self, station: StationId) -> Vec<FlowId> {
        self.connections.iter().filter(|(_, c)| c.station == station).map(|(name, _)| *name).collect()
    }

    /// The connection carries bytes.
    pub(super) fn carries(&self, name: FlowId) -> bool {
        self.connections.get(&name).is_some_and(|connection| !connection.silent)
    }
}
