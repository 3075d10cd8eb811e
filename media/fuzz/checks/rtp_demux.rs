//! A datagram from the media port, taken as RTP or RTCP by its second byte, under keys the fuzzer
//! does not have to guess: what it invents is also protected by the peer, so that the paths behind
//! the tag are reached.

use undertone_media::dtls::Role;
use undertone_media::srtp::{Context, ExporterBlock, Profile, SsrcPolicy, is_rtcp};

/// Room for tag and index word behind a packet.
const OVERHEAD: usize = 20;

/// Panics where something does not hold.
pub fn check(bytes: &[u8]) {
    for profile in [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80] {
        let exported = vec![7; profile.exporter_len()];
        let Some(keys) = ExporterBlock::new(profile, &exported) else { return };
        let mut receiver = Context::new(&keys, Role::Server, SsrcPolicy::Foreign);
        let mut sender = Context::new(&keys, Role::Client, SsrcPolicy::Foreign);

        let mut packet = bytes.to_vec();
        let _ = open(&mut receiver, &mut packet);

        let mut packet = bytes.to_vec();
        packet.resize(bytes.len() + OVERHEAD, 0);
        let sealed = if is_rtcp(bytes) {
            sender.protect_rtcp(&mut packet, bytes.len())
        } else {
            sender.protect_rtp(&mut packet, bytes.len())
        };
        if let Ok(len) = sealed {
            let mut copy = packet[..len].to_vec();
            let opened = open(&mut receiver, &mut packet[..len]).map(|len| &packet[..len]);
            assert!(opened.is_none_or(|opened| opened == bytes), "opened to something else");
            assert_eq!(open(&mut receiver, &mut copy), None, "opened twice");
        }
    }
}

fn open(context: &mut Context, packet: &mut [u8]) -> Option<usize> {
    if is_rtcp(packet) { context.unprotect_rtcp(packet).ok() } else { context.unprotect_rtp(packet).ok() }
}
