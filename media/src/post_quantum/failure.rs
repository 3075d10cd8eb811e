//! Why no post-quantum secret came about, in words for people.

/// The exchange is over and there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not finished within 10 s.
    #[error(
        "the phones could not agree on keys that last against future quantum computers; check the network and call again"
    )]
    Timeout,
    /// The other phone goes on as if nobody had announced the exchange.
    #[error("the protection against future quantum computers was stripped from this call")]
    Stripped,
    /// The encapsulation key is none: a coefficient is out of range (FIPS 203 §7.2).
    #[error("the other phone sent a key that cannot be used; hang up and call again")]
    KeyRefused,
    /// This phone could not make a key or use its own.
    #[error("this phone could not make the keys for the call; call again")]
    LocalSetup,
}
