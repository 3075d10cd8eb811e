//! Why a session is over.

use crate::{dtls, post_quantum};

/// The end of a session, in words of the layer that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The handshake or the channel it gave.
    #[error(transparent)]
    Dtls(#[from] dtls::Failure),
    /// The post-quantum exchange.
    #[error(transparent)]
    PostQuantum(#[from] post_quantum::Failure),
}
