//! Keeps the keys of the handshake back until the post-quantum exchange has mixed its secret into them, where both
//! phones announced it; else they pass at once.
//!
//! Until then a session has no keys: no SRTP leaves and none is let in.

use std::time::Instant;

use crate::dtls::{Connected, Peer};
use crate::post_quantum::{self, Exchange, Failure, MAGIC};
use crate::verify::Role;

/// What a [`KeyMix`] wants.
pub(super) enum Output {
    /// Send this as one record inside the association.
    Send(Vec<u8>),
    /// The keys to be used, and no others. At most once.
    Mixed(Box<Connected>),
    /// There will be no keys.
    Failed(Failure),
}

/// The post-quantum half of one session's key agreement.
pub(super) struct KeyMix {
    peer: Peer,
    agreed: Option<Role>,
    exchange: Option<Exchange>,
    /// What the handshake gave, until it is mixed.
    held_back: Option<Box<Connected>>,
    stripped: bool,
}

impl KeyMix {
    /// `agreed` is our role where both phones announced the exchange.
    pub(super) fn new(peer: Peer, agreed: Option<Role>) -> Self {
        Self { peer, agreed, exchange: None, held_back: None, stripped: false }
    }

    /// The handshake is done: keeps its keys back and begins, or gives them back unchanged.
    pub(super) fn handle_connected(&mut self, connected: Box<Connected>, now: Instant) -> Option<Box<Connected>> {
        let Some(role) = self.agreed else { return Some(connected) };
        self.exchange = Some(Exchange::new(role, now));
        self.held_back = Some(connected);
        None
    }

    /// A record of the other side; gives back what is not the exchange's.
    pub(super) fn handle_data(&mut self, record: Vec<u8>, now: Instant) -> Option<Vec<u8>> {
        let ours = record.starts_with(MAGIC);
        match &mut self.exchange {
            Some(exchange) if ours || self.held_back.is_some() => exchange.handle_message(&record, now),
            Some(exchange) => {
                // VFY1 begins where this exchange has ended.
                exchange.handle_confirmed();
                return Some(record);
            }
            // The other phone believes in an exchange that was not announced to this one.
            None if ours && self.peer == Peer::Ours => self.stripped = true,
            None => return Some(record),
        }
        None
    }

    /// A packet under the mixed keys has arrived: the other side has them.
    pub(super) fn handle_authentic_packet(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.handle_confirmed();
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(exchange) = &mut self.exchange {
            exchange.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.as_ref().and_then(Exchange::poll_timeout)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.stripped) {
            return Some(Output::Failed(Failure::Stripped));
        }
        let output = match self.exchange.as_mut()?.poll_output()? {
            post_quantum::Output::Send(frame) => Output::Send(frame),
            post_quantum::Output::Failed(failure) => Output::Failed(failure),
            post_quantum::Output::Agreed(secret) => {
                let mut connected = self.held_back.take()?;
                match secret.mix_into(&mut connected.keys) {
                    Ok(()) => Output::Mixed(connected),
                    Err(failure) => Output::Failed(failure),
                }
            }
        };
        Some(output)
    }

    /// Drops what it holds; nothing comes out of it any more.
    pub(super) fn close(&mut self) {
        *self = Self::new(self.peer, None);
    }

    /// Whether the keys in use are mixed ones.
    pub(super) fn has_run(&self) -> bool {
        self.exchange.is_some() && self.held_back.is_none()
    }
}
