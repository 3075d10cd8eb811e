//! Reading a description (RFC 8866) and refusing, with a reason, what would not be an encrypted call.

use std::net::IpAddr;

use sdp_types::{Media, Session};

use super::attribute::Attributes;
use super::candidate::{Candidate, Ice, MAX_CANDIDATES, is_ice_text};
use super::codec::Codec;
use super::description::{DEFAULT_PTIME_MS, Description, Direction, Origin, OtherMedia, Setup, Transport};
use super::fingerprint::Fingerprint;
use super::refusal::SdpRefusal;

/// Largest description; those of browsers with many candidates stay below 8 KiB.
pub const MAX_SDP_LEN: usize = 16 * 1024;
/// Most media lines.
pub const MAX_MEDIA: usize = 16;
/// Most attributes over all levels.
pub const MAX_ATTRIBUTES: usize = 256;

/// Longest ring ticket or resume proof; ours have 128 and 64 characters.
const MAX_TICKET: usize = 256;
/// Longest sound per packet that is taken over; Opus packets end at 120 ms.
const MAX_PTIME_MS: u16 = 120;

pub(super) fn read(bytes: &[u8]) -> Result<Description, SdpRefusal> {
    if bytes.len() > MAX_SDP_LEN {
        return Err(SdpRefusal::TooLarge);
    }
    check_counts(bytes)?;
    let session = Session::parse(bytes).map_err(|_| SdpRefusal::Malformed)?;
    let index = audio_line(&session)?;
    let media = &session.medias[index];
    let attributes = Attributes { media: &media.attributes, session: &session.attributes };
    let transport = transport(media, &attributes)?;
    let fingerprint = fingerprint(&attributes)?;
    Ok(Description {
        origin: Origin { id: session.origin.sess_id.parse().unwrap_or_default(), version: session.origin.sess_version },
        address: address(&session, media)?,
        port: media.port,
        transport,
        direction: direction(&attributes),
        fingerprint,
        setup: setup(&attributes)?,
        tls_id: attributes.value("tls-id").filter(|id| is_tls_id(id)).map(str::to_owned),
        ice: ice(&attributes),
        rtcp_mux: attributes.has("rtcp-mux"),
        codecs: codecs(media)?,
        vfy: attributes.value("vfy") == Some("1"),
        pq: attributes.value("vfy-pq") == Some("1"),
        ring_ticket: ticket(&attributes, "vfy-ring"),
        resume: ticket(&attributes, "vfy-resume"),
        ptime_ms: ptime_ms(&attributes),
        other_media: other_media(&session, index)?,
    })
}

/// Counts lines before anything is built from them.
fn check_counts(bytes: &[u8]) -> Result<(), SdpRefusal> {
    let (mut media, mut attributes) = (0, 0);
    for line in bytes.split(|&byte| matches!(byte, b'\n' | b'\r')) {
        match line.get(..2) {
            Some(b"m=") => media += 1,
            Some(b"a=") => attributes += 1,
            _ => {}
        }
    }
    if media > MAX_MEDIA || attributes > MAX_ATTRIBUTES {
        return Err(SdpRefusal::TooLarge);
    }
    Ok(())
}

/// The first audio line that is switched on and whose transport we speak, else the first audio line at
/// all, so that its refusal has a fitting reason.
fn audio_line(session: &Session) -> Result<usize, SdpRefusal> {
    let audio = |media: &&(usize, &Media)| media.1.media == "audio" && media.1.port != 0;
    let lines: Vec<(usize, &Media)> = session.medias.iter().enumerate().collect();
    let ours = lines.iter().filter(audio).find(|(_, media)| dtls_transport(&media.proto).is_some());
    let found = ours.or_else(|| lines.iter().find(audio));
    found.map(|(index, _)| *index).ok_or(SdpRefusal::NoAudio)
}

fn dtls_transport(proto: &str) -> Option<Transport> {
    [Transport::UdpTlsRtpSavp, Transport::UdpTlsRtpSavpf]
        .into_iter()
        .find(|transport| transport.as_str().eq_ignore_ascii_case(proto))
}

fn transport(media: &Media, attributes: &Attributes<'_>) -> Result<Transport, SdpRefusal> {
    if let Some(transport) = dtls_transport(&media.proto) {
        return Ok(transport);
    }
    let profile = media.proto.to_ascii_uppercase();
    if !matches!(profile.as_str(), "RTP/AVP" | "RTP/AVPF" | "RTP/SAVP" | "RTP/SAVPF") {
        return Err(SdpRefusal::UnknownTransport);
    }
    Err(match profile.as_str() {
        _ if attributes.has("crypto") => SdpRefusal::Sdes,
        _ if attributes.has("zrtp-hash") => SdpRefusal::ZrtpOnly,
        "RTP/AVP" | "RTP/AVPF" => SdpRefusal::PlainRtp,
        _ if attributes.has("fingerprint") => SdpRefusal::UnknownTransport,
        _ => SdpRefusal::Sdes,
    })
}

fn fingerprint(attributes: &Attributes<'_>) -> Result<Fingerprint, SdpRefusal> {
    let mut found = None;
    let mut any = false;
    for value in attributes.values("fingerprint") {
        any = true;
        let Some((hash, digits)) = value.split_once(' ') else { continue };
        if !hash.eq_ignore_ascii_case("sha-256") {
            continue;
        }
        let fingerprint = Fingerprint::parse(digits.trim()).ok_or(SdpRefusal::Malformed)?;
        // Two different SHA-256 values would let a man in the middle add his own.
        if found.replace(fingerprint).is_some_and(|earlier| earlier != fingerprint) {
            return Err(SdpRefusal::WeakFingerprint);
        }
    }
    match (found, any) {
        (Some(fingerprint), _) => Ok(fingerprint),
        (None, true) => Err(SdpRefusal::WeakFingerprint),
        (None, false) => Err(SdpRefusal::NoFingerprint),
    }
}

fn address(session: &Session, media: &Media) -> Result<Option<IpAddr>, SdpRefusal> {
    let connection = media.connections.first().or(session.connection.as_ref());
    let Some(connection) = connection else { return Ok(None) };
    // A host name would make us look it up, and tell a resolver who calls.
    let address: IpAddr = connection.connection_address.parse().map_err(|_| SdpRefusal::Malformed)?;
    Ok((!address.is_unspecified()).then_some(address))
}

fn direction(attributes: &Attributes<'_>) -> Direction {
    [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .find(|direction| attributes.media_or_session_direction(*direction))
        .unwrap_or_default()
}

fn setup(attributes: &Attributes<'_>) -> Result<Setup, SdpRefusal> {
    let value = attributes.value("setup").ok_or(SdpRefusal::BadSetup)?;
    [Setup::Active, Setup::Passive, Setup::ActPass]
        .into_iter()
        .find(|setup| setup.as_str().eq_ignore_ascii_case(value))
        .ok_or(SdpRefusal::BadSetup)
}

fn ice(attributes: &Attributes<'_>) -> Option<Ice> {
    let ufrag = attributes.value("ice-ufrag").filter(|text| is_ice_text(text, 4))?;
    let pwd = attributes.value("ice-pwd").filter(|text| is_ice_text(text, 22))?;
    let candidates = attributes.values("candidate").filter_map(Candidate::parse);
    Some(Ice {
        ufrag: ufrag.to_owned(),
        pwd: pwd.to_owned(),
        lite: attributes.has("ice-lite"),
        candidates: candidates.take(MAX_CANDIDATES).collect(),
    })
}

fn codecs(media: &Media) -> Result<Vec<Codec>, SdpRefusal> {
    let attributes = Attributes { media: &media.attributes, session: &[] };
    let mut codecs: Vec<Codec> = Vec::new();
    for format in media.fmt.split_ascii_whitespace() {
        let pt = format.parse().ok().filter(|pt| *pt < 128).ok_or(SdpRefusal::Malformed)?;
        if codecs.iter().any(|codec| codec.pt == pt) {
            return Err(SdpRefusal::Malformed);
        }
        // Static payload types without a map (PCMU, …) are none of ours.
        let Some(mut codec) = attributes.values("rtpmap").find_map(|map| rtpmap(map, pt)) else {
            continue;
        };
        codec.fmtp = attributes.values("fmtp").find_map(|value| {
            let (number, parameters) = value.split_once(' ')?;
            let parameters = parameters.trim();
            (number.parse() == Ok(pt) && !parameters.is_empty()).then(|| parameters.to_owned())
        });
        codecs.push(codec);
    }
    if codecs.is_empty() { Err(SdpRefusal::NoCommonCodec) } else { Ok(codecs) }
}

/// `PT name/clock[/channels]`
fn rtpmap(value: &str, pt: u8) -> Option<Codec> {
    let (number, encoding) = value.split_once(' ')?;
    if number.parse() != Ok(pt) {
        return None;
    }
    let mut parts = encoding.trim().split('/');
    let name = parts.next().filter(|name| is_token(name))?.to_ascii_lowercase();
    let clock = parts.next()?.parse().ok()?;
    let channels = parts.next().map_or(Some(1), |channels| channels.parse().ok()).filter(|channels| *channels > 0)?;
    if parts.next().is_some() {
        return None;
    }
    Some(Codec { pt, name, clock, channels, fmtp: None })
}

fn ptime_ms(attributes: &Attributes<'_>) -> u16 {
    let value = attributes.value("ptime").and_then(|value| value.trim().parse::<u16>().ok());
    value.filter(|ms| (1..=MAX_PTIME_MS).contains(ms)).unwrap_or(DEFAULT_PTIME_MS)
}

fn ticket(attributes: &Attributes<'_>, name: &str) -> Option<String> {
    let opaque = |text: &&str| !text.is_empty() && text.len() <= MAX_TICKET && text.bytes().all(is_base64_byte);
    attributes.value(name).filter(opaque).map(str::to_owned)
}

pub(super) fn is_base64_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// `20*255(tls-id-char)` (RFC 8842 §4).
pub(super) fn is_tls_id(text: &str) -> bool {
    (20..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_'))
}

pub(super) fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

/// The lines we refuse one by one. Their text comes back in the answer, so only harmless text is kept.
fn other_media(session: &Session, ours: usize) -> Result<Vec<OtherMedia>, SdpRefusal> {
    let words = |text: &str| text.split(' ').all(is_token);
    let transport = |text: &str| text.split('/').all(is_token);
    let lines = session.medias.iter().enumerate().filter(|(index, _)| *index != ours);
    lines
        .map(|(index, media)| {
            let fmt = media.fmt.trim();
            if !is_token(&media.media) || !transport(&media.proto) || !words(fmt) {
                return Err(SdpRefusal::Malformed);
            }
            Ok(OtherMedia { index, media: media.media.clone(), proto: media.proto.clone(), fmt: fmt.to_owned() })
        })
        .collect()
}

impl Attributes<'_> {
    /// A direction on the media level hides any on the session level.
    fn media_or_session_direction(&self, wanted: Direction) -> bool {
        let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        let names = |direction: Direction, attribute: &sdp_types::Attribute| {
            attribute.attribute.eq_ignore_ascii_case(direction.as_str())
        };
        let level = [self.media, self.session]
            .into_iter()
            .find(|level| level.iter().any(|attribute| all.iter().any(|d| names(*d, attribute))));
        level.is_some_and(|level| level.iter().any(|attribute| names(wanted, attribute)))
    }
}
