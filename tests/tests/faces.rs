//! The faces of the phone that people use: `undertone echo`, and `undertone call` at a terminal with its keys.

// What was measured is shown by `cargo nextest run --success-output immediate`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use undertone_tests::correlation::compare;
use undertone_tests::live::{DOMAIN, Gateway, Phone, PhoneOptions, Process, Speech, binary, read_wav};

/// Waiting time for anything that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);
/// How alike speech must be that went through the codec twice.
const ALIKE_TWICE: f32 = 0.85;
/// Prints the terminal's settings, calls, prints the settings again.
const SCRIPT: &str = "stty -a; \"$UNDERTONE\" --profile \"$PROFILE\" --mic silence --speaker none call bob; \
                      echo \"code $?\"; stty -a; echo over";

#[test]
fn an_echo_endpoint_sends_back_what_is_said_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let password = gateway.add_user("echo").unwrap();
    let profile = Phone::set_up(&gateway, folder.path(), "echo", &password).unwrap();
    let mut command = Command::new(binary("undertone").unwrap());
    command.arg("--profile").arg(profile).args(["--json", "echo"]);
    let mut echo = Process::start("echo", &mut command).unwrap();
    echo.expect("ready", SOON).unwrap();
    let speech = Speech::render(folder.path(), "speech", "en", 500).unwrap();
    let heard = folder.path().join("heard.wav");
    let mut alice = Phone::join(&gateway, folder.path(), "alice", &PhoneOptions::wav(&speech.file, &heard)).unwrap();
    alice.process.say(&format!("dial echo@{DOMAIN}")).unwrap();
    alice.process.expect("sound_started", SOON).unwrap();
    let until = Instant::now() + Duration::from_millis(speech.samples.len() as u64 / 48) + Duration::from_secs(2);
    while Instant::now() < until {
        alice.process.expect("statistics", SOON).unwrap();
    }
    alice.process.say("hangup").unwrap();
    assert_eq!(echo.expect("ended", SOON).unwrap()["why"], "hung_up_there");
    assert_eq!(alice.quit(), Some(0));
    let likeness = compare(&speech.samples, &read_wav(&heard).unwrap(), 48_000).unwrap();
    println!("echo: {likeness:?}");
    assert!(likeness.correlation >= ALIKE_TWICE && likeness.compared > 0.8, "{likeness:?}");
}

#[test]
fn keys_at_a_terminal_mute_hold_dial_and_hang_up_and_the_terminal_is_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let quiet =
        PhoneOptions { microphone: Some("silence".into()), speaker: Some("none".into()), ..PhoneOptions::default() };
    let mut bob = Phone::join(&gateway, folder.path(), "bob", &quiet.answering()).unwrap();
    let password = gateway.add_user("alice").unwrap();
    let profile = Phone::set_up(&gateway, folder.path(), "alice", &password).unwrap();

    let mut terminal = Terminal::start(&profile);
    let before = terminal.settings();
    terminal.expect("You can hear the other side.");
    terminal.press("m");
    terminal.expect("Your microphone is off.");
    terminal.press("m");
    terminal.expect("Your microphone is on.");
    terminal.press("h");
    terminal.expect("you put the call on hold");
    assert_eq!(bob.process.expect("on_hold", SOON).unwrap()["on"], true);
    terminal.press("h");
    terminal.expect("You took the call back.");
    assert_eq!(bob.process.expect("on_hold", SOON).unwrap()["on"], false);
    for digit in ["7", "#"] {
        terminal.press(digit);
        assert_eq!(bob.process.expect("digit", SOON).unwrap()["digit"], digit);
    }
    terminal.press("q");
    terminal.expect("Ended: you hung up.");
    terminal.expect("code 0");
    let after = terminal.settings();
    terminal.expect("over");
    assert!(before.contains(" icanon ") && before.contains(" echo "), "{before}");
    assert_eq!(after, before);
    assert!(!terminal.said.iter().any(|line| line.starts_with("mm") || line == "7"), "keys are not shown");
    bob.process.expect("ended", SOON).unwrap();
    assert_eq!(bob.quit(), Some(0));
}

/// `undertone call` in a pseudo-terminal made by script(1).
struct Terminal {
    child: Child,
    keys: ChildStdin,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Terminal {
    fn start(profile: &Path) -> Self {
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", SCRIPT, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("UNDERTONE", binary("undertone").unwrap()).env("PROFILE", profile).env("SHELL", "/bin/sh");
        let mut child = command.spawn().unwrap();
        let (keys, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (to_us, lines) = channel();
        std::thread::spawn(move || {
            // What follows the last line does not matter.
            let _ = BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| to_us.send(line));
        });
        Self { child, keys, lines, said: Vec::new() }
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).and_then(|()| self.keys.flush()).unwrap();
    }

    fn expect(&mut self, words: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                panic!("“{words}” was not shown:\n{}", self.said.join("\n"));
            };
            let line = line.trim_end().to_owned();
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// The local modes that stty prints, `icanon` and `echo` among them.
    fn settings(&mut self) -> String {
        self.expect("icanon")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
