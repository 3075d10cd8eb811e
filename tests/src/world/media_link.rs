//! A phone's access to the network for datagrams: loses, delays, doubles and reorders, each direction for itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m_netem::{Input, Netem, NetemConfig, Output, Probability, RandomLoss};

/// What an access line does to datagrams, in each direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Time a datagram takes.
    pub delay: Duration,
    /// Up to this much more or less.
    pub jitter: Duration,
    /// Share that is lost, 0–1.
    pub loss: f32,
    /// Share that arrives twice, 0–1.
    pub duplicate: f32,
    /// Every so manieth datagram overtakes the one before it.
    pub reorder_every: Option<u32>,
}

impl Line {
    /// 10 ms, nothing lost.
    pub const GOOD: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0.0,
        duplicate: 0.0,
        reorder_every: None,
    };
    /// Nothing arrives.
    pub const DEAD: Self = Self { loss: 1.0, ..Self::GOOD };

    /// This share is lost; jitter, doubled and overtaking datagrams come with it, as on a bad radio link.
    pub const fn bad(loss: f32) -> Self {
        Self {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(10),
            loss,
            duplicate: 0.01,
            reorder_every: Some(25),
        }
    }
}

/// One datagram.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

impl AsRef<[u8]> for Datagram {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// One direction of a line.
pub(super) struct MediaLink {
    netem: Netem<Datagram>,
    seed: u64,
}

impl MediaLink {
    pub(super) fn new(line: Line, seed: u64) -> Self {
        Self { netem: Netem::new(config(line, seed)), seed }
    }

    /// From here on the line behaves so; what is under way arrives as it would have.
    pub(super) fn change(&mut self, line: Line) {
        self.seed = self.seed.wrapping_add(1);
        self.netem.set_config(config(line, self.seed));
    }

    pub(super) fn send(&mut self, datagram: Datagram, now: Instant) {
        self.netem.handle_input(Input::Packet(now, datagram));
    }

    /// When the next datagram arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.netem.is_empty()).then(|| self.netem.poll_timeout())
    }

    /// The next datagram that has arrived by now.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Datagram> {
        self.netem.handle_input(Input::Timeout(now));
        match self.netem.poll_output() {
            Some(Output::Packet(datagram)) => Some(datagram),
            Some(Output::Timeout(_)) | None => None,
        }
    }
}

fn config(line: Line, seed: u64) -> NetemConfig {
    let config = NetemConfig::new()
        .latency(line.delay)
        .jitter(line.jitter)
        .loss(RandomLoss::new(Probability::new(line.loss)))
        .duplicate(Probability::new(line.duplicate))
        .seed(seed);
    match line.reorder_every {
        Some(gap) => config.reorder_gap(gap),
        None => config,
    }
}
