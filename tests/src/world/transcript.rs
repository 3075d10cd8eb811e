//! Everything that came out of a run, in a form in which two runs can be compared.
//!
//! Compared bit for bit, with their virtual time: every signalling message in both directions, every event a person
//! sees, every order to the relay, time, size and direction of every STUN, RTP and RTCP datagram, and every sample that
//! each speaker played. Masked, because the cryptographic libraries draw it themselves: the certificates' fingerprints
//! in SDP, the safety words, the size and contents of DTLS datagrams (signatures differ in length) and the ciphertext of media.
//! On lines that lose datagrams the DTLS engine's own retransmission jitter moves the beginning of the sound;
//! there, runs are equal only once keys exist before the loss begins.

use ring::digest::{Context, SHA256};
use std::fmt::Write as _;
use std::time::Duration;

/// What came out of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    lines: Vec<String>,
}

impl Transcript {
    pub(super) fn add(&mut self, at: Duration, what: &str) {
        self.lines.push(format!("{:>12} µs {what}", at.as_micros()));
    }

    /// The lines, one per output.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// SHA-256 over all lines.
    pub fn digest(&self) -> String {
        let mut context = Context::new(&SHA256);
        for line in &self.lines {
            context.update(line.as_bytes());
            context.update(b"\n");
        }
        context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The first line that differs, with its number.
    pub fn first_difference<'a>(&'a self, other: &'a Self) -> Option<(usize, &'a str, &'a str)> {
        let longest = self.lines.len().max(other.lines.len());
        let line = |lines: &'a [String], n: usize| lines.get(n).map_or("(nothing)", String::as_str);
        (0..longest).map(|n| (n, line(&self.lines, n), line(&other.lines, n))).find(|(_, a, b)| a != b)
    }
}

/// A signalling message without what differs from run to run.
pub(super) fn masked(message: &str) -> String {
    let mask = |line: &str| match line.split_once("a=fingerprint:") {
        Some((before, _)) => format!("{before}a=fingerprint:…"),
        None => line.to_owned(),
    };
    message.split("\r\n").map(mask).collect::<Vec<_>>().join("⏎")
}

/// What a speaker played, as a short text.
pub(super) fn sound_digest(samples: &[f32]) -> String {
    let mut context = Context::new(&SHA256);
    samples.iter().for_each(|sample| context.update(&sample.to_le_bytes()));
    context.finish().as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}
