//! The SRTP protection profiles of RFC 5764 §4.1.2 and RFC 7714 §14.2 that Undertone speaks.

/// Which cipher protects the packets of one association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// `SRTP_AEAD_AES_256_GCM`, preferred.
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, only towards foreign phones.
    AesCm128HmacSha1_80,
}

impl Profile {
    /// Bytes of one side's master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm => 32,
            Profile::AeadAes128Gcm | Profile::AesCm128HmacSha1_80 => 16,
        }
    }

    /// Bytes of one side's master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => 12,
            Profile::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Bytes the DTLS exporter yields: both keys and both salts (RFC 5764 §4.2).
    #[must_use]
    pub const fn exporter_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Bytes of the authentication tag at the end of each packet.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => 16,
            Profile::AesCm128HmacSha1_80 => 10,
        }
    }

    /// Bytes a protected RTP packet is longer than the packet inside.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        self.tag_len()
    }

    /// Bytes a protected RTCP packet is longer than the packet inside: tag, E bit and index.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        self.tag_len() + 4
    }

    /// The name of the IANA registry, for people and machine-readable events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Profile::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Profile::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Profile::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
