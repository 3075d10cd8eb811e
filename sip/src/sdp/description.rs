//! The typed session description: one audio stream, always with a fingerprint.

use std::net::IpAddr;

use super::candidate::Ice;
use super::codec::{Codec, OPUS};
use super::fingerprint::Fingerprint;
use super::refusal::SdpRefusal;
use super::{read, template};

/// Identity of a description (`o=`): a random number per leg and a version that grows by one with
/// every change. The user name and address of a real `o=` line are never read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Random session number.
    pub id: u64,
    /// Version.
    pub version: u64,
}

/// Transport of the audio line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `UDP/TLS/RTP/SAVP`
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF`
    UdpTlsRtpSavpf,
}

/// Who sends sound (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// The writer only: it has put the other on hold.
    SendOnly,
    /// The reader only.
    RecvOnly,
    /// Nobody.
    Inactive,
}

/// Who starts DTLS (RFC 4145, RFC 5763 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The writer of the description starts.
    Active,
    /// The reader starts.
    Passive,
    /// The answerer decides (offers only).
    ActPass,
}

/// A media line other than our audio line; answered with port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMedia {
    /// Position among all media lines.
    pub index: usize,
    /// `video`, …
    pub media: String,
    /// Transport text.
    pub proto: String,
    /// Formats text.
    pub fmt: String,
}

/// A session description with exactly one audio stream keyed by DTLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// `o=`.
    pub origin: Origin,
    /// Media address; `None` is written as `0.0.0.0` (a phone that is reached over its relay only).
    pub address: Option<IpAddr>,
    /// Media port; 9 where no address is given.
    pub port: u16,
    /// Transport of the audio line.
    pub transport: Transport,
    /// Who sends.
    pub direction: Direction,
    /// The writer's certificate.
    pub fingerprint: Fingerprint,
    /// Who starts DTLS.
    pub setup: Setup,
    /// Identity of the DTLS association (RFC 8842).
    pub tls_id: Option<String>,
    /// ICE parameters.
    pub ice: Option<Ice>,
    /// RTP and RTCP share the port (RFC 5761).
    pub rtcp_mux: bool,
    /// Codecs in order of preference.
    pub codecs: Vec<Codec>,
    /// The writer can prove who it is inside the media path (VFY1).
    pub vfy: bool,
    /// The writer can mix ML-KEM-768 into the keys before VFY1.
    pub pq: bool,
    /// Ring ticket: opaque text for the callee.
    pub ring_ticket: Option<String>,
    /// Proof that a call is resumed: opaque text for the callee.
    pub resume: Option<String>,
    /// Length of sound per packet.
    pub ptime_ms: u16,
    /// Media lines to be refused one by one, in the answer, with port 0.
    pub other_media: Vec<OtherMedia>,
}

/// Length of sound per packet where nobody says otherwise (RFC 7587 §6.1).
pub(super) const DEFAULT_PTIME_MS: u16 = 20;

impl Description {
    /// A phone's own description: no address, port 9, both directions, DTLS role open.
    pub fn new(origin: Origin, fingerprint: Fingerprint, codecs: Vec<Codec>) -> Self {
        Self {
            origin,
            address: None,
            port: 9,
            transport: Transport::UdpTlsRtpSavpf,
            direction: Direction::SendRecv,
            fingerprint,
            setup: Setup::ActPass,
            tls_id: None,
            ice: None,
            rtcp_mux: true,
            codecs,
            vfy: false,
            pq: false,
            ring_ticket: None,
            resume: None,
            ptime_ms: DEFAULT_PTIME_MS,
            other_media: Vec::new(),
        }
    }

    /// Reads a description, or says why it is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpRefusal> {
        read::read(bytes)
    }

    /// Writes the constant template.
    pub fn to_bytes(&self) -> Vec<u8> {
        template::write(self)
    }

    /// The gateway's version for the other leg: fingerprint, tls-id, setup, direction, verification
    /// attributes, ring ticket and known codec parameters are carried; everything else is replaced. The
    /// caller sets `transport` (an answer repeats its offer's) and, in an answer, `other_media`.
    #[must_use]
    pub fn relayed(&self, origin: Origin, address: IpAddr, port: u16, ice: Option<Ice>) -> Self {
        Self {
            origin,
            address: Some(address),
            port,
            ice,
            rtcp_mux: true,
            codecs: self.codecs.iter().filter_map(Codec::carried).collect(),
            other_media: Vec::new(),
            ..self.clone()
        }
    }

    /// The first codec of this name.
    pub fn codec(&self, name: &str) -> Option<&Codec> {
        self.codecs.iter().find(|codec| codec.name == name)
    }

    /// Whether Opus is among the codecs.
    pub fn has_opus(&self) -> bool {
        self.codec(OPUS).is_some()
    }
}

/// Addresses, passwords and tickets stay out of logs.
impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description")
            .field("version", &self.origin.version)
            .field("transport", &self.transport)
            .field("direction", &self.direction)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

impl Direction {
    /// What the answer to this direction says when the answerer wants both (RFC 3264 §6.1).
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer wants to receive.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The direction with these two halves.
    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl Transport {
    /// The text of the media line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }
}

impl Setup {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }
}
