//! Calls in virtual time over a simulated network: how late and how whole speech arrives, at how much loss.
//!
//! No socket, no device, no waiting: minutes of a call take seconds, and one seed gives one result on every machine,
//! however busy. Real code of the phone runs from captured sound to protected datagrams and back.

mod alignment;
mod call;

use std::io::Write;
use std::time::Duration;

use serde_json::json;
use undertone_tests::correlation;
use undertone_tests::live::Speech;

use crate::arguments::Simulate;
use crate::failure::Failure;
use alignment::Delay;
use call::{Heard, Line};

/// Loss of the rows of the table, in percent.
const TABLE: [f32; 5] = [0.0, 5.0, 10.0, 20.0, 30.0];
const RATE_HZ: usize = undertone_media::SAMPLE_RATE_HZ as usize;

/// One simulated call.
struct Row {
    line: Line,
    heard: Heard,
    likeness: Option<correlation::Likeness>,
    delay: Option<Delay>,
}

/// Runs the simulations and prints them.
///
/// # Errors
/// When speech cannot be rendered or nothing can be printed.
pub(crate) fn run(options: &Simulate) -> Result<(), Failure> {
    let folder = tempfile::tempdir()
        .map_err(|why| Failure::Unusable(format!("no temporary folder can be made ({why}): check TMPDIR")))?;
    let speech = Speech::render(folder.path(), "speech", "en", 0)?.samples;
    let mut out = std::io::stdout().lock();
    if !options.json {
        writeln!(out, "{}", heading(options))?;
    }
    for loss_percent in options.loss.map_or(TABLE.to_vec(), |loss| vec![loss]) {
        let line = Line {
            loss_percent,
            jitter: Duration::from_millis(options.jitter),
            latency: Duration::from_millis(options.latency),
            seed: options.seed,
        };
        let row = simulate(line, options.seconds, &speech)?;
        writeln!(out, "{}", if options.json { row.json(options) } else { row.text() })?;
        out.flush()?;
    }
    Ok(())
}

fn simulate(line: Line, seconds: u32, speech: &[f32]) -> Result<Row, Failure> {
    let said: Vec<f32> = speech.iter().copied().cycle().take(seconds as usize * RATE_HZ).collect();
    let heard = call::speak(&said, line)?;
    let likeness = correlation::compare(&said, &heard.samples, RATE_HZ);
    let delay = alignment::mouth_to_ear(&said, &heard.samples);
    Ok(Row { line, heard, likeness, delay })
}

fn heading(options: &Simulate) -> String {
    format!(
        "{} s of speech, one way {} ms ± {} ms, seed {}; mouth to ear without sound devices\n\
         {:>7} {:>7} {:>12} {:>12} {:>8} {:>8} {:>8} {:>10} {:>6} {:>12} {:>8}",
        options.seconds,
        options.latency.max(options.jitter),
        options.jitter,
        options.seed,
        "loss %",
        "lost %",
        "ear p50 ms",
        "ear p95 ms",
        "frames",
        "by RED",
        "by FEC",
        "concealed",
        "late",
        "correlation",
        "kbit/s",
    )
}

impl Row {
    fn text(&self) -> String {
        let playout = &self.heard.stats.playout;
        let figure = |value: Option<f32>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
        format!(
            "{:>7.1} {:>7.1} {:>12} {:>12} {:>8} {:>8} {:>8} {:>10} {:>6} {:>12} {:>8.1}",
            self.line.loss_percent,
            self.heard.stats.network.loss_received * 100.0,
            figure(self.delay.map(|delay| delay.median_ms), 1),
            figure(self.delay.map(|delay| delay.p95_ms), 1),
            playout.played_frames,
            playout.redundant_frames,
            playout.fec_frames,
            playout.concealed_frames,
            playout.late_packets,
            figure(self.likeness.map(|likeness| likeness.correlation), 3),
            self.heard.kilobits_per_s,
        )
    }

    fn json(&self, options: &Simulate) -> String {
        let playout = &self.heard.stats.playout;
        json!({
            "loss_percent": self.line.loss_percent,
            "latency_ms": options.latency.max(options.jitter),
            "jitter_ms": options.jitter,
            "seconds": options.seconds,
            "seed": options.seed,
            "lost_percent": self.heard.stats.network.loss_received * 100.0,
            "mouth_to_ear_p50_ms": self.delay.map(|delay| delay.median_ms),
            "mouth_to_ear_p95_ms": self.delay.map(|delay| delay.p95_ms),
            "played_frames": playout.played_frames,
            "redundant_frames": playout.redundant_frames,
            "fec_frames": playout.fec_frames,
            "concealed_frames": playout.concealed_frames,
            "late_packets": playout.late_packets,
            "expanded_ms": playout.expanded.as_millis() as u64,
            "accelerated_ms": playout.accelerated.as_millis() as u64,
            "correlation": self.likeness.map(|likeness| likeness.correlation),
            "compared": self.likeness.map(|likeness| likeness.compared),
            "kilobits_per_s": self.heard.kilobits_per_s,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_call_and_loss_is_repaired_or_concealed() {
        let line =
            Line { loss_percent: 20.0, jitter: Duration::from_millis(5), latency: Duration::from_millis(20), seed: 3 };
        let said: Vec<f32> = (0..3 * RATE_HZ).map(|n| 0.3 * (n as f32 * 0.03).sin()).collect();
        let [first, second] = [0, 1].map(|_| call::speak(&said, line).unwrap());
        assert_eq!(first.stats.playout, second.stats.playout);
        assert_eq!(first.samples, second.samples);
        let playout = first.stats.playout;
        assert!(playout.redundant_frames > 0 && first.stats.network.loss_received > 0.05, "{playout:?}");
        assert!(call::speak(&said, Line { seed: 4, ..line }).unwrap().stats != first.stats);
    }
}
