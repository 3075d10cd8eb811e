//! What must hold for any decrypted datagrams, one after the other, from a peer with valid keys.

use std::time::{Duration, Instant};

use undertone_media::playout::{Incoming, Playout};
use undertone_media::rtp::telephone_event::{Receiver, Report};
use undertone_media::rtp::{Packet, red};
use undertone_media::{rtcp, srtp};

/// Payload type of the redundant packets in the corpus; everything else is taken as Opus.
const RED: u8 = 112;

/// Datagrams of one input: enough for every state of the playout buffer, few enough to be fast.
const MAX_DATAGRAMS: usize = 64;

/// Each datagram is preceded by its length (two bytes). Reading never panics, what is read lies inside
/// the datagram, and what is played is sound.
pub fn check(bytes: &[u8]) {
    let mut playout = Playout::new(20).expect("a codec can be made");
    let mut events = Receiver::default();
    let mut now = Instant::now();
    let mut block = [0.0; 1_024];
    let mut rest = bytes;
    for _ in 0..MAX_DATAGRAMS {
        let Some((&[high, low], after)) = rest.split_first_chunk::<2>() else { return };
        let length = usize::from(u16::from_be_bytes([high, low])) % 1_500;
        let Some((datagram, after)) = after.split_at_checked(length) else { return };
        rest = after;
        now += Duration::from_millis(1 + u64::from(low % 40));
        take(datagram, &mut playout, &mut events, now);
        let block = &mut block[..usize::from(low) * 4];
        playout.fill(block, now);
        assert!(block.iter().all(|sample| sample.abs() <= 1.0));
    }
}

fn take(datagram: &[u8], playout: &mut Playout, events: &mut Receiver, now: Instant) {
    if srtp::is_rtcp(datagram) {
        let mut reports = 0;
        rtcp::parse(datagram, |_| reports += 1);
        assert!(reports * 20 <= datagram.len());
        return;
    }
    let Some(Packet { header, payload }) = Packet::parse(datagram) else { return };
    let payload = &datagram[payload];
    if header.payload_type != RED {
        playout.insert(Incoming { timestamp: header.timestamp, opus: payload, redundant: false }, now);
        return;
    }
    let Some(blocks) = red::parse(payload) else { return };
    for block in blocks.as_slice() {
        let timestamp = header.timestamp.wrapping_sub(block.timestamp_offset);
        if let Some(report) = Report::parse(block.data) {
            events.handle(report, timestamp);
        }
        let redundant = block.timestamp_offset > 0;
        playout.insert(Incoming { timestamp, opus: block.data, redundant }, now);
    }
}
