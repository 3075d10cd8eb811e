//! Behaviour of a whole association: what one side protects the other opens, once, and nothing else.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const PROFILES: [Profile; 3] = [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80];
const SSRC: u32 = 0x0bad_cafe;

#[test]
fn what_one_side_protects_the_other_opens() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile, SsrcPolicy::Fixed);
        let sealed = rtp(&mut client, SSRC, 1);
        assert_eq!(sealed.len(), 12 + 80 + profile.rtp_overhead());
        assert_eq!(open(&mut server, &sealed), Ok(plain_rtp(SSRC, 1)));
        let sealed = rtcp(&mut client, SSRC);
        assert_eq!(sealed.len(), 28 + profile.rtcp_overhead());
        assert_eq!(open_rtcp(&mut server, &sealed), Ok(plain_rtcp(SSRC)));
        let sealed = rtp(&mut server, SSRC, 1);
        assert_eq!(open(&mut client, &sealed), Ok(plain_rtp(SSRC, 1)));
    }
}

#[test]
fn a_packet_does_not_come_back_to_its_sender() {
    for profile in PROFILES {
        let (mut client, _) = pair(profile, SsrcPolicy::Fixed);
        let sealed = rtp(&mut client, SSRC, 1);
        assert_eq!(open(&mut client, &sealed), Err(Discard::Unauthentic));
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused_and_changes_nothing() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile, SsrcPolicy::Fixed);
        let first = rtp(&mut client, SSRC, 1);
        let (rtp, rtcp) = (rtp(&mut client, SSRC, 2), rtcp(&mut client, SSRC));
        open(&mut server, &first).unwrap();
        for bit in 0..8 * rtp.len() {
            let mut forged = rtp.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&mut server, &forged).is_err(), "{profile} bit {bit}");
        }
        for bit in 0..8 * rtcp.len() {
            let mut forged = rtcp.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(open_rtcp(&mut server, &forged).is_err(), "{profile} RTCP bit {bit}");
        }
        for len in 0..rtp.len() {
            assert!(open(&mut server, &rtp[..len]).is_err());
        }
        for len in 0..rtcp.len() {
            assert!(open_rtcp(&mut server, &rtcp[..len]).is_err());
        }
        assert_eq!(open(&mut server, &rtp), Ok(plain_rtp(SSRC, 2)));
        assert_eq!(open_rtcp(&mut server, &rtcp), Ok(plain_rtcp(SSRC)));
    }
}

#[test]
fn a_forged_far_sequence_number_moves_no_window() {
    let (mut client, mut server) = pair(Profile::AeadAes256Gcm, SsrcPolicy::Fixed);
    let packets: Vec<_> = (1..=3).map(|sequence| rtp(&mut client, SSRC, sequence)).collect();
    open(&mut server, &packets[0]).unwrap();
    let mut forged = packets[1].clone();
    forged[2..4].copy_from_slice(&30_000_u16.to_be_bytes());
    assert_eq!(open(&mut server, &forged), Err(Discard::Unauthentic));
    assert_eq!(open(&mut server, &packets[2]), Ok(plain_rtp(SSRC, 3)));
    assert_eq!(open(&mut server, &packets[1]), Ok(plain_rtp(SSRC, 2)));
}

#[test]
fn a_replayed_packet_is_refused() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile, SsrcPolicy::Fixed);
        let (rtp, rtcp) = (rtp(&mut client, SSRC, 7), rtcp(&mut client, SSRC));
        open(&mut server, &rtp).unwrap();
        open_rtcp(&mut server, &rtcp).unwrap();
        assert_eq!(open(&mut server, &rtp), Err(Discard::Replayed));
        assert_eq!(open_rtcp(&mut server, &rtcp), Err(Discard::Replayed));
        assert_eq!(server.counters().accepted, 2);
        assert_eq!(server.counters().replayed, 2);
    }
}

#[test]
fn a_packet_128_behind_is_too_old_and_127_behind_is_not() {
    let (mut client, mut server) = pair(Profile::AeadAes256Gcm, SsrcPolicy::Fixed);
    let packets: Vec<_> = (0..=128).map(|sequence| rtp(&mut client, SSRC, sequence)).collect();
    open(&mut server, &packets[128]).unwrap();
    assert_eq!(open(&mut server, &packets[0]), Err(Discard::TooOld));
    assert!(open(&mut server, &packets[1]).is_ok());
}

#[test]
fn three_rollovers_with_loss_and_reordering_keep_both_sides_together() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile, SsrcPolicy::Fixed);
        let mut held: Option<Vec<u8>> = None;
        let mut opened = 0;
        for index in 20_000_u32..3 * 65_536 + 20_000 {
            let sealed = short_rtp(&mut client, index as u16);
            match index % 7 {
                3 => {}
                5 => held = Some(sealed),
                _ => {
                    opened += u32::from(open(&mut server, &sealed).is_ok());
                    if let Some(late) = held.take() {
                        opened += u32::from(open(&mut server, &late).is_ok());
                    }
                }
            }
        }
        assert_eq!(server.counters().accepted, u64::from(opened));
        assert!(opened >= 3 * 65_536 / 7 * 6 - 7);
        assert_eq!(server.counters().unauthentic, 0);
        assert_eq!(server.counters().too_old, 0);
    }
}

#[test]
fn the_first_authentic_packet_fixes_the_source() {
    let (mut client, mut server) = pair(Profile::AeadAes256Gcm, SsrcPolicy::Fixed);
    let mut forged = rtp(&mut client, SSRC, 1);
    forged[11] ^= 1;
    assert_eq!(open(&mut server, &forged), Err(Discard::Unauthentic));
    let sealed = rtp(&mut client, SSRC, 2);
    open(&mut server, &sealed).unwrap();
    let (mut twin, _) = pair(Profile::AeadAes256Gcm, SsrcPolicy::Fixed);
    let other = rtp(&mut twin, SSRC + 1, 3);
    assert_eq!(open(&mut server, &other), Err(Discard::OtherSource));
    assert_eq!(server.counters().other_source, 1);
}

#[test]
fn a_foreign_phone_gets_four_sources_each_with_its_own_replay_list() {
    let (_, mut server) = pair(Profile::AesCm128HmacSha1_80, SsrcPolicy::Foreign);
    let sent: Vec<_> =
        (0..5).map(|n| rtp(&mut pair(Profile::AesCm128HmacSha1_80, SsrcPolicy::Foreign).0, SSRC + n, 9)).collect();
    for packet in &sent[..4] {
        assert!(open(&mut server, packet).is_ok());
        assert_eq!(open(&mut server, packet), Err(Discard::Replayed));
    }
    assert_eq!(open(&mut server, &sent[4]), Err(Discard::OtherSource));
}

#[test]
fn unencrypted_rtcp_is_refused_even_if_authentic() {
    for profile in PROFILES {
        let (mut client, mut server) = pair(profile, SsrcPolicy::Fixed);
        let mut packet = rtcp(&mut client, SSRC);
        let behind = if profile == Profile::AesCm128HmacSha1_80 { 10 } else { 0 };
        let word = packet.len() - behind - 4;
        packet[word] &= 0x7f;
        assert_eq!(open_rtcp(&mut server, &packet), Err(Discard::NotEncrypted));
    }
}

#[test]
fn a_sequence_number_is_never_protected_twice() {
    let (mut client, _) = pair(Profile::AeadAes256Gcm, SsrcPolicy::Fixed);
    rtp(&mut client, SSRC, 5);
    for sequence in [5, 4, 0, 60_000] {
        let mut buffer = buffer(plain_rtp(SSRC, sequence));
        assert_eq!(client.protect_rtp(&mut buffer, 92), Err(ProtectError::SequenceReused));
    }
    let mut other = buffer(plain_rtp(SSRC + 1, 6));
    assert_eq!(client.protect_rtp(&mut other, 92), Err(ProtectError::OtherSource));
    let mut tight = plain_rtp(SSRC, 6);
    assert_eq!(client.protect_rtp(&mut tight, 92), Err(ProtectError::NoRoom));
    assert_eq!(client.protect_rtp(&mut tight, usize::MAX), Err(ProtectError::NoRoom));
}

#[test]
fn a_key_protects_no_more_packets_than_it_is_good_for() {
    let (mut client, _) = pair(Profile::AeadAes256Gcm, SsrcPolicy::Fixed);
    client.outbound.newest = Some(super::super::replay::MAX_RTP_INDEX - 1);
    client.outbound.next_rtcp_index = MAX_RTCP_INDEX;
    rtp(&mut client, SSRC, 0xffff);
    let mut over = buffer(plain_rtp(SSRC, 0));
    assert_eq!(client.protect_rtp(&mut over, 92), Err(ProtectError::KeyUsedUp));
    rtcp(&mut client, SSRC);
    let mut over = buffer(plain_rtcp(SSRC));
    assert_eq!(client.protect_rtcp(&mut over, 28), Err(ProtectError::KeyUsedUp));
}

proptest! {
    #[test]
    fn no_bytes_from_the_network_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), first in 0x80_u8..0xc0) {
        for profile in PROFILES {
            let (mut client, mut server) = pair(profile, SsrcPolicy::Foreign);
            for mut packet in [bytes.clone(), std::iter::once(first).chain(bytes.iter().copied()).collect()] {
                prop_assert!(server.unprotect_rtp(&mut packet.clone()).is_err());
                prop_assert!(server.unprotect_rtcp(&mut packet.clone()).is_err());
                let len = packet.len();
                packet.resize(len + 20, 0);
                let _ = client.protect_rtp(&mut packet.clone(), len);
                let _ = client.protect_rtcp(&mut packet, len);
            }
        }
    }
}

fn pair(profile: Profile, policy: SsrcPolicy) -> (Context, Context) {
    let exported: Vec<u8> = (0..).take(profile.exporter_len()).collect();
    let keys = ExporterBlock::new(profile, &exported).unwrap();
    (Context::new(&keys, Role::Client, policy), Context::new(&keys, Role::Server, policy))
}

fn plain_rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 1, 0]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..80).map(|n| n ^ sequence as u8));
    packet
}

fn plain_rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(0..20);
    packet
}

fn buffer(packet: Vec<u8>) -> Vec<u8> {
    let mut buffer = packet;
    buffer.resize(buffer.len() + 20, 0);
    buffer
}

fn rtp(context: &mut Context, ssrc: u32, sequence: u16) -> Vec<u8> {
    let plain = plain_rtp(ssrc, sequence);
    let len = plain.len();
    let mut buffer = buffer(plain);
    let len = context.protect_rtp(&mut buffer, len).unwrap();
    buffer.truncate(len);
    buffer
}

fn short_rtp(context: &mut Context, sequence: u16) -> Vec<u8> {
    let mut buffer = buffer(plain_rtp(SSRC, sequence)[..16].to_vec());
    let len = context.protect_rtp(&mut buffer, 16).unwrap();
    buffer.truncate(len);
    buffer
}

fn rtcp(context: &mut Context, ssrc: u32) -> Vec<u8> {
    let plain = plain_rtcp(ssrc);
    let len = plain.len();
    let mut buffer = buffer(plain);
    let len = context.protect_rtcp(&mut buffer, len).unwrap();
    buffer.truncate(len);
    buffer
}

fn open(context: &mut Context, sealed: &[u8]) -> Result<Vec<u8>, Discard> {
    let mut packet = sealed.to_vec();
    let len = context.unprotect_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn open_rtcp(context: &mut Context, sealed: &[u8]) -> Result<Vec<u8>, Discard> {
    let mut packet = sealed.to_vec();
    let len = context.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}
