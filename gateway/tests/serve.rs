//! The program from outside: `init`, `user add`, `serve`, a TLS client, and every way it refuses to start.

#![allow(clippy::unwrap_used)]

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, SignatureScheme, StreamOwned};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use undertone_sip::digest::{self, Challenge};
use undertone_sip::wire::Method;

#[test]
fn a_gateway_is_set_up_in_two_commands_and_a_phone_signs_in() {
    let gateway = Gateway::new();
    let account = gateway.add("alice");
    assert_eq!(account["address"], "alice@localhost");
    assert_eq!(account["pin"], gateway.pin());
    let running = gateway.serve(&[]);
    assert_eq!(running.ready["pin"], gateway.pin());
    let mut phone = running.connect();
    phone.send(&register("1", None));
    let challenged = phone.response();
    assert!(challenged.starts_with("SIP/2.0 401 "), "{challenged}");
    let password = account["password"].as_str().unwrap();
    phone.send(&register("2", Some(&authorization(&challenged, "alice", password))));
    let welcome = phone.response();
    assert!(welcome.starts_with("SIP/2.0 200 "), "{welcome}");
    for secret in ["127.0.0.1", "undertone", "Server:", "User-Agent:", "Date:"] {
        assert!(!welcome.contains(secret), "{secret}: {welcome}");
    }
}

#[test]
fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let gateway = Gateway::new();
    gateway.add("alice");
    let running = gateway.serve(&[]);
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        let mut phone = running.connect();
        phone.send(&register("1", None).replace("alice", name));
        let challenged = phone.response();
        let authorization = authorization(&challenged, name, "wrong-password");
        phone.send(&register("2", Some(&authorization)).replace("sip:alice", &format!("sip:{name}")));
        answers.push(phone.response().lines().next().unwrap().to_owned());
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].contains(" 200 "), "{answers:?}");
}

#[test]
fn the_connection_is_tls_1_3_post_quantum_and_speaks_sip_only() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let mut phone = running.connect();
    phone.send("\r\n\r\n");
    let connection = &phone.stream.conn;
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(connection.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(connection.alpn_protocol(), Some(&b"sip/2"[..]));
    assert!(running.handshake(&[&rustls::version::TLS12], b"sip/2").is_err());
    assert!(running.handshake(&[&rustls::version::TLS13], b"h2").is_err());
}

#[test]
fn a_keep_alive_is_answered_and_what_is_no_sip_closes_only_its_own_connection() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let mut phone = running.connect();
    phone.send("\r\n\r\n");
    assert_eq!(phone.read(2), "\r\n");
    let mut other = running.connect();
    other.send(&"x".repeat(20_000));
    assert_eq!(other.read_to_end(), "", "closed without a word");
    let mut third = running.connect();
    third.send("INVITE sip:a SIP/2.0\r\nContent-Length: nonsense\r\n\r\n");
    third.read_to_end();
    phone.send("\r\n\r\n");
    assert_eq!(phone.read(2), "\r\n");
}

#[test]
fn accounts_added_while_it_runs_can_sign_in_and_removed_ones_are_cut_off() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let account = gateway.add("alice");
    let mut phone = running.connect();
    phone.send(&register("1", None));
    let challenged = phone.response();
    let password = account["password"].as_str().unwrap();
    phone.send(&register("2", Some(&authorization(&challenged, "alice", password))));
    assert!(phone.response().starts_with("SIP/2.0 200 "));
    assert!(gateway.run(&["user", "remove", "alice"]).status.success());
    let removed = Instant::now();
    phone.read_to_end();
    assert!(removed.elapsed() < Duration::from_secs(3));
}

#[test]
fn the_relays_port_says_nothing_to_a_stranger() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for first in 0..=u8::MAX {
        stranger.send_to(&[first; 100], running.ready["relay"][0].as_str().unwrap()).unwrap();
    }
    assert!(stranger.recv(&mut [0; 100]).is_err());
}

#[test]
fn a_stop_closes_connections_and_ends_with_code_0() {
    let gateway = Gateway::new();
    for signal in ["TERM", "INT"] {
        let mut running = gateway.serve(&[]);
        let mut phone = running.connect();
        phone.send("\r\n\r\n");
        phone.read(2);
        let pid = running.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(phone.read_to_end(), "");
        assert_eq!(running.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn unencrypted_signalling_is_for_loopback_only() {
    let gateway = Gateway::new();
    let refused = gateway.run(&["serve", "--insecure-loopback-signalling", "0.0.0.0:0"]);
    assert_refused(&refused, "loopback");
    let running = gateway.serve(&["--insecure-loopback-signalling", "127.0.0.1:0"]);
    let mut phone = TcpStream::connect(running.ready["insecure_signalling"].as_str().unwrap()).unwrap();
    phone.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    phone.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[test]
fn init_overwrites_nothing_and_leaves_nothing_behind_when_it_fails() {
    let gateway = Gateway::new();
    let before = std::fs::read(gateway.config()).unwrap();
    assert_refused(&gateway.init(), "there already");
    assert_eq!(std::fs::read(gateway.config()).unwrap(), before);

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    std::fs::write(folder.path().join("state"), b"a file where a folder should be").unwrap();
    let failed = command(&config, &INIT).output().unwrap();
    assert_refused(&failed, "cannot write");
    assert!(!config.exists() && !folder.path().join("tls/key.pem").exists());
}

#[test]
fn each_reason_not_to_start_is_one_sentence_and_code_2() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let (signalling, relay) = (running.ready["signalling"][0].as_str(), running.ready["relay"][0].as_str());
    gateway.edited("127.0.0.1:0\"]\n# PEM", &format!("{}\"]\n# PEM", signalling.unwrap()), "in use by another program");
    gateway.edited(
        "[\"127.0.0.1:0\"]\n# The",
        &format!("[\"{}\"]\n# The", relay.unwrap()),
        "in use by another program",
    );
    gateway.edited("127.0.0.1:0\"]\n# PEM", "192.0.2.1:5061\"]\n# PEM", "not an address of this machine");
    gateway.edited("domain = \"localhost\"", "domain = \"other.example\"", "were made for localhost");
    gateway.edited("domain", "domian", "domian");
    gateway.edited("certificate.pem", "key.pem", "holds no certificate");
    gateway.edited("/state\"", "/elsewhere\"", "no account store");
    assert_refused(&command(Path::new("/nonexistent/gateway.toml"), &["serve"]).output().unwrap(), "init");
    for name in ["", "Alice", "a b", "anonymous", "a@b"] {
        assert_refused(&gateway.run(&["user", "add", name]), "name");
    }
    assert_refused(&gateway.run(&["user", "remove", "nobody"]), "no account nobody");
    gateway.add("alice");
    assert_refused(&gateway.run(&["user", "add", "alice"]), "already");
    assert_eq!(gateway.run(&["serve", "--nonsense"]).status.code(), Some(2));
}

const INIT: [&str; 9] = [
    "init",
    "--domain",
    "localhost",
    "--public-address",
    "127.0.0.1",
    "--listen",
    "127.0.0.1:0",
    "--relay-listen",
    "127.0.0.1:0",
];

/// A gateway of its own in a temporary folder.
struct Gateway {
    folder: tempfile::TempDir,
}

struct Running {
    child: Child,
    ready: Value,
}

struct Phone {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Gateway {
    fn new() -> Self {
        let gateway = Self { folder: tempfile::tempdir().unwrap() };
        let made = gateway.init();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(said.contains("user add NAME") && said.contains("serve") && said.contains("sha256:"), "{said}");
        gateway
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn init(&self) -> Output {
        command(&self.config(), &INIT).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        command(&self.config(), arguments).output().unwrap()
    }

    fn pin(&self) -> String {
        String::from_utf8(self.run(&["pin"]).stdout).unwrap().trim().to_owned()
    }

    fn add(&self, name: &str) -> Value {
        let added = self.run(&["user", "add", name, "--json"]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        serde_json::from_slice(&added.stdout).unwrap()
    }

    fn serve(&self, arguments: &[&str]) -> Running {
        let mut child = command(&self.config(), &["serve", "--json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        Running { child, ready }
    }

    /// With one change to the configuration `serve` must refuse to start.
    fn edited(&self, from: &str, to: &str, words: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from} is not in the configuration");
        let edited = self.folder.path().join("edited.toml");
        std::fs::write(&edited, changed).unwrap();
        assert_refused(&command(&edited, &["serve"]).output().unwrap(), words);
    }
}

impl Running {
    fn connect(&self) -> Phone {
        self.handshake(&[&rustls::version::TLS13], b"sip/2").unwrap()
    }

    fn handshake(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[u8],
    ) -> Result<Phone, std::io::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = TcpStream::connect(self.ready["signalling"][0].as_str().unwrap())?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Phone { stream: StreamOwned::new(connection, tcp) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Phone {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    fn read(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn response(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push_str(&self.read(1));
        }
        text
    }

    /// What still comes until the gateway closes; a reset counts as closed.
    fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_undertone-gateway"));
    command.arg("--config").arg(config).args(arguments);
    command
}

fn assert_refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}: {said}");
    assert!(said.contains(words), "{words}: {said}");
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    assert!(output.stdout.is_empty());
}

fn register(cseq: &str, authorization: Option<&str>) -> String {
    let authorization = authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
    format!(
        "REGISTER sip:localhost SIP/2.0\r\n\
         Via: SIP/2.0/TLS x.invalid;branch=z9hG4bK{cseq}abcdef;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@localhost>;tag=1\r\n\
         To: <sip:alice@localhost>\r\n\
         Call-ID: 0123456789abcdef\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Contact: <sip:alice@x.invalid;transport=tls>;reg-id=1;\
         +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\"\r\n\
         Supported: path, outbound\r\n\
         Expires: 600\r\n\
         {authorization}Content-Length: 0\r\n\r\n"
    )
}

fn authorization(challenged: &str, name: &str, password: &str) -> String {
    let value = challenged.lines().find_map(|line| line.strip_prefix("WWW-Authenticate: ")).unwrap();
    let challenge = Challenge::parse(value).unwrap();
    let ha1 = digest::ha1(name, &challenge.realm, password);
    challenge.answer(name, &ha1, &Method::Register, "sip:localhost", 1, "0a4f113b").to_string()
}

/// The pin is what phones check; these tests check other things.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
