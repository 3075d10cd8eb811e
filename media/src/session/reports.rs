//! The reports of one session: what is said about the other side's stream and what it says about ours.

use std::time::Instant;

use rand_core::RngCore;

use super::stats::Network;
use crate::rtcp::{self, Compound, NtpClock, Reception, Report, ReportBlock, Schedule, SenderInfo, duration_of};

/// Length of the random name: 96 bits in hexadecimal (RFC 7022 §4.2).
const CNAME_LEN: usize = 24;

/// Reports sent and received.
pub(super) struct Reports {
    schedule: Schedule,
    clock: NtpClock,
    cname: [u8; CNAME_LEN],
    /// Length every report is filled up to; none towards foreign phones.
    total: Option<usize>,
    network: Network,
    expected_loss_percent: u8,
}

impl Reports {
    pub(super) fn new(rng: &mut impl RngCore, total: Option<usize>, now: Instant) -> Self {
        Self {
            schedule: Schedule::new(rng, now),
            clock: NtpClock::new(rng, now),
            cname: drawn_name(rng),
            total,
            network: Network::default(),
            expected_loss_percent: 0,
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.schedule.next()
    }

    pub(super) fn take_due(&mut self, rng: &mut impl RngCore, now: Instant) -> bool {
        self.schedule.take_due(rng, now)
    }

    pub(super) fn ntp(&self, now: Instant) -> u64 {
        self.clock.at(now)
    }

    /// What the other side says about the path, and the round trip.
    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// Loss the encoder should prepare for.
    pub(super) fn expected_loss_percent(&self) -> u8 {
        self.expected_loss_percent
    }

    /// Writes a report to the front of `out`; returns its length.
    pub(super) fn write(
        &self,
        ssrc: u32,
        sender: Option<SenderInfo>,
        reception: Option<&mut Reception>,
        now: Instant,
        out: &mut [u8],
    ) -> Option<usize> {
        let block = reception.map(|reception| reception.report(now));
        Compound { ssrc, sender, block, cname: &self.cname }.write(out, self.total)
    }

    /// Takes an authenticated compound packet; false if it is malformed.
    pub(super) fn handle(
        &mut self,
        packet: &[u8],
        own_ssrc: u32,
        mut reception: Option<&mut Reception>,
        now: Instant,
    ) -> bool {
        rtcp::parse(packet, |report| match report {
            Report::Sender(info) => {
                if let Some(reception) = reception.as_deref_mut() {
                    reception.handle_sender_report(info.ntp, now);
                }
            }
            Report::Block(block) if block.ssrc == own_ssrc => self.note(block, now),
            Report::Block(_) => {}
        })
    }

    fn note(&mut self, block: ReportBlock, now: Instant) {
        self.network.loss_sent = f32::from(block.fraction_lost) / 256.0;
        self.network.jitter_at_peer = duration_of(block.jitter as usize);
        let measured = self.clock.round_trip(block.last_sender_report, block.delay_since, now);
        self.network.round_trip = measured.or(self.network.round_trip);
        let percent = (u16::from(block.fraction_lost) * 100 / 256) as u8;
        // Loss comes back: what was prepared for is given up by halves.
        self.expected_loss_percent = percent.max(self.expected_loss_percent / 2);
    }
}

fn drawn_name(rng: &mut impl RngCore) -> [u8; CNAME_LEN] {
    let mut random = [0u8; CNAME_LEN / 2];
    rng.fill_bytes(&mut random);
    let mut name = [0; CNAME_LEN];
    for (pair, byte) in name.chunks_exact_mut(2).zip(random) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0x0f)];
    }
    name
}

const HEX: &[u8; 16] = b"0123456789abcdef";
