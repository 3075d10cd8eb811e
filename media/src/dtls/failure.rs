//! Why an association ended, in words a person can act on.

/// The end of an association. Nothing can be sent or received on it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The certificate in the handshake is not the one announced in signalling.
    #[error(
        "the other phone's certificate is not the one announced for this call: \
         somebody may be sitting in between; the call was ended"
    )]
    FingerprintMismatch,
    /// The handshake did not finish in time.
    #[error("no encrypted connection within {} seconds: check the network and call again", super::HANDSHAKE_LIMIT.as_secs())]
    Timeout,
    /// No SRTP profile that both sides accept.
    #[error(
        "the other phone offers no media encryption that this one accepts: it needs SRTP with AES-GCM or AES-CM-128"
    )]
    NoCommonProfile,
    /// The peer presented no certificate.
    #[error("the other phone showed no certificate, so it cannot be told from somebody in between")]
    NoCertificate,
    /// The peer broke off the handshake with an alert.
    #[error("the other phone broke off the encrypted connection: it may be too old or set to other encryption")]
    Refused,
    /// The peer closed an established association.
    #[error("the other phone closed the encrypted connection")]
    Closed,
    /// The handshake broke down repeatedly although messages arrived.
    #[error("the encrypted connection could not be set up: the two phones do not understand each other")]
    Incompatible,
    /// An established association broke.
    #[error("the encrypted connection broke down; call again")]
    Broken,
    /// Our own engine refused its configuration or certificate.
    #[error("this phone could not prepare encryption for the call; restart the program")]
    LocalSetup,
}

/// Why a message could not be sent inside the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There are no keys yet, or the association is over.
    #[error("the encrypted connection is not established")]
    NotConnected,
    /// Longer than one datagram carries.
    #[error("the message is longer than {} bytes: send it in pieces", super::MAX_MESSAGE_LEN)]
    TooLong,
}
