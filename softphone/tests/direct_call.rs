//! Two real `undertone headless --direct` processes on loopback, driven by lines, with WAV files for sound: what one
//! says is in the file of the other, and the files are complete however the phone ends.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const RATE_HZ: u32 = 48_000;

#[test]
fn a_direct_call_carries_both_voices_encrypted() {
    for transport in ["", ";transport=tcp"] {
        let folder = tempfile::tempdir().unwrap();
        let mut alice = Phone::start("alice", folder.path(), 440.0, &[]);
        let mut bob = Phone::start("bob", folder.path(), 1000.0, &[]);
        alice.line(&format!("dial {}{transport}", bob.address));
        bob.wait_for("ringing here alice@");
        bob.line("answer");
        alice.wait_for("encrypted AES-256-GCM, DTLS 1.3, post-quantum, not verified");
        bob.wait_for("encrypted AES-256-GCM, DTLS 1.3, post-quantum, not verified");
        alice.wait_for("sound_started");
        bob.wait_for("sound_started");
        alice.line("dtmf 4#");
        bob.wait_for("digit 4");
        bob.wait_for("digit #");
        bob.line("hold");
        alice.wait_for("on_hold there on");
        bob.line("resume");
        alice.wait_for("on_hold there off");
        std::thread::sleep(Duration::from_secs(2));
        alice.line("hangup");
        bob.wait_for("ended");
        assert_eq!((alice.quit(), bob.quit()), (Some(0), Some(0)));
        assert!(loudness(&alice.heard, 1000.0) > 0.1, "alice heard bob");
        assert!(loudness(&bob.heard, 440.0) > 0.1, "bob heard alice");
        assert!(loudness(&bob.heard, 1000.0) < 0.01, "bob did not hear himself");
    }
}

#[test]
fn the_recording_is_a_valid_file_after_sigterm_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut alice = Phone::start("alice", folder.path(), 440.0, &[]);
    let mut bob = Phone::start("bob", folder.path(), 1000.0, &["--auto-answer"]);
    alice.line(&format!("dial {}", bob.address));
    alice.wait_for("sound_started");
    bob.wait_for("sound_started");
    std::thread::sleep(Duration::from_secs(2));
    bob.process.kill().unwrap();
    bob.process.wait().unwrap();
    assert!(loudness(&bob.heard, 440.0) > 0.1, "all but the last half second is there");
    let terminate = Command::new("kill").args(["-TERM", &alice.process.id().to_string()]).status().unwrap();
    assert!(terminate.success());
    assert_eq!(alice.process.wait().unwrap().code(), Some(0));
    assert!(loudness(&alice.heard, 1000.0) > 0.1);
}

#[test]
fn a_mute_microphone_is_not_heard() {
    let folder = tempfile::tempdir().unwrap();
    let mut alice = Phone::start("alice", folder.path(), 440.0, &[]);
    let mut bob = Phone::start("bob", folder.path(), 1000.0, &["--auto-answer"]);
    alice.line(&format!("dial {}", bob.address));
    alice.wait_for("sound_started");
    alice.line("mute");
    alice.wait_for("muted on");
    std::thread::sleep(Duration::from_millis(1500));
    alice.line("hangup");
    alice.wait_for("ended");
    assert_eq!((alice.quit(), bob.quit()), (Some(0), Some(0)));
    let (samples, _) = read(&bob.heard);
    let end = &samples[samples.len() - samples.len().min(RATE_HZ as usize / 2)..];
    assert!(tone(end, 440.0) < 0.01, "nothing of the last half second is heard");
}

#[test]
fn what_cannot_be_used_is_one_sentence_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    let profile = profile.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, words) in [
        (vec!["call", "bob"], "undertone setup"),
        (vec!["call", "sip:b@127.0.0.1:9", "--direct", "127.0.0.1"], "--direct"),
        (vec!["call", "sip:b@127.0.0.1:9", "--direct", &taken, "--mic", "silence", "--speaker", "none"], &taken),
        (vec!["call", "sip:b@127.0.0.1:9", "--direct", "127.0.0.1:0", "--mic", "nowhere.wav"], "nowhere.wav"),
        (
            vec!["call", "nobody", "--direct", "127.0.0.1:0", "--mic", "silence", "--speaker", "none"],
            "cannot be called",
        ),
        (vec!["setup", "--address", "alice"], "--address"),
        (vec!["setup", "--direct", "127.0.0.1:0"], "never saved"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_undertone"))
            .args(["--profile", profile])
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.starts_with("undertone: ") && told.contains(words), "{arguments:?}: {told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{arguments:?}: {told}");
        assert!(!Path::new(profile).exists(), "{arguments:?} left something behind");
    }
}

struct Phone {
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    address: String,
    heard: PathBuf,
}

impl Phone {
    fn start(name: &str, folder: &Path, hertz: f64, options: &[&str]) -> Self {
        let (speech, heard) = (folder.join(format!("{name}.says.wav")), folder.join(format!("{name}.hears.wav")));
        write_tone(&speech, hertz);
        let mut process = Command::new(env!("CARGO_BIN_EXE_undertone"))
            .args(["headless", "--direct", &format!("{name}@127.0.0.1:{}", free_port())])
            .arg("--mic")
            .arg(&speech)
            .arg("--speaker")
            .arg(&heard)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut phone = Self { process, stdin, lines, address: String::new(), heard };
        let ready = phone.wait_for("ready sip:");
        phone.address = ready.trim_start_matches("ready ").to_owned();
        phone
    }

    fn line(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    fn wait_for(&mut self, start: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no \"{start}\" among {seen:#?}"),
            }
        }
    }

    fn quit(&mut self) -> Option<i32> {
        self.line("quit");
        self.wait_for("stopped");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port free for both TCP and UDP.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

fn write_tone(path: &Path, hertz: f64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..20 * RATE_HZ {
        let phase = f64::from(n) * hertz * std::f64::consts::TAU / f64::from(RATE_HZ);
        writer.write_sample((phase.sin() * 12_000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

fn read(path: &Path) -> (Vec<f64>, u32) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let rate = reader.spec().sample_rate;
    (reader.samples::<i16>().map(|sample| f64::from(sample.unwrap()) / 32_768.0).collect(), rate)
}

/// The loudest tenth of a second of a tone in a file, as an amplitude.
fn loudness(path: &Path, hertz: f64) -> f64 {
    let (samples, rate) = read(path);
    assert_eq!(rate, RATE_HZ);
    samples.chunks_exact(RATE_HZ as usize / 10).map(|piece| tone(piece, hertz)).fold(0.0, f64::max)
}

fn tone(samples: &[f64], hertz: f64) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = n as f64 * hertz * std::f64::consts::TAU / f64::from(RATE_HZ);
        sine += sample * phase.sin();
        cosine += sample * phase.cos();
    }
    2.0 * (sine * sine + cosine * cosine).sqrt() / samples.len().max(1) as f64
}
