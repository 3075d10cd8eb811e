//! The one template all descriptions are written from, so that they differ only in what they must.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::candidate::is_ice_text;
use super::codec::Codec;
use super::description::{Description, OtherMedia};
use super::read::{is_base64_byte, is_tls_id, is_token};

/// The description's bytes: our audio line and those refused, in the offer's order.
pub(super) fn write(description: &Description) -> Vec<u8> {
    let mut out = String::with_capacity(1024);
    let origin = description.origin;
    line(&mut out, format_args!("v=0"));
    line(&mut out, format_args!("o=- {} {} IN IP4 0.0.0.0", origin.id, origin.version));
    line(&mut out, format_args!("s=-"));
    line(&mut out, format_args!("t=0 0"));
    if description.ice.as_ref().is_some_and(|ice| ice.lite) {
        line(&mut out, format_args!("a=ice-lite"));
    }
    // Refused lines keep their place: the first one whose number does not follow on stands after ours.
    let others = description.other_media.iter().enumerate();
    let before = others.take_while(|(at, other)| other.index == *at).count();
    let (before, after) = description.other_media.split_at(before);
    before.iter().for_each(|other| write_refused(other, &mut out));
    write_audio(description, &mut out);
    after.iter().for_each(|other| write_refused(other, &mut out));
    out.into_bytes()
}

fn write_audio(description: &Description, out: &mut String) {
    let formats: String = description.codecs.iter().fold(String::new(), |text, codec| format!("{text} {}", codec.pt));
    let transport = description.transport.as_str();
    line(out, format_args!("m=audio {} {transport}{formats}", description.port));
    line(out, format_args!("{}", Connection(description.address)));
    line(out, format_args!("a=fingerprint:sha-256 {}", description.fingerprint));
    line(out, format_args!("a=setup:{}", description.setup.as_str()));
    if let Some(id) = description.tls_id.as_deref().filter(|id| is_tls_id(id)) {
        line(out, format_args!("a=tls-id:{id}"));
    }
    write_ice(description, out);
    line(out, format_args!("a={}", description.direction.as_str()));
    if description.rtcp_mux {
        line(out, format_args!("a=rtcp-mux"));
    }
    description.codecs.iter().for_each(|codec| write_codec(codec, out));
    line(out, format_args!("a=ptime:{}", description.ptime_ms));
    if description.vfy {
        line(out, format_args!("a=vfy:1"));
    }
    if description.pq {
        line(out, format_args!("a=vfy-pq:1"));
    }
    write_ticket("vfy-ring", description.ring_ticket.as_deref(), out);
    write_ticket("vfy-resume", description.resume.as_deref(), out);
}

struct Connection(Option<IpAddr>);

impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("c=IN IP4 0.0.0.0"),
            Some(IpAddr::V4(address)) => write!(f, "c=IN IP4 {address}"),
            Some(IpAddr::V6(address)) => write!(f, "c=IN IP6 {address}"),
        }
    }
}

fn write_ice(description: &Description, out: &mut String) {
    let Some(ice) = &description.ice else { return };
    if !is_ice_text(&ice.ufrag, 4) || !is_ice_text(&ice.pwd, 22) {
        return;
    }
    line(out, format_args!("a=ice-ufrag:{}", ice.ufrag));
    line(out, format_args!("a=ice-pwd:{}", ice.pwd));
    for (index, candidate) in ice.candidates.iter().enumerate() {
        let (address, port) = (candidate.addr.ip(), candidate.addr.port());
        let (foundation, priority) = (index + 1, candidate.priority);
        line(out, format_args!("a=candidate:{foundation} 1 UDP {priority} {address} {port} typ host"));
    }
}

fn write_codec(codec: &Codec, out: &mut String) {
    let Codec { pt, name, clock, channels, fmtp } = codec;
    if !is_token(name) {
        return;
    }
    let name = if name == super::codec::OPUS { "opus" } else { name };
    if *channels > 1 {
        line(out, format_args!("a=rtpmap:{pt} {name}/{clock}/{channels}"));
    } else {
        line(out, format_args!("a=rtpmap:{pt} {name}/{clock}"));
    }
    if let Some(fmtp) = fmtp.as_deref().filter(|text| !text.contains(['\r', '\n', '\0'])) {
        line(out, format_args!("a=fmtp:{pt} {fmtp}"));
    }
}

fn write_ticket(name: &str, value: Option<&str>, out: &mut String) {
    if let Some(value) = value.filter(|value| value.bytes().all(is_base64_byte)) {
        line(out, format_args!("a={name}:{value}"));
    }
}

fn write_refused(other: &OtherMedia, out: &mut String) {
    line(out, format_args!("m={} 0 {} {}", other.media, other.proto, other.fmt));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
    out.push_str("\r\n");
}
