//! Bad input by real processes: whatever a person gets wrong ends with exit code 2 and one clear line on standard
//! error that says what, where and what to do, and leaves every file as it was.

#![allow(clippy::unwrap_used)]

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use undertone_config::Pin;
use undertone_tests::live::{DOMAIN, Gateway, Phone, binary};

/// No refusal may take longer, also on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// A pin that belongs to no key.
const FOREIGN_PIN: &str = "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// An ordinary user without any rights (`nobody` on Debian).
const NOBODY: u32 = 65_534;
const PHONE: &str = "undertone";
const GATEWAY: &str = "undertone-gateway";
/// For phones whose devices are not what is wrong with them.
const NO_SOUND: [&str; 4] = ["--mic", "silence", "--speaker", "none"];

#[test]
fn setup_saves_nothing_that_the_gateway_does_not_accept() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let password = gateway.add_user("alice").unwrap();
    let phones = folder.path().join("phones");
    std::fs::create_dir(&phones).unwrap();
    let setup = |name: &str, pin: Option<&str>, password: &str| {
        let mut command = phone(&phones.join("new"));
        command.args(["setup", "--password-stdin", "--gateway", &gateway.signalling]);
        command.args(["--address", &format!("{name}@{DOMAIN}")]);
        command.args(pin.iter().flat_map(|pin| ["--pin", pin]));
        refusal(PHONE, command, &format!("{password}\n"), &phones)
    };
    let wrong_password = setup("alice", Some(&gateway.pin), "wrong");
    wrong_password.says(&["gateway", "does not accept this account", "name and password", "undertone setup"]);
    let unknown = setup("nobody", Some(&gateway.pin), &password);
    assert_eq!(unknown.line, wrong_password.line, "nobody learns which accounts exist");
    setup("alice", Some(FOREIGN_PIN), &password).says(&["key is not the pinned one", "operator", "pin"]);
    setup("alice", None, &password).says(&["certificate", "not one of a public authority", DOMAIN, "--pin"]);

    let signalling = gateway.signalling.clone();
    let profile = Phone::set_up(&gateway, folder.path(), "alice", &password).unwrap();
    drop(gateway);
    let down = |arguments: &[&str], stdin: &str| {
        let mut command = phone(&profile);
        command.args(arguments).args(NO_SOUND);
        refusal(PHONE, command, stdin, &phones).says(&["does not answer at", &signalling, "check", "gateway runs"]);
    };
    down(&["call", "bob"], "");
    down(&["headless"], "");
    let alice = format!("alice@{DOMAIN}");
    let again = ["setup", "--address", &alice, "--gateway", &signalling, "--pin", FOREIGN_PIN, "--password-stdin"];
    down(&again, "secret\n");
}

#[test]
fn a_phone_whose_account_or_pin_has_changed_says_so_and_a_call_to_nobody_just_fails() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path()).unwrap();
    let password = gateway.add_user("alice").unwrap();
    let profile = Phone::set_up(&gateway, folder.path(), "alice", &password).unwrap();
    let file = profile.join("phone.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let call = |target: &str| {
        let mut command = phone(&profile);
        command.args(["call", target]).args(NO_SOUND);
        run(command, "")
    };
    let nobody = call("nobody");
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stderr.is_empty() && nobody.stdout.lines().count() >= 2, "{nobody:?}");

    let changed = |from: &str, to: &str, words: &[&str]| {
        std::fs::write(&file, good.replace(from, to)).unwrap();
        for command in ["call", "listen", "echo", "headless"] {
            let mut phone = phone(&profile);
            phone.arg(command).args((command == "call").then_some("bob")).args(NO_SOUND);
            refusal(PHONE, phone, "", &profile).says(words);
        }
        std::fs::write(&file, &good).unwrap();
    };
    changed(&password, "wrong", &["gateway does not accept this account", "undertone setup"]);
    changed(&gateway.pin, FOREIGN_PIN, &["key is not the pinned one", "operator"]);
    for wrong in ["a b", "bob@", "sip:", "bob@elsewhere@gw"] {
        let said = call(wrong);
        assert_eq!((said.code, said.stderr.lines().count()), (Some(2), 1), "{wrong}: {said:?}");
    }
}

#[test]
fn an_expired_certificate_is_refused_by_the_gateway_that_has_it_and_by_phones() {
    let folder = tempfile::tempdir().unwrap();
    let expired = Expired::new();
    let (certificate, key) = expired.write(folder.path());
    let config = folder.path().join("gateway.toml");
    let mut init = gateway_init(&config);
    init.arg("--certificate").arg(&certificate).arg("--private-key").arg(&key);
    let words = ["certificate", certificate.to_str().unwrap(), "expired on", "renew it"];
    refusal(GATEWAY, init, "", folder.path()).says(&words);

    assert!(gateway_init(&config).output().unwrap().status.success());
    for (from, to) in [(&certificate, "tls/certificate.pem"), (&key, "tls/key.pem")] {
        std::fs::copy(from, folder.path().join(to)).unwrap();
    }
    let mut serve = gateway(&config);
    serve.arg("serve");
    refusal(GATEWAY, serve, "", folder.path()).says(&["tls/certificate.pem", "expired on", "renew it"]);

    // A gateway whose certificate expires while it runs.
    let (address, pin) = (expired.serve(), expired.pin().to_string());
    let phones = folder.path().join("phones");
    std::fs::create_dir(&phones).unwrap();
    let mut setup = phone(&phones.join("new"));
    setup.args(["setup", "--address", &format!("alice@{DOMAIN}"), "--password-stdin"]);
    setup.args(["--gateway", &address, "--pin", &pin]);
    refusal(PHONE, setup, "secret\n", &phones).says(&["certificate is expired", "clock", "operator"]);
}

#[test]
fn sound_that_cannot_be_used_is_refused_before_any_call() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("phone");
    let absent = folder.path().join("absent.wav");
    let text = folder.path().join("text.wav");
    std::fs::write(&text, b"this is no sound").unwrap();
    offline_setup(&profile);
    let kept = |arguments: &[&str], words: &[&str]| {
        let mut command = phone(&profile);
        // Neither a PulseAudio server nor an ALSA device.
        command.env("PULSE_SERVER", format!("unix:{}", folder.path().join("no-socket").display()));
        command.env("ALSA_CONFIG_PATH", folder.path().join("no-file")).env("XDG_RUNTIME_DIR", folder.path());
        command.args(arguments);
        refusal(PHONE, command, "", folder.path()).says(words);
    };
    for arguments in [&["call", "bob"][..], &["listen"], &["headless"], &["test-sound", "--seconds", "1"]] {
        kept(arguments, &["no microphone was found on this machine", "connect one", "--mic FILE.wav"]);
    }
    let new = folder.path().join("new.wav");
    let new = new.to_str().unwrap();
    kept(&["headless", "--mic", "silence"], &["no speaker was found", "--speaker FILE.wav"]);
    kept(&["headless", "--speaker", new], &["no microphone was found"]);
    kept(&["headless", "--mic", "Headset", "--speaker", "none"], &["no microphone", "--mic"]);
    for wav in [&absent, &text] {
        let wav = wav.to_str().unwrap();
        kept(&["headless", "--mic", wav, "--speaker", new], &[wav, "cannot be read as a WAV file", "--mic needs"]);
    }
    let nowhere = text.join("new.wav");
    let nowhere = nowhere.to_str().unwrap();
    kept(&["headless", "--mic", "silence", "--speaker", nowhere], &[nowhere, "cannot be written", "writable"]);
}

#[test]
fn a_folder_that_cannot_be_written_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("a-file");
    std::fs::write(&blocked, b"not a folder").unwrap();
    // Root may write nearly everywhere, but not below a file and not into /proc.
    for wrong in [blocked.join("deep/er"), PathBuf::from("/proc/undertone")] {
        let place = wrong.to_str().unwrap();
        let words = ["cannot write", place, "check the owner and free space"];
        let mut init = gateway_init(&folder.path().join("etc/gateway.toml"));
        init.arg("--state-folder").arg(&wrong);
        refusal(GATEWAY, init, "", folder.path()).says(&words);
        refusal(GATEWAY, gateway_init(&wrong.join("gateway.toml")), "", folder.path()).says(&words);
        let mut setup = phone(&wrong);
        setup.args(["setup", "--address", "alice@gw.test", "--offline", "--password-stdin"]);
        refusal(PHONE, setup, "secret\n", folder.path()).says(&words);
    }
}

#[test]
fn an_account_store_that_may_only_be_read_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    assert!(gateway_init(&config).output().unwrap().status.success());
    let state = folder.path().join("state");
    let store = state.join("accounts.sqlite");
    // Root may do anything, so the command runs as somebody else, with a copy of the program that anybody can reach.
    let program = folder.path().join("program");
    std::fs::copy(binary(GATEWAY).unwrap(), &program).unwrap();
    let is_root = folder.path().metadata().unwrap().uid() == 0;
    let hand_over = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        if is_root {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    };
    for path in [folder.path(), &folder.path().join("tls")] {
        hand_over(path, 0o700);
    }
    for path in [&config, &folder.path().join("tls/certificate.pem"), &folder.path().join("tls/key.pem")] {
        hand_over(path, 0o600);
    }
    let add = |mode: u32, words: &[&str]| {
        hand_over(&store, mode);
        hand_over(&state, 0o500);
        let mut command = Command::new(&program);
        command.arg("--config").arg(&config).args(["user", "add", "alice"]);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        refusal(GATEWAY, command, "", folder.path()).says(words);
    };
    let store = store.to_str().unwrap();
    add(0o400, &[store, "read-only", "as the user who owns it", "writable"]);
    add(0o000, &["cannot read", store, "as the user who owns it"]);
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn an_unknown_key_or_a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let profile = folder.path().join("phone");
    let tasks: [&[&str]; 4] = [&["serve"], &["user", "add", "bob"], &["user", "list"], &["pin"]];
    let gateway_refuses = |words: &[&str]| {
        for task in tasks {
            let mut command = gateway(&config);
            command.args(task);
            refusal(GATEWAY, command, "", folder.path()).says(words);
        }
    };
    let phone_refuses = |words: &[&str]| {
        for task in [&["call", "bob"][..], &["listen"], &["echo"], &["headless"]] {
            let mut command = phone(&profile);
            command.args(task).args(NO_SOUND);
            refusal(PHONE, command, "", folder.path()).says(words);
        }
    };
    let file = config.to_str().unwrap();
    gateway_refuses(&["no configuration file", file, "undertone-gateway init"]);
    phone_refuses(&["no configuration file", "phone/phone.toml", "undertone setup"]);

    assert!(gateway_init(&config).output().unwrap().status.success());
    offline_setup(&profile);
    let append = |path: &Path, line: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, format!("{text}{line}\n")).unwrap();
    };
    append(&config, "max_cals = 5");
    gateway_refuses(&[file, ", line ", "unknown field `max_cals`", "max_calls", "correct that line"]);
    append(&profile.join("phone.toml"), "pinn = \"sha256:x\"");
    phone_refuses(&["phone.toml, line ", "unknown field `pinn`", "correct that line"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, datagram) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (stream, datagram) =
        ((stream.local_addr().unwrap().to_string(), stream), (datagram.local_addr().unwrap().to_string(), datagram));
    for (option, taken) in [("--listen", &stream.0), ("--relay-listen", &datagram.0)] {
        let config = folder.path().join(option).join("gateway.toml");
        let other = if option == "--listen" { "--relay-listen" } else { "--listen" };
        let mut init = bare_init(&config);
        init.args([option, taken, other, "127.0.0.1:0"]);
        assert!(init.output().unwrap().status.success());
        let mut serve = gateway(&config);
        serve.arg("serve");
        refusal(GATEWAY, serve, "", folder.path()).says(&[taken, "in use by another program", "gateway.toml"]);
    }
    let mut direct = Command::new(binary(PHONE).unwrap());
    direct.args(["headless", "--json", "--direct", &stream.0]).args(NO_SOUND);
    let said = run(direct, "");
    let last: serde_json::Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((said.code, said.stderr.as_str(), &last["event"]), (Some(2), "", &"failed".into()), "{said:?}");
    let sentence = last["sentence"].as_str().unwrap();
    assert!(sentence.contains(&stream.0) && sentence.contains("a free address and port"), "{sentence}");
}

#[test]
fn wrong_arguments_are_one_sentence_in_words_or_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    assert!(gateway_init(&config).output().unwrap().status.success());
    let cases: [(&str, &[&str], &[&str]); 13] = [
        (PHONE, &["--bogus"], &["'--bogus'", "undertone --help"]),
        (PHONE, &["frobnicate"], &["'frobnicate'", "undertone --help"]),
        (PHONE, &["call"], &["<URI>", "undertone --help"]),
        (PHONE, &["test-sound", "--seconds", "0"], &["'0'", "--seconds", "3600"]),
        (PHONE, &["headless", "--direct", "0.0.0.0:5060"], &["--direct 0.0.0.0:5060", "write it like"]),
        (PHONE, &["setup", "--address", "alice"], &["--address", "alice"]),
        (PHONE, &["setup", "--address", "alice@gw.test", "--pin", "md5:1"], &["--pin", "md5:1", "sha256:"]),
        (PHONE, &["setup", "--address", "alice@gw.test", "--offline"], &["--password-stdin", "no terminal"]),
        (GATEWAY, &["serve", "--bogus"], &["'--bogus'", "undertone-gateway --help"]),
        (GATEWAY, &["user", "add"], &["<NAME>", "undertone-gateway --help"]),
        (GATEWAY, &["user", "add", "A b@c"], &["account name", "a-z", "choose another"]),
        (GATEWAY, &["user", "remove", "nobody"], &["no account nobody", "user list"]),
        (GATEWAY, &["serve", "--insecure-loopback-signalling", "192.0.2.1:5060"], &["192.0.2.1:5060", "loopback"]),
    ];
    for (program, arguments, words) in cases {
        let command = |json: bool| {
            let mut command = Command::new(binary(program).unwrap());
            command.arg(if program == PHONE { "--profile" } else { "--config" });
            command.arg(if program == PHONE { folder.path() } else { &config }).args(json.then_some("--json"));
            command.args(arguments);
            command
        };
        let plain = refusal(program, command(false), "", folder.path());
        plain.says(words);
        let said = run(command(true), "");
        let line: serde_json::Value = serde_json::from_str(said.stdout.trim_end()).unwrap();
        assert_eq!((said.code, said.stderr.as_str(), &line["event"]), (Some(2), "", &"failed".into()), "{said:?}");
        assert_eq!(line["sentence"].as_str(), Some(plain.line.as_str()));
    }
}

/// What a program said when it was refused something.
struct Refusal {
    line: String,
}

impl Refusal {
    fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.line.contains(word), "“{word}” is not in: {}", self.line);
        }
    }
}

/// Everything a finished program left.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a command that must end with code 2 and one line, and must not change anything in `untouched`.
fn refusal(program: &str, command: Command, stdin: &str, untouched: &Path) -> Refusal {
    let before = contents(untouched);
    let said = run(command, stdin);
    assert_eq!(said.code, Some(2), "{said:?}");
    let line = said.stderr.strip_prefix(&format!("{program}: ")).and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("{said:?}"));
    assert!(line.len() > 20 && !line.contains(['\n', '\r']), "one line: {said:?}");
    // One sentence, for people.
    assert!(!line.contains(". ") && !line.contains("os error") && !line.contains("panicked"), "{said:?}");
    assert_eq!(contents(untouched), before, "nothing half-written: {said:?}");
    Refusal { line: line.to_owned() }
}

fn run(mut command: Command, stdin: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Kept open: at its end a headless phone quits. A program that refuses its arguments does not read.
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(stdin.as_bytes());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    // A few lines: they fit into the pipes.
    child.stdout.unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
    Said { code: status.code(), stdout, stderr }
}

/// Every path below a folder, with the content of the files.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_folder = path.is_dir();
            found.insert(path.clone(), (!is_folder).then(|| std::fs::read(&path).unwrap_or_default()));
            if is_folder {
                open.push(path);
            }
        }
    }
    found
}

fn phone(profile: &Path) -> Command {
    let mut command = Command::new(binary(PHONE).unwrap());
    command.arg("--profile").arg(profile);
    command
}

fn gateway(config: &Path) -> Command {
    let mut command = Command::new(binary(GATEWAY).unwrap());
    command.arg("--config").arg(config);
    command
}

fn bare_init(config: &Path) -> Command {
    let mut command = gateway(config);
    command.args(["init", "--domain", DOMAIN, "--public-address", "127.0.0.1"]);
    command
}

fn gateway_init(config: &Path) -> Command {
    let mut command = bare_init(config);
    command.args(["--listen", "127.0.0.1:0", "--relay-listen", "127.0.0.1:0"]);
    command
}

fn offline_setup(profile: &Path) {
    let mut command = phone(profile);
    command.args(["setup", "--address", "alice@gw.test", "--offline", "--password-stdin"]);
    assert_eq!(run(command, "secret\n").code, Some(0));
}

/// A gateway's certificate that was valid in 2024.
struct Expired {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Expired {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec![DOMAIN.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2024, 12, 31);
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let files = (folder.join("old.pem"), folder.join("old-key.pem"));
        std::fs::write(&files.0, self.certificate.pem()).unwrap();
        undertone_config::write_private(&files.1, self.key.serialize_pem().as_bytes()).unwrap();
        files
    }

    fn pin(&self) -> Pin {
        let hash = ring::digest::digest(&ring::digest::SHA256, &self.key.subject_public_key_info());
        Pin::from_sha256(hash.as_ref().try_into().unwrap())
    }

    /// Takes TLS connections until the test ends; returns where.
    fn serve(&self) -> String {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"sip/2".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                // The phone breaks it off.
                let _ = tls.complete_io(&mut stream);
            }
        });
        address
    }
}
