//! Why a verification failed, in words for people.

/// The run is over and nobody is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer within 10 s.
    #[error("the other phone did not finish the verification; hang up and call again")]
    Timeout,
    /// A message has a wrong length, version or value.
    #[error("the other phone sent something unreadable during the verification; hang up and call again")]
    Malformed,
    /// The peer showed our own key: a reflected message, or an account that calls itself.
    #[error("the call came back to this phone; somebody may be tampering with it")]
    Reflected,
    /// A key of low order, which would make the shared secret predictable.
    #[error("the other side used a forged key; somebody sits in between")]
    WeakKey,
    /// A proof does not fit this channel: the peer does not own the key, or somebody sits in between.
    #[error("the other side could not prove its key on this line; somebody may sit in between")]
    ProofRefused,
    /// What was revealed is not what had been committed to.
    #[error("the other side changed its mind during the verification; somebody sits in between")]
    CommitmentBroken,
    /// An honest phone answered, but not the account that was called or shown.
    #[error("the phone on this line belongs to another address than this call says; somebody may have redirected it")]
    WrongAddress,
    /// The contact's key is not the one known from earlier.
    #[error("this contact's key has changed; somebody may be posing as them")]
    KeyChanged,
    /// Both phones can add post-quantum keys, but it did not happen.
    #[error("the protection against future quantum computers was stripped from this call")]
    PostQuantumStripped,
}
