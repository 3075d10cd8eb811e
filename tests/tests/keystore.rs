//! The phone and a real keystore: GNOME Keyring on a bus of its own, without a desktop (`make packages-peers` installs
//! both). Whatever the keystore does, the phone ends with one sentence and its files stay.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use undertone_tests::live::binary;

const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";
const PASSPHRASE: &str = "correct horse battery staple";
/// For bus and keystore to be there, on a loaded machine.
const START: Duration = Duration::from_secs(20);
/// Within this the phone says that there is no keystore, whatever the bus does.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_keystore_opens_the_identity_without_a_passphrase() {
    let (folder, keystore) = (tempfile::tempdir().unwrap(), Keystore::start());
    let alice = folder.path().join("alice");
    let made = text(&keystore.run(&alice, &["identity", "create"], None).stdout);
    assert!(made.starts_with("Made, kept by the keystore"), "{made}");
    let code = keystore.key_code(&alice);
    assert!(made.contains(&code), "{made}");
    let entry = fs::read_to_string(alice.join("identity.keystore")).unwrap();
    assert_eq!(entry.lines().next(), Some("undertone keystore 1"));

    let added = keystore.run(&alice, &["--json", "contact", "add", "bob@gw.example"], None);
    assert_eq!(json(&added)["name"], "bob");
    one_sentence(&keystore.run(&alice, &["identity", "show"], Some(PASSPHRASE)), "leave out --passphrase-file");
    keystore.run(&alice, &["identity", "reset", "--yes"], None);
    let reset = keystore.key_code(&alice);
    assert_ne!(reset, code);

    // A copy travels with a passphrase of its own.
    let copy = folder.path().join("copy").display().to_string();
    one_sentence(&keystore.run(&alice, &["identity", "export", &copy], None), "--passphrase-file");
    let exported = keystore.run(&alice, &["identity", "export", &copy], Some(PASSPHRASE));
    assert!(text(&exported.stdout).contains(&reset), "{}", text(&exported.stderr));
    let elsewhere = folder.path().join("elsewhere");
    let imported = phone(&elsewhere, &["--json", "identity", "import", &copy], Some(PASSPHRASE)).output().unwrap();
    assert_eq!(json(&imported)["key_code"], reset.as_str());
    assert_eq!(json(&imported)["protected_by"], "passphrase");
}

#[test]
fn setup_makes_the_identity_in_the_keystore_and_a_passphrase_that_is_given_goes_before() {
    let (folder, keystore) = (tempfile::tempdir().unwrap(), Keystore::start());
    let setup = |name: &str, passphrase: Option<&str>| {
        let profile = folder.path().join(name);
        let password = folder.path().join("password");
        fs::write(&password, "account password\n").unwrap();
        let password = password.to_str().unwrap();
        let arguments = ["--json", "setup", "--offline", "--address", "alice@gw.example", "--password-file", password];
        let saved = json(&keystore.run(&profile, &arguments, passphrase));
        let shown = json(&keystore.run(&profile, &["--json", "identity", "show"], passphrase));
        assert_eq!(saved["key_code"], shown["key_code"]);
        shown["protected_by"].as_str().unwrap().to_owned()
    };
    assert_eq!(setup("alice", None), "keystore");
    assert_eq!(setup("bob", Some(PASSPHRASE)), "passphrase");
    assert!(!folder.path().join("bob/identity.keystore").exists());
}

#[test]
fn a_keystore_that_is_gone_locked_or_another_one_is_one_sentence_with_the_remedy() {
    let (folder, mut keystore) = (tempfile::tempdir().unwrap(), Keystore::start());
    let alice = folder.path().join("alice");
    keystore.run(&alice, &["identity", "create"], None);
    let code = keystore.key_code(&alice);
    let files = [alice.join("identity"), alice.join("identity.keystore")];
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    let show = ["identity", "show"];

    one_sentence(&phone(&alice, &show, None).output().unwrap(), "log in to the desktop");
    let nothing = format!("unix:path={}", folder.path().join("nothing").display());
    one_sentence(&phone(&alice, &show, None).env(BUS, nothing).output().unwrap(), "log in to the desktop");
    one_sentence(&Keystore::start().run(&alice, &show, None), "no entry for this identity");
    keystore.lock();
    one_sentence(&keystore.run(&alice, &show, None), "unlock it with your login password");
    one_sentence(&keystore.run(&folder.path().join("new"), &["identity", "create"], None), "is locked");
    assert!(!folder.path().join("new/identity").exists());
    keystore.start_again();
    assert_eq!(keystore.key_code(&alice), code);
    assert_eq!(files.each_ref().map(|file| fs::read(file).unwrap()), before);

    // An exported copy in the place of the identity has the passphrase of its owner.
    let copy = folder.path().join("copy");
    keystore.run(&alice, &["identity", "export", copy.to_str().unwrap()], Some(PASSPHRASE));
    fs::copy(&copy, &files[0]).unwrap();
    one_sentence(&keystore.run(&alice, &show, None), "if you put an exported copy there");
    assert!(text(&keystore.run(&alice, &show, Some(PASSPHRASE)).stdout).contains(&code));
}

#[test]
fn a_bus_that_never_answers_holds_the_phone_up_for_seconds_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let _silent = UnixListener::bind(&path).unwrap();
    let started = Instant::now();
    let create = phone(&folder.path().join("alice"), &["identity", "create"], None)
        .env(BUS, format!("unix:path={}", path.display()))
        .output()
        .unwrap();
    one_sentence(&create, "--passphrase-file");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert!(!folder.path().join("alice").exists());
}

/// GNOME Keyring and its bus, with files of their own; ended when dropped.
struct Keystore {
    home: tempfile::TempDir,
    address: String,
    bus: Child,
    daemon: Child,
}

impl Keystore {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::DirBuilder::new().mode(0o700).create(home.path().join("run")).unwrap();
        let mut bus = Self::own(home.path(), "dbus-daemon", &["--session", "--nofork", "--print-address=1"]);
        let mut bus = bus.stdout(Stdio::piped()).spawn().unwrap_or_else(|why| missing("dbus-daemon", &why));
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let daemon = Self::unlocked(home.path(), &address);
        let started = Self { home, address, bus, daemon };
        started.await_daemon();
        started
    }

    /// Makes the login keyring at the first time, and opens it.
    fn unlocked(home: &Path, address: &str) -> Child {
        let mut daemon = Self::own(home, "gnome-keyring-daemon", &["--foreground", "--unlock", "--components=secrets"]);
        let daemon = daemon.env(BUS, address).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut daemon = daemon.unwrap_or_else(|why| missing("gnome-keyring-daemon", &why));
        daemon.stdin.take().unwrap().write_all(b"login password").unwrap();
        daemon
    }

    fn await_daemon(&self) {
        let deadline = Instant::now() + START;
        let ask = ["--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner"];
        while !self.send(&[&ask[..], &["string:org.freedesktop.secrets"]].concat()).contains("true") {
            assert!(Instant::now() < deadline, "gnome-keyring-daemon did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A program that sees neither the files nor the screen of whoever runs the tests: nothing may ask them.
    fn own(home: &Path, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
        command.env("XDG_DATA_HOME", home.join("data")).env("XDG_CACHE_HOME", home.join("cache"));
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").stderr(Stdio::null());
        command
    }

    fn send(&self, message: &[&str]) -> String {
        let mut command = Self::own(self.home.path(), "dbus-send", &["--session", "--print-reply"]);
        let output = command.args(message).env(BUS, &self.address).output();
        text(&output.unwrap_or_else(|why| missing("dbus-send", &why)).stdout)
    }

    fn lock(&self) {
        let locked = self.send(&[
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            "array:objpath:/org/freedesktop/secrets/collection/login",
        ]);
        assert!(locked.contains("/collection/login"), "{locked}");
    }

    /// As at the next login.
    fn start_again(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        self.daemon = Self::unlocked(self.home.path(), &self.address);
        self.await_daemon();
    }

    fn run(&self, profile: &Path, arguments: &[&str], passphrase: Option<&str>) -> Output {
        phone(profile, arguments, passphrase).env(BUS, &self.address).output().unwrap()
    }

    fn key_code(&self, profile: &Path) -> String {
        let shown = json(&self.run(profile, &["--json", "identity", "show"], None));
        assert_eq!(shown["protected_by"], "keystore");
        shown["key_code"].as_str().unwrap().to_owned()
    }
}

impl Drop for Keystore {
    fn drop(&mut self) {
        for process in [&mut self.daemon, &mut self.bus] {
            // Already gone is as good as killed.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn missing(program: &str, why: &std::io::Error) -> ! {
    panic!("{program} cannot be started ({why}): run `make packages-peers` first");
}

/// The phone on a machine without a keystore.
fn phone(profile: &Path, arguments: &[&str], passphrase: Option<&str>) -> Command {
    let program: PathBuf = binary("undertone").unwrap();
    let mut command = Command::new(program);
    command.arg("--profile").arg(profile).args(arguments).stdin(Stdio::null()).env_remove(BUS);
    command.env_remove("UNDERTONE_PASSPHRASE").envs(passphrase.map(|passphrase| ("UNDERTONE_PASSPHRASE", passphrase)));
    command
}

fn json(output: &Output) -> Value {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    serde_json::from_str(&said).unwrap()
}

/// One line on standard error, exit code 2, nothing on standard output.
fn one_sentence(output: &Output, words: &str) {
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{told}");
    assert!(told.starts_with("undertone: ") && told.contains(words), "{words}: {told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}
