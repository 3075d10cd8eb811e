//! What we write is judged by another implementation, and what it writes we read.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rtc_rtcp::packet;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::SourceDescription;
use rtc_rtcp::{receiver_report::ReceiverReport, reception_report::ReceptionReport};
use rtc_shared::marshal::Marshal;

use super::*;

const SENDER: SenderInfo = SenderInfo { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 9, packets: 10, octets: 11 };
const BLOCK: ReportBlock = ReportBlock {
    ssrc: 77,
    fraction_lost: 64,
    cumulative_lost: -3,
    highest_sequence: 0x0001_ffff,
    jitter: 480,
    last_sender_report: 0x0304_0506,
    delay_since: 65_536,
};

fn read(packet: &[u8]) -> (bool, Vec<Report>) {
    let mut reports = Vec::new();
    (parse(packet, |report| reports.push(report)), reports)
}

#[test]
fn a_written_compound_reads_back_and_is_understood_by_others() {
    let compound = Compound { ssrc: 5, sender: Some(SENDER), block: Some(BLOCK), cname: b"0123456789abcdef01234567" };
    let mut out = [0xa5; 200];
    let len = compound.write(&mut out, Some(168)).unwrap();
    assert_eq!(len, 168);
    assert_eq!(read(&out[..len]), (true, vec![Report::Sender(SENDER), Report::Block(BLOCK)]));

    let packets = packet::unmarshal(&mut &out[..len]).unwrap();
    assert_eq!(packets.len(), 3);
    let report = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
    assert_eq!((report.ssrc, report.ntp_time, report.rtp_time), (5, SENDER.ntp, 9));
    assert_eq!((report.packet_count, report.octet_count), (10, 11));
    assert_eq!((report.reports[0].ssrc, report.reports[0].fraction_lost, report.reports[0].jitter), (77, 64, 480));
    assert_eq!(report.reports[0].last_sequence_number, 0x0001_ffff);
    let description = packets[1].as_any().downcast_ref::<SourceDescription>().unwrap();
    assert_eq!(description.chunks[0].source, 5);
    assert_eq!(&description.chunks[0].items[0].text[..], compound.cname);
}

#[test]
fn every_combination_of_reports_fills_up_to_the_same_size() {
    for sender in [None, Some(SENDER)] {
        for block in [None, Some(BLOCK)] {
            let compound = Compound { ssrc: 5, sender, block, cname: b"0123456789abcdef01234567" };
            let mut out = [0; 600];
            for total in [112, 168, 328, 488] {
                assert_eq!(compound.write(&mut out, Some(total)), Some(total));
                assert!(packet::unmarshal(&mut &out[..total]).is_ok());
                assert_eq!(read(&out[..total]).1.len(), usize::from(sender.is_some()) + usize::from(block.is_some()));
            }
            assert_eq!(compound.write(&mut out, Some(20)), None);
            assert_eq!(compound.write(&mut out, Some(170)), None);
            assert_eq!(compound.write(&mut out[..30], None), None);
        }
    }
}

#[test]
fn reports_of_others_are_read() {
    let theirs = ReceiverReport {
        ssrc: 1,
        reports: vec![
            ReceptionReport { ssrc: 2, total_lost: 0x00ff_fffd, delay: 7, ..Default::default() },
            ReceptionReport { ssrc: 3, ..Default::default() },
        ],
        ..Default::default()
    };
    let bytes = theirs.marshal().unwrap();
    let (whole, reports) = read(&bytes);
    assert!(whole && reports.len() == 2);
    let Report::Block(first) = reports[0] else { panic!("a block was expected") };
    assert_eq!((first.ssrc, first.cumulative_lost, first.delay_since), (2, -3, 7));
}

#[test]
fn loss_and_highest_sequence_follow_rfc_3550_a3() {
    let start = Instant::now();
    let mut reception = Reception::new(9, 65_530, 0, start);
    for n in 1..100u32 {
        if n % 10 == 5 {
            continue;
        }
        let at = start + Duration::from_millis(u64::from(n) * 20);
        reception.handle_packet((65_530 + n) as u16, Some(n * 960), at);
    }
    let report = reception.report(start + Duration::from_secs(2));
    assert_eq!(report.highest_sequence, 65_530 + 99);
    assert_eq!((report.cumulative_lost, report.fraction_lost), (10, (10 * 256 / 100) as u8));
    assert_eq!(report.jitter, 0);
    assert!((reception.loss() - 0.1).abs() < 1e-6);
    let nothing_new = reception.report(start + Duration::from_secs(3));
    assert_eq!((nothing_new.fraction_lost, nothing_new.cumulative_lost), (0, 10));
}

#[test]
fn jitter_tends_to_the_mean_deviation() {
    let start = Instant::now();
    let mut reception = Reception::new(9, 0, 0, start);
    for n in 1..1_000u32 {
        let at = start + Duration::from_millis(u64::from(n * 20 + n % 2 * 10));
        reception.handle_packet(n as u16, Some(n * 960), at);
    }
    let jitter = reception.jitter();
    assert!(jitter > Duration::from_micros(9_500) && jitter < Duration::from_micros(10_100), "{jitter:?}");
}

#[test]
fn duplicates_make_loss_negative_rather_than_huge() {
    let start = Instant::now();
    let mut reception = Reception::new(9, 0, 0, start);
    reception.handle_packet(1, Some(960), start);
    reception.handle_packet(1, None, start);
    let report = reception.report(start);
    assert_eq!((report.cumulative_lost, report.fraction_lost), (-1, 0));
    assert_eq!(reception.loss(), 0.0);
}

#[test]
fn the_round_trip_leaves_out_the_time_the_other_side_took() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let start = Instant::now();
    let ours = NtpClock::new(&mut rng, start);
    let sent_at = start + Duration::from_secs(3);
    let mut there = Reception::new(1, 0, 0, start);
    there.handle_sender_report(ours.at(sent_at), sent_at + Duration::from_millis(40));
    let block = there.report(sent_at + Duration::from_millis(2_040));
    let back_at = sent_at + Duration::from_millis(2_080);
    let round_trip = ours.round_trip(block.last_sender_report, block.delay_since, back_at).unwrap();
    assert!(round_trip.abs_diff(Duration::from_millis(80)) < Duration::from_millis(1), "{round_trip:?}");
    assert_eq!(ours.round_trip(0, 0, back_at), None, "no sender report was seen");
    assert_eq!(ours.round_trip(block.last_sender_report, u32::MAX / 2, back_at), None, "an impossible delay");
}

#[test]
fn two_clocks_do_not_start_alike() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let now = Instant::now();
    assert_ne!(NtpClock::new(&mut rng, now).at(now) >> 32, NtpClock::new(&mut rng, now).at(now) >> 32);
}

#[test]
fn reports_are_due_early_first_and_then_every_five_seconds_on_average() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let start = Instant::now();
    let mut schedule = Schedule::new(&mut rng, start);
    let first = schedule.next() - start;
    assert!(first >= Duration::from_millis(500) && first <= Duration::from_millis(1_500));
    assert!(!schedule.take_due(&mut rng, start));
    let mut gaps = Vec::new();
    for _ in 0..500 {
        let now = schedule.next();
        assert!(schedule.take_due(&mut rng, now));
        gaps.push((schedule.next() - now).as_secs_f64());
    }
    assert!(gaps.iter().all(|gap| (2.5..=7.5).contains(gap)));
    let mean = gaps.iter().sum::<f64>() / 500.0;
    assert!((mean - 5.0).abs() < 0.3, "{mean}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn any_damage_to_a_good_packet_is_survived(at in 0usize..168, value: u8) {
        let compound = Compound { ssrc: 5, sender: Some(SENDER), block: Some(BLOCK), cname: b"name" };
        let mut out = [0; 168];
        compound.write(&mut out, Some(168)).unwrap();
        out[at] = value;
        let (_, reports) = read(&out);
        prop_assert!(reports.len() <= 32);
    }
}
