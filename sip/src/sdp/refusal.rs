//! Why a session description is refused, in words for the person at the phone.

/// A refused session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum SdpRefusal {
    /// Not SDP, or larger than any sound description.
    #[error("The call description cannot be read")]
    Malformed,
    /// More than 16 KiB, 16 media lines or 256 attributes.
    #[error("The call description is too large")]
    TooLarge,
    /// No audio line, or it is switched off.
    #[error("The other phone offers no audio")]
    NoAudio,
    /// `RTP/AVP` without any key exchange.
    #[error("The other phone offers an unencrypted call, switch on DTLS-SRTP there")]
    PlainRtp,
    /// Keys in `a=crypto`, readable by every server on the way.
    #[error("The other phone sends its keys through the servers (SDES), switch on DTLS-SRTP there")]
    Sdes,
    /// ZRTP only.
    #[error("The other phone encrypts with ZRTP only, switch on DTLS-SRTP there")]
    ZrtpOnly,
    /// Another transport.
    #[error("The other phone uses an unknown media transport")]
    UnknownTransport,
    /// A DTLS-SRTP transport without `a=fingerprint`.
    #[error("The other phone names no certificate fingerprint")]
    NoFingerprint,
    /// Only hashes weaker than SHA-256, or several SHA-256 ones that differ.
    #[error("The other phone names no usable SHA-256 certificate fingerprint")]
    WeakFingerprint,
    /// `a=setup` missing or out of place.
    #[error("The other phone does not say who starts the key exchange")]
    BadSetup,
    /// No codec in common.
    #[error("The other phone does not speak the Opus codec")]
    NoCommonCodec,
    /// No `a=rtcp-mux`.
    #[error("The other phone needs a second media port, switch on rtcp-mux there")]
    NoRtcpMux,
    /// An answer that does not fit the offer.
    #[error("The answer does not fit the offer")]
    BadAnswer,
}

impl SdpRefusal {
    /// The response status: 400 for what cannot be read, 488 for what is not wanted.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::TooLarge => 400,
            Self::NoAudio
            | Self::PlainRtp
            | Self::Sdes
            | Self::ZrtpOnly
            | Self::UnknownTransport
            | Self::NoFingerprint
            | Self::WeakFingerprint
            | Self::BadSetup
            | Self::NoCommonCodec
            | Self::NoRtcpMux
            | Self::BadAnswer => 488,
        }
    }

    /// The reason phrase.
    pub fn reason(self) -> String {
        self.to_string()
    }
}
