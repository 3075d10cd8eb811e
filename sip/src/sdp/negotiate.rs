//! Offer and answer (RFC 3264, RFC 5763 §5, RFC 8842): building the answer to an offer, and what both
//! have agreed on once the answer is there.

use super::candidate::Ice;
use super::codec::{Codec, OPUS, RED, TELEPHONE_EVENT};
use super::description::{Description, Direction, Origin, Setup};
use super::fingerprint::Fingerprint;
use super::refusal::SdpRefusal;

/// Most generations in one `red` packet; ours has one beside the primary.
const MAX_RED_LEVELS: usize = 4;

/// What the answering phone can do and has decided for this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// `o=` of the answer.
    pub origin: Origin,
    /// Media address; `None` behind a relay.
    pub address: Option<std::net::IpAddr>,
    /// Media port; 9 behind a relay.
    pub port: u16,
    /// Own certificate of this call.
    pub fingerprint: Fingerprint,
    /// Own association identity.
    pub tls_id: Option<String>,
    /// Own ICE parameters; dropped from the answer if the offer has none.
    pub ice: Option<Ice>,
    /// Codecs it speaks; the offer's payload numbers and order win.
    pub codecs: Vec<Codec>,
    /// Start DTLS if the offer leaves the choice (`a=setup:actpass`).
    pub start_dtls: bool,
    /// Whether it wants to send and receive; the offer may narrow this.
    pub direction: Direction,
    /// It can do VFY1.
    pub vfy: bool,
    /// It can mix ML-KEM-768.
    pub pq: bool,
    /// Length of sound per packet it sends.
    pub ptime_ms: u16,
}

/// Who opens the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// This side sends the ClientHello.
    Client,
    /// This side waits for it.
    Server,
}

/// Agreed payload types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Payloads {
    /// Opus.
    pub opus: u8,
    /// Redundant audio over Opus.
    pub red: Option<u8>,
    /// Telephone events and their clock in Hz.
    pub telephone_event: Option<(u8, u32)>,
}

/// The outcome of an offer and its answer, seen from one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Own DTLS role.
    pub role: DtlsRole,
    /// Payload types to send and receive.
    pub payloads: Payloads,
    /// The certificate the other side must show.
    pub peer_fingerprint: Fingerprint,
    /// Own direction.
    pub direction: Direction,
    /// Both can do VFY1.
    pub vfy: bool,
    /// Both can mix ML-KEM-768.
    pub pq: bool,
    /// Length of sound per packet the other side asked for.
    pub ptime_ms: u16,
}

/// Builds the answer to an offer, or says why there can be none.
pub fn answer(offer: &Description, own: &Capabilities) -> Result<Description, SdpRefusal> {
    if !offer.rtcp_mux {
        return Err(SdpRefusal::NoRtcpMux);
    }
    let codecs = common_codecs(&offer.codecs, &own.codecs)?;
    let direction = Direction::of(
        own.direction.sends() && offer.direction.receives(),
        own.direction.receives() && offer.direction.sends(),
    );
    Ok(Description {
        origin: own.origin,
        address: own.address,
        port: own.port,
        transport: offer.transport,
        direction,
        fingerprint: own.fingerprint,
        setup: answer_setup(offer.setup, own.start_dtls),
        // RFC 8842 §5.3: an answer names a tls-id only if the offer did.
        tls_id: own.tls_id.clone().filter(|_| offer.tls_id.is_some()),
        ice: own.ice.clone().filter(|_| offer.ice.is_some()),
        rtcp_mux: true,
        codecs,
        vfy: own.vfy && offer.vfy,
        pq: own.pq && offer.pq,
        ring_ticket: None,
        resume: None,
        ptime_ms: own.ptime_ms,
        other_media: offer.other_media.clone(),
    })
}

/// What an offer and its answer agree on; `offered` says whether this side wrote the offer.
pub fn conclude(offer: &Description, answer: &Description, offered: bool) -> Result<Negotiated, SdpRefusal> {
    if !answer.rtcp_mux || !offer.rtcp_mux {
        return Err(SdpRefusal::NoRtcpMux);
    }
    if answer.transport != offer.transport || !fits(&answer.codecs, &offer.codecs) {
        return Err(SdpRefusal::BadAnswer);
    }
    let answerer = match (offer.setup, answer.setup) {
        (Setup::ActPass | Setup::Passive, Setup::Active) => DtlsRole::Client,
        (Setup::ActPass | Setup::Active, Setup::Passive) => DtlsRole::Server,
        _ => return Err(SdpRefusal::BadSetup),
    };
    let (own, peer) = if offered { (offer, answer) } else { (answer, offer) };
    Ok(Negotiated {
        role: if offered { answerer.other() } else { answerer },
        payloads: payloads(&answer.codecs)?,
        peer_fingerprint: peer.fingerprint,
        direction: Direction::of(
            own.direction.sends() && peer.direction.receives(),
            own.direction.receives() && peer.direction.sends(),
        ),
        vfy: offer.vfy && answer.vfy,
        pq: offer.pq && answer.pq,
        ptime_ms: peer.ptime_ms,
    })
}

impl DtlsRole {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

fn answer_setup(offered: Setup, start: bool) -> Setup {
    match offered {
        Setup::Active => Setup::Passive,
        Setup::Passive => Setup::Active,
        Setup::ActPass if start => Setup::Active,
        Setup::ActPass => Setup::Passive,
    }
}

/// The offer's codecs that we speak too, in the offer's order and with its numbers. Without Opus there
/// is no call; `red` needs to be over that Opus.
fn common_codecs(offered: &[Codec], own: &[Codec]) -> Result<Vec<Codec>, SdpRefusal> {
    let mut common = Vec::new();
    for codec in offered {
        let Some(ours) = own.iter().find(|ours| ours.same_format(codec)) else { continue };
        if common.iter().any(|taken: &Codec| taken.name == codec.name) {
            continue;
        }
        let fmtp = if codec.name == RED { codec.carried().and_then(|red| red.fmtp) } else { ours.fmtp.clone() };
        common.push(Codec { fmtp, ..codec.clone() });
    }
    let opus = common.iter().find(|codec| codec.name == OPUS).map(|codec| codec.pt);
    let opus = opus.ok_or(SdpRefusal::NoCommonCodec)?;
    common.retain(|codec| codec.name != RED || red_over(codec) == Some(opus));
    Ok(common)
}

/// The one payload type a `red` codec is over (`111/111` → 111).
fn red_over(codec: &Codec) -> Option<u8> {
    let fmtp = codec.fmtp.as_deref().filter(|text| text.split('/').count() <= MAX_RED_LEVELS)?;
    let mut levels = fmtp.split('/').map(|level| level.trim().parse::<u8>());
    let first = levels.next()?.ok()?;
    levels.all(|level| level == Ok(first)).then_some(first)
}

/// Every codec of the answer was offered under the same number.
fn fits(answered: &[Codec], offered: &[Codec]) -> bool {
    answered.iter().all(|codec| offered.iter().any(|o| o.pt == codec.pt && o.same_format(codec)))
}

fn payloads(codecs: &[Codec]) -> Result<Payloads, SdpRefusal> {
    let find = |name: &str| codecs.iter().find(|codec| codec.name == name);
    let opus = find(OPUS).ok_or(SdpRefusal::NoCommonCodec)?.pt;
    let red = find(RED).filter(|codec| red_over(codec) == Some(opus)).map(|codec| codec.pt);
    let telephone_event = find(TELEPHONE_EVENT).map(|codec| (codec.pt, codec.clock));
    Ok(Payloads { opus, red, telephone_event })
}
