//! Calls through sound devices: PulseAudio's virtual microphones and speakers, opened by the phones as a person's
//! would be. What is spoken into one phone's microphone is recorded from the other one's speaker.

// What was measured is shown by `cargo nextest run --success-output immediate`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::Command;
use std::time::Duration;
use undertone_tests::correlation::{Likeness, compare};
use undertone_tests::live::{DOMAIN, Gateway, Phone, PhoneOptions, Recorder, SoundRig, Speech, binary};

/// How alike spoken and heard speech must be.
const ALIKE: f32 = 0.9;
/// Waiting time for anything that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);
/// A recorder runs for this long before anything is played, so that its start is not in the way.
const LEAD: Duration = Duration::from_millis(2_000);
/// Sound still on its way when the player has ended.
const TAIL: Duration = Duration::from_millis(1_500);
const RATE_HZ: usize = 48_000;
/// Slip of the rig alone beyond which a machine is too busy to judge anybody.
const MAX_SLIP_MS: f64 = 1.0;
/// One voice of test-sound is one second late.
const TEST_SOUND_DELAY_MS: f64 = 1_000.0;

#[test]
fn speech_goes_from_microphone_to_speaker_through_devices_both_ways() {
    let rig = SoundRig::start(&["A", "B"]).unwrap();
    let gateway = Gateway::start(rig.folder()).unwrap();
    let (english, french) = (speech(&rig, "en"), speech(&rig, "fr"));
    let mut alice = Phone::join(&gateway, rig.folder(), "alice", &devices(&rig, "A")).unwrap();
    let mut bob = Phone::join(&gateway, rig.folder(), "bob", &devices(&rig, "B").answering()).unwrap();
    alice.process.say(&format!("dial bob@{DOMAIN}")).unwrap();
    for phone in [&mut alice, &mut bob] {
        phone.process.expect("sound_started", SOON).unwrap();
    }

    let ways = [Way::record(&rig, "A", "B"), Way::record(&rig, "B", "A")];
    std::thread::sleep(LEAD);
    let players = [rig.play("A", &english.file).unwrap(), rig.play("B", &french.file).unwrap()];
    for player in players {
        player.wait().unwrap();
    }
    std::thread::sleep(TAIL);
    for (way, sent) in ways.into_iter().zip([&english, &french]) {
        way.judge(sent);
    }

    alice.process.say("hangup").unwrap();
    let ended: Vec<String> =
        [&mut alice, &mut bob].map(|phone| phone.process.expect("ended", SOON).unwrap().to_string()).into();
    assert!(ended.iter().all(|event| !event.contains("lost")), "{ended:?}");
    assert_eq!((alice.quit(), bob.quit()), (Some(0), Some(0)));
}

#[test]
fn devices_lists_the_virtual_ones_and_a_name_that_is_not_there_is_refused() {
    let rig = SoundRig::start(&["A", "B"]).unwrap();
    let output = undertone(&rig).args(["devices", "--json"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let listed: Vec<(String, String)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|device: serde_json::Value| {
            (device["kind"].as_str().unwrap().into(), device["id"].as_str().unwrap().into())
        })
        .collect();
    for (kind, id) in [("microphone", "micA"), ("microphone", "micB"), ("speaker", "spkA"), ("speaker", "spkB")] {
        assert!(listed.contains(&(kind.into(), id.into())), "{id}: {listed:?}");
    }
    let output = undertone(&rig).args(["test-sound", "--seconds", "1", "--mic", "micC"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("no microphone named \"micC\"") && said.contains("undertone devices"), "{said}");
}

#[test]
fn test_sound_plays_back_what_is_spoken_after_one_second() {
    let rig = SoundRig::start(&["A"]).unwrap();
    let sent = speech(&rig, "en");
    let seconds = sent.samples.len() / RATE_HZ + 6;
    let mut test = undertone(&rig);
    test.args(["--mic", "micA", "--speaker", "spkA", "--json", "test-sound", "--seconds", &seconds.to_string()]);
    let way = Way::record(&rig, "A", "A");
    let test = test.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(LEAD);
    rig.play("A", &sent.file).unwrap().wait().unwrap();
    let output = test.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let delay_ms = way.judge(&sent);
    assert!(delay_ms > TEST_SOUND_DELAY_MS && delay_ms < 1.5 * TEST_SOUND_DELAY_MS, "{delay_ms}");
    let loudest = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|level: serde_json::Value| level["dbfs"].as_f64().unwrap())
        .fold(f64::MIN, f64::max);
    assert!(loudest > -40.0 && loudest <= 0.0, "the meter moves: {loudest}");
}

/// One direction: what a microphone was given, and what a speaker played.
struct Way {
    name: String,
    given: Recorder,
    played: Recorder,
}

impl Way {
    fn record(rig: &SoundRig, from: &str, to: &str) -> Self {
        let given = rig.record_microphone(from).unwrap();
        Self { name: format!("{from} → {to}"), given, played: rig.record(to).unwrap() }
    }

    /// Checks that what was sent has been played, and prints how late; returns the delay in milliseconds.
    ///
    /// The microphone's own recording is the rig without phones: its delay is taken off, and its slips are not the
    /// phones' fault.
    fn judge(self, sent: &Speech) -> f64 {
        let (given, given_from) = self.given.stop_timed().unwrap();
        let (played, played_from) = self.played.stop_timed().unwrap();
        let name = &self.name;
        let rig_alone = alike(&sent.samples, &given, name);
        let slips_ms = spread(&lags_ms(&sent.samples, &given, rig_alone.offset_ms));
        let whole = alike(&sent.samples, &played, name);
        // Both recordings from the same moment on.
        let given = &given[samples(played_from.saturating_duration_since(given_from)).min(given.len())..];
        let played = &played[samples(given_from.saturating_duration_since(played_from)).min(played.len())..];
        let through = alike(given, played, name);
        let lags = lags_ms(given, played, through.offset_ms);
        let delay_ms = median(&lags);
        println!(
            "{name}: rig alone {:.3} (slips {slips_ms:.2} ms); sent to heard {:.3}, microphone to heard {:.3}; mouth to \
             ear {delay_ms:.0} ms (moves by {:.0} ms while the playout buffer adapts)",
            rig_alone.correlation,
            whole.correlation,
            through.correlation,
            spread(&lags),
        );
        // What did not reach the microphone in one piece cannot be heard in one piece.
        let verdict = if slips_ms > MAX_SLIP_MS {
            println!(
                "{name}: the rig alone slips by {slips_ms:.1} ms, this machine is too busy: judged from the microphone on"
            );
            through
        } else {
            whole
        };
        assert!(verdict.correlation >= ALIKE && verdict.compared > 0.8, "{name}: {verdict:?}, rig alone {rig_alone:?}");
        delay_ms
    }
}

/// Compares on three grids: `compare` looks at every sixth sample, and speech that begins between two of them would be
/// judged up to a tenth too low.
fn alike(sent: &[f32], received: &[f32], name: &str) -> Likeness {
    let grids = [0, 2, 4].into_iter().filter_map(|skip| compare(sent, received.get(skip..)?, RATE_HZ));
    let best = grids.max_by(|a, b| a.correlation.total_cmp(&b.correlation));
    best.unwrap_or_else(|| panic!("{name}: {} samples say nothing", received.len()))
}

/// How late the loudest quarter seconds of `sent` are in `received`, in milliseconds, near a coarse alignment.
fn lags_ms(sent: &[f32], received: &[f32], coarse_ms: u32) -> Vec<f64> {
    const STEP: usize = 6;
    const PIECE: usize = RATE_HZ / STEP / 4;
    const SLACK: usize = RATE_HZ / STEP * 60 / 1000;
    const PIECES: usize = 8;
    let thin = |samples: &[f32]| -> Vec<f32> { samples.chunks_exact(STEP).map(|six| six.iter().sum()).collect() };
    let (sent, received) = (thin(sent), thin(received));
    let energy = |piece: &[f32]| piece.iter().map(|sample| sample * sample).sum::<f32>();
    let coarse = coarse_ms as usize * RATE_HZ / STEP / 1000;
    let mut pieces: Vec<(usize, &[f32])> = sent.chunks_exact(PIECE).enumerate().collect();
    pieces.sort_by(|(_, a), (_, b)| energy(b).total_cmp(&energy(a)));
    let lag = |(index, piece): &(usize, &[f32])| {
        let at = index * PIECE + coarse;
        let last = (at + SLACK).min(received.len().checked_sub(PIECE)?);
        let fit = |place: usize| {
            let heard = &received[place..place + PIECE];
            piece.iter().zip(heard).map(|(x, y)| x * y).sum::<f32>() / energy(heard).max(f32::MIN_POSITIVE).sqrt()
        };
        let places = (at.saturating_sub(SLACK)..=last).map(|place| (fit(place), place));
        let (_, best) = places.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        Some((best as f64 - (index * PIECE) as f64) * STEP as f64 * 1000.0 / RATE_HZ as f64)
    };
    pieces.iter().take(PIECES).filter_map(lag).collect()
}

fn spread(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max) - values.iter().copied().fold(f64::MAX, f64::min)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn samples(duration: Duration) -> usize {
    (duration.as_secs_f64() * RATE_HZ as f64) as usize
}

fn speech(rig: &SoundRig, voice: &str) -> Speech {
    Speech::render(rig.folder(), &format!("speech-{voice}"), voice, 0).unwrap()
}

fn devices(rig: &SoundRig, phone: &str) -> PhoneOptions {
    PhoneOptions {
        microphone: Some(format!("mic{phone}")),
        speaker: Some(format!("spk{phone}")),
        environment: rig.environment().to_vec(),
        ..PhoneOptions::default()
    }
}

fn undertone(rig: &SoundRig) -> Command {
    let mut command = Command::new(binary("undertone").unwrap());
    command.arg("--profile").arg(rig.folder().join("nobody")).envs(rig.environment().iter().cloned());
    command
}
