//! The small door behind which the two DTLS implementations live.

use std::time::Instant;

use super::{Failure, Version};
use crate::keys::ExporterBlock;

/// One attempt at an association. An `Err` ends the attempt: the engine is thrown away.
pub(super) trait Engine: Send {
    /// Takes a datagram; what cannot be a record of this engine is dropped inside.
    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<(), EngineError>;
    fn handle_timeout(&mut self, now: Instant) -> Result<(), EngineError>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_event(&mut self) -> Option<EngineEvent>;
    /// Sends a message once established.
    fn send(&mut self, message: &[u8], now: Instant) -> Result<(), EngineError>;
    /// Says goodbye to the peer.
    fn close(&mut self, now: Instant);
    /// How far the handshake is, for the decision to start anew.
    fn progress(&self) -> Progress;
}

/// How far a handshake is, seen from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// Nothing plausible has arrived.
    Silent,
    /// The peer answers, but has not proven anything.
    Answered,
    /// The peer's certificate was received.
    PeerSeen,
}

pub(super) enum EngineEvent {
    Transmit(Vec<u8>),
    /// SHA-256 of the peer's certificate, before [`EngineEvent::Established`].
    PeerCertificate([u8; 32]),
    Established {
        keys: ExporterBlock,
        version: Version,
    },
    Data(Vec<u8>),
    /// The peer said goodbye.
    Closed,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineError {
    FingerprintMismatch,
    NoCommonProfile,
    NoCertificate,
    Refused,
    Timeout,
    Protocol,
    Setup,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::FingerprintMismatch => Failure::FingerprintMismatch,
            EngineError::NoCommonProfile => Failure::NoCommonProfile,
            EngineError::NoCertificate => Failure::NoCertificate,
            EngineError::Refused => Failure::Refused,
            EngineError::Timeout => Failure::Timeout,
            EngineError::Protocol => Failure::Incompatible,
            EngineError::Setup => Failure::LocalSetup,
        }
    }
}
