//! Sound without a sound card: a PulseAudio server of its own with virtual microphones and speakers.
//!
//! Every phone `P` of a rig has three devices: what is played into sink `micP_in` comes out of
//! microphone `micP`; what the phone plays into speaker `spkP` can be recorded from `spkP.monitor`.
//! Programs that know only ALSA find the same as `phoneP_mic`, `phoneP_spk` and `phoneP`.

use super::process::LiveError;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the server may take to start; generous, for a loaded machine.
const START: Duration = Duration::from_secs(20);
/// Longest path of the server's socket: `sun_path` holds 108 bytes with its closing zero (unix(7)).
const MAX_SOCKET_PATH_LEN: usize = 107;
/// A server whose test was killed ends by itself after this time without clients.
const IDLE_EXIT_S: u32 = 120;
/// Kept of the server's log while nobody looks at it.
const MAX_LOG_LINES: usize = 2_000;
/// What the server logs once all its devices exist.
const STARTED: &str = "Daemon startup complete";
/// Sampling rate of all virtual devices.
const RATE_HZ: u32 = 48_000;

/// A running sound server with virtual phones; ended when dropped.
pub struct SoundRig {
    // Declared before the folder, so that the server is gone before its folder is.
    server: Server,
    environment: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

/// The child; killed when dropped.
struct Server(Child);

impl SoundRig {
    /// Starts a server with one virtual microphone and speaker for each of `phones`, such as `["A", "B"]`.
    pub fn start(phones: &[&str]) -> Result<Self, LiveError> {
        let io = |reason| LiveError::Io { what: "preparing the sound rig's folder".into(), reason };
        let folder = tempfile::Builder::new().prefix("rig").tempdir().map_err(io)?;
        let socket = folder.path().join("native");
        if socket.as_os_str().len() > MAX_SOCKET_PATH_LEN {
            return Err(LiveError::Sound(format!("{} is too long for a socket: set a short TMPDIR", socket.display())));
        }
        write_configuration(folder.path(), phones).map_err(io)?;
        let environment = environment(folder.path());
        let mut command = Command::new("pulseaudio");
        command.arg("-n").arg("-F").arg(folder.path().join("pa.conf"));
        command.args(["--daemonize=no", "--log-target=stderr", "-v"]).envs(environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = Server(start("pulseaudio", &mut command)?);
        if let Some(log) = server.0.stderr.take() {
            await_start(log)?;
        }
        Ok(Self { server, environment, folder })
    }

    /// What a program needs in its environment to find these devices and no others.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// A folder that lives as long as the rig.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's process number.
    pub fn id(&self) -> u32 {
        self.server.0.id()
    }

    /// Speaks `wav` into the microphone of `phone`.
    pub fn play(&self, phone: &str, wav: &Path) -> Result<Player, LiveError> {
        let mut command = Command::new("paplay");
        command.arg(format!("--device=mic{phone}_in")).arg(wav);
        command.envs(self.environment.iter().cloned()).stdin(Stdio::null());
        start("paplay", &mut command).map(|child| Player(Server(child)))
    }

    /// Records what `phone` plays; returns when recording has begun.
    pub fn record(&self, phone: &str) -> Result<Recorder, LiveError> {
        self.record_device(&format!("spk{phone}.monitor"))
    }

    /// Records what `phone` is given to send; returns when recording has begun.
    pub fn record_microphone(&self, phone: &str) -> Result<Recorder, LiveError> {
        self.record_device(&format!("mic{phone}_in.monitor"))
    }

    fn record_device(&self, device: &str) -> Result<Recorder, LiveError> {
        let mut command = Command::new("parec");
        command.arg(format!("--device={device}")).arg(format!("--rate={RATE_HZ}"));
        command.args(["--channels=1", "--format=s16le", "--raw", "--latency-msec=20"]);
        command.envs(self.environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = start("parec", &mut command)?;
        let Some(mut stdout) = child.stdout.take() else {
            return Err(LiveError::Sound("parec has no output".into()));
        };
        let (to_us, begun) = sync_channel(1);
        let reader = std::thread::spawn(move || {
            let (mut bytes, mut chunk, mut beginning) = (Vec::new(), [0; 4096], Beginning::default());
            while let Ok(count @ 1..) = stdout.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..count]);
                beginning.note(bytes.len() / 2, Instant::now());
                // Full or gone means that the beginning was already told.
                let _ = to_us.try_send(());
            }
            let began = beginning.estimate();
            (bytes, began)
        });
        let child = Server(child);
        begun.recv_timeout(START).map_err(|_| LiveError::Sound(format!("recording {device} does not begin")))?;
        Ok(Recorder { child, reader })
    }
}

/// Something that is being played; stopped when dropped.
pub struct Player(Server);

impl Player {
    /// Waits until everything has been played.
    pub fn wait(mut self) -> Result<(), LiveError> {
        let status = self.0.0.wait().map_err(|reason| LiveError::Io { what: "waiting for paplay".into(), reason })?;
        if status.success() { Ok(()) } else { Err(LiveError::Sound(format!("paplay: {status}"))) }
    }
}

/// A recording that goes on.
pub struct Recorder {
    child: Server,
    reader: JoinHandle<(Vec<u8>, Instant)>,
}

/// When the first sample of a recording was taken, judged by when later ones arrive. A recorder first waits for up to
/// two seconds or gets a block from before, so only the last seconds count, and of these the least delayed chunk.
#[derive(Default)]
struct Beginning {
    second: usize,
    this_second: Option<Instant>,
    last_second: Option<Instant>,
}

impl Beginning {
    fn note(&mut self, samples: usize, now: Instant) {
        let second = samples / RATE_HZ as usize;
        if second != self.second {
            self.second = second;
            self.last_second = self.this_second.take();
        }
        let length = Duration::from_secs_f64(samples as f64 / f64::from(RATE_HZ));
        let began = now.checked_sub(length).unwrap_or(now);
        self.this_second = Some(self.this_second.map_or(began, |this| this.min(began)));
    }

    fn estimate(&self) -> Instant {
        self.last_second.or(self.this_second).unwrap_or_else(Instant::now)
    }
}

impl Recorder {
    /// Ends the recording; 48 kHz mono samples, −1 to 1.
    pub fn stop(self) -> Result<Vec<f32>, LiveError> {
        self.stop_timed().map(|(samples, _)| samples)
    }

    /// Ends the recording; its samples, and when the first of them was recorded. Two recorders of one rig have the
    /// same small delay, so the difference of their beginnings is exact to a few milliseconds.
    pub fn stop_timed(self) -> Result<(Vec<f32>, Instant), LiveError> {
        drop(self.child);
        let (bytes, began) =
            self.reader.join().map_err(|_| LiveError::Sound("the recorder's thread ended early".into()))?;
        let sample = |two: &[u8]| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32_768.0;
        Ok((bytes.chunks_exact(2).map(sample).collect(), began))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(name: &str, command: &mut Command) -> Result<Child, LiveError> {
    command.spawn().map_err(|reason| LiveError::Io { what: format!("starting {name}"), reason })
}

fn write_configuration(folder: &Path, phones: &[&str]) -> std::io::Result<()> {
    for name in ["pulse", "state"] {
        fs::create_dir(folder.join(name))?;
    }
    let socket = folder.join("native").display().to_string();
    let mut modules = format!(".fail\nload-module module-native-protocol-unix socket={socket} auth-anonymous=1\n");
    let mut alsa = String::from("</usr/share/alsa/alsa.conf>\n");
    for phone in phones {
        for sink in [format!("mic{phone}_in"), format!("spk{phone}")] {
            modules +=
                &format!("load-module module-null-sink sink_name={sink} rate={RATE_HZ} channels=1 format=s16le\n");
        }
        modules += &format!("load-module module-remap-source source_name=mic{phone} master=mic{phone}_in.monitor\n");
        for (kind, device) in [("mic", format!("mic{phone}")), ("spk", format!("spk{phone}"))] {
            alsa += &format!("pcm.phone{phone}_{kind} {{ type pulse server \"unix:{socket}\" device \"{device}\"");
            alsa += &format!(" hint {{ show on description \"Phone {phone} {kind}\" }} }}\n");
        }
        alsa += &format!("pcm.phone{phone} {{ type asym playback.pcm \"phone{phone}_spk\"");
        alsa += &format!(" capture.pcm \"phone{phone}_mic\" hint {{ show on description \"Phone {phone}\" }} }}\n");
    }
    let server = format!(
        "daemonize = no\nexit-idle-time = {IDLE_EXIT_S}\nflat-volumes = no\ndefault-sample-rate = {RATE_HZ}\n\
         avoid-resampling = yes\nrealtime-scheduling = yes\nrealtime-priority = 20\nnice-level = -11\n\
         high-priority = yes\nenable-shm = no\n"
    );
    let cookie = folder.join("cookie").display().to_string();
    let client = format!("autospawn = no\nenable-shm = no\ndefault-server = unix:{socket}\ncookie-file = {cookie}\n");
    fs::write(folder.join("pa.conf"), modules)?;
    fs::write(folder.join("asound.conf"), alsa)?;
    fs::write(folder.join("daemon.conf"), server)?;
    fs::write(folder.join("client.conf"), client)
}

fn environment(folder: &Path) -> Vec<(String, String)> {
    let text = |path: PathBuf| path.display().to_string();
    let at = |name: &str| text(folder.join(name));
    [
        ("XDG_RUNTIME_DIR", text(folder.to_owned())),
        ("PULSE_RUNTIME_PATH", at("pulse")),
        ("PULSE_STATE_PATH", at("state")),
        ("PULSE_SERVER", format!("unix:{}", at("native"))),
        ("PULSE_CLIENTCONFIG", at("client.conf")),
        ("PULSE_CONFIG", at("daemon.conf")),
        ("PULSE_COOKIE", at("cookie")),
        ("ALSA_CONFIG_PATH", at("asound.conf")),
        ("DBUS_SESSION_BUS_ADDRESS", String::new()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Waits until the server says that it has started, then goes on emptying its log so that it never blocks.
fn await_start(log: ChildStderr) -> Result<(), LiveError> {
    let (to_us, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Nobody listens any more once it runs.
            let _ = to_us.send(line);
        }
    });
    wait_for_line(&lines)
}

fn wait_for_line(lines: &Receiver<String>) -> Result<(), LiveError> {
    let deadline = Instant::now() + START;
    let mut said = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(STARTED) => return Ok(()),
            Ok(line) if said.len() < MAX_LOG_LINES => said.push(line),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(LiveError::Silent {
                    name: "pulseaudio".into(),
                    expected: STARTED.into(),
                    seconds: START.as_secs(),
                    said: said.join("\n"),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::compare;
    use crate::live::Speech;

    /// Virtual cable: what goes into a speaker comes out of its monitor.
    #[test]
    #[allow(clippy::unwrap_used)]
    fn what_is_spoken_into_a_virtual_microphone_can_be_heard_and_a_speaker_recorded() {
        let rig = SoundRig::start(&["A", "B"]).unwrap();
        let speech = Speech::render(rig.folder(), "speech", "en", 0).unwrap();
        // A phone that only passes on: from its microphone to its speaker.
        let mut loopback = Command::new("pactl");
        loopback.args(["load-module", "module-loopback", "source=micA", "sink=spkA", "latency_msec=40"]);
        assert!(loopback.envs(rig.environment().iter().cloned()).output().unwrap().status.success());
        let recorder = rig.record("A").unwrap();
        rig.play("A", &speech.file).unwrap().wait().unwrap();
        let likeness = compare(&speech.samples, &recorder.stop().unwrap(), RATE_HZ as usize).unwrap();
        // The loopback module resamples a little to keep its delay; 0.948 was seen on a busy machine.
        assert!(likeness.correlation > 0.9 && likeness.compared > 0.9, "{likeness:?}");
    }
}
