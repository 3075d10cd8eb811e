//! Telephone events (RFC 4733): digits sent as events, never as tones, and events received once each.
//!
//! Sender ladder (§2.5.1): `Idle → Sounding (one report per packet, duration grows) → Ending (the last
//! report with the end bit, three times) → Pause → Idle or the next queued digit`.

use std::collections::VecDeque;

/// Length of the payload of one event (§2.3).
pub const EVENT_LEN: usize = 4;

/// "Held" inside the encrypted channel between our phones: a code IANA has not assigned, so no tone is
/// ever made of it. It is repeated in every packet while the call is held.
pub const HELD_EVENT: u8 = 240;

/// Digits waiting to be sent; more than a person types ahead, and a bound for a stuck key.
pub const MAX_QUEUED_DIGITS: usize = 32;

/// How long one digit sounds: RFC 4733 §2.5.2.3 asks for at least 40 ms; 100 ms every gateway takes.
const DIGIT_SAMPLES: u32 = 4_800;

/// Silence between two digits, so that equal digits stay two digits.
const PAUSE_SAMPLES: u32 = 4_800;

/// The final report is sent this often (§2.5.1.4).
const END_REPORTS: u8 = 3;

/// Level of a digit in dBm0 without its sign; the tone the receiver would make.
const VOLUME: u8 = 10;

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// One report of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Which event (§3.2).
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Loudness, in dBm0 without its sign.
    pub volume: u8,
    /// Samples since the event began.
    pub duration: u16,
}

impl Report {
    /// Reads the first four bytes of a payload (a payload may carry several reports; the first counts).
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low] = payload.first_chunk::<EVENT_LEN>()?;
        Some(Self { event, end: flags & 0x80 != 0, volume: flags & 0x3f, duration: u16::from_be_bytes([high, low]) })
    }

    /// The four bytes on the wire.
    pub fn to_bytes(self) -> [u8; EVENT_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.end) << 7) | (self.volume & 0x3f), high, low]
    }
}

/// The event code of a key, letters in either case.
pub fn event_of(digit: char) -> Option<u8> {
    let digit = u8::try_from(digit.to_ascii_uppercase()).ok()?;
    DIGITS.iter().position(|&known| known == digit).and_then(|at| u8::try_from(at).ok())
}

/// The key of an event code; `None` for events that are not keys.
pub fn digit_of(event: u8) -> Option<char> {
    DIGITS.get(usize::from(event)).map(|&digit| char::from(digit))
}

/// What the sender puts into the next packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// The report.
    pub report: Report,
    /// Timestamp of the event's begin: constant through all of its reports (§2.2.1).
    pub timestamp: u32,
    /// First report of the event: the marker bit towards foreign phones (§2.2.2).
    pub first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Idle,
    Sounding { event: u8, begun: u32 },
    Ending { event: u8, begun: u32, duration: u16, left: u8 },
    Pause { since: u32 },
}

/// Turns queued digits into reports, one per packet.
#[derive(Debug)]
pub struct Sender {
    queue: VecDeque<u8>,
    sending: Sending,
}

impl Default for Sender {
    fn default() -> Self {
        Self { queue: VecDeque::with_capacity(MAX_QUEUED_DIGITS), sending: Sending::Idle }
    }
}

impl Sender {
    /// Queues a key; false if it is no key or too many wait already.
    pub fn push(&mut self, digit: char) -> bool {
        let Some(event) = event_of(digit) else { return false };
        if self.queue.len() >= MAX_QUEUED_DIGITS {
            return false;
        }
        self.queue.push_back(event);
        true
    }

    /// The report that goes with the packet of this timestamp, if a digit is being sent.
    pub fn next(&mut self, timestamp: u32) -> Option<Outgoing> {
        if let Sending::Pause { since } = self.sending
            && timestamp.wrapping_sub(since) >= PAUSE_SAMPLES
        {
            self.sending = Sending::Idle;
        }
        match self.sending {
            Sending::Pause { .. } => None,
            Sending::Idle => {
                let event = self.queue.pop_front()?;
                self.sending = Sending::Sounding { event, begun: timestamp };
                Some(outgoing(event, timestamp, 0, false, true))
            }
            Sending::Sounding { event, begun } => {
                let lasted = timestamp.wrapping_sub(begun);
                let duration = u16::try_from(lasted).unwrap_or(u16::MAX);
                if lasted < DIGIT_SAMPLES {
                    return Some(outgoing(event, begun, duration, false, false));
                }
                self.sending = Sending::Ending { event, begun, duration, left: END_REPORTS - 1 };
                Some(outgoing(event, begun, duration, true, false))
            }
            Sending::Ending { event, begun, duration, left } => {
                self.sending = match left - 1 {
                    0 => Sending::Pause { since: timestamp },
                    left => Sending::Ending { event, begun, duration, left },
                };
                Some(outgoing(event, begun, duration, true, false))
            }
        }
    }
}

/// Recognises each received event once, whatever is lost, repeated or reordered.
#[derive(Debug, Default)]
pub struct Receiver {
    latest: Option<u32>,
}

impl Receiver {
    /// Takes a report with the timestamp of the event's begin; gives the key once per event.
    pub fn handle(&mut self, report: Report, timestamp: u32) -> Option<char> {
        let digit = digit_of(report.event)?;
        let newer = self.latest.is_none_or(|latest| {
            let ahead = timestamp.wrapping_sub(latest);
            ahead != 0 && ahead < 1 << 31
        });
        if !newer {
            return None;
        }
        self.latest = Some(timestamp);
        Some(digit)
    }

    /// Forgets the last event: for a new stream with other timestamps.
    pub fn reset(&mut self) {
        self.latest = None;
    }
}

fn outgoing(event: u8, timestamp: u32, duration: u16, end: bool, first: bool) -> Outgoing {
    Outgoing { report: Report { event, end, volume: VOLUME, duration }, timestamp, first }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn run(digits: &str, packets: u32, start: u32) -> Vec<(u32, Option<Outgoing>)> {
        let mut sender = Sender::default();
        assert!(digits.chars().all(|digit| sender.push(digit)));
        (0..packets).map(|n| start.wrapping_add(n * 960)).map(|ts| (ts, sender.next(ts))).collect()
    }

    #[test]
    fn a_digit_grows_ends_three_times_and_pauses() {
        let reports: Vec<_> = run("5", 20, 0xffff_f000).into_iter().filter_map(|(_, out)| out).collect();
        assert_eq!(reports.len(), 8);
        assert!(reports.iter().all(|out| out.timestamp == 0xffff_f000 && out.report.event == 5));
        assert_eq!(reports.iter().filter(|out| out.report.end).count(), 3);
        assert_eq!(reports.iter().filter(|out| out.first).count(), 1);
        assert!(reports[5..].iter().all(|out| out.report.end && out.report.duration == 4_800));
    }

    #[test]
    fn every_key_arrives_once_even_if_half_of_the_reports_are_lost() {
        let keys = "0123456789*#abcd11";
        for parity in 0..2 {
            let mut receiver = Receiver::default();
            let heard: String = run(keys, 400, 77)
                .into_iter()
                .filter_map(|(_, out)| out)
                .enumerate()
                .filter(|(n, _)| n % 2 == parity)
                .filter_map(|(_, out)| receiver.handle(out.report, out.timestamp))
                .collect();
            assert_eq!(heard, keys.to_uppercase());
        }
    }

    #[test]
    fn repeated_and_older_reports_are_not_a_second_digit() {
        let mut receiver = Receiver::default();
        let report = Report { event: 1, end: true, volume: 0, duration: 9 };
        assert_eq!(receiver.handle(report, 5_000), Some('1'));
        assert_eq!(receiver.handle(report, 5_000), None);
        assert_eq!(receiver.handle(report, 100), None);
        assert_eq!(receiver.handle(Report { event: HELD_EVENT, ..report }, 9_000), None);
        assert_eq!(receiver.handle(report, 9_000), Some('1'));
    }

    #[test]
    fn a_stuck_key_fills_the_queue_and_no_more() {
        let mut sender = Sender::default();
        let taken = (0..100).filter(|_| sender.push('1')).count();
        assert_eq!(taken, MAX_QUEUED_DIGITS);
        assert!(!sender.push('x'));
        assert!(!sender.push('ß'));
    }

    proptest! {
        #[test]
        fn reports_round_trip(event: u8, end: bool, volume in 0u8..64, duration: u16) {
            let report = Report { event, end, volume, duration };
            prop_assert_eq!(Report::parse(&report.to_bytes()), Some(report));
        }
    }
}
