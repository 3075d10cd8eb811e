//! The gateway's program in a folder of its own, and TLS clients that talk to it.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use undertone_sip::digest::{self, Challenge};
use undertone_sip::wire::Method;

pub const INIT: [&str; 9] = [
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
pub struct Gateway {
    pub folder: tempfile::TempDir,
}

pub struct Running {
    pub child: Child,
    pub ready: Value,
}

pub struct Phone {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Gateway {
    pub fn new() -> Self {
        let gateway = Self { folder: tempfile::tempdir().unwrap() };
        let made = gateway.init();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(
            said.contains("invite NAME")
                && said.contains("operator.key")
                && said.contains("serve")
                && said.contains("sha256:"),
            "{said}"
        );
        gateway
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    pub fn init(&self) -> Output {
        command(&self.config(), &INIT).output().unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        command(&self.config(), arguments).output().unwrap()
    }

    pub fn pin(&self) -> String {
        String::from_utf8(self.run(&["pin"]).stdout).unwrap().trim().to_owned()
    }

    pub fn add(&self, name: &str) -> Value {
        let added = self.run(&["user", "add", name, "--json"]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        serde_json::from_slice(&added.stdout).unwrap()
    }

    /// A command that works; its one JSON line.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A command that works; what it says.
    pub fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command that is refused with one sentence.
    pub fn refused(&self, arguments: &[&str], words: &str) {
        assert_refused(&self.run(arguments), words);
    }

    pub fn serve(&self, arguments: &[&str]) -> Running {
        Running::start(command(&self.config(), &["serve", "--json"]).args(arguments).stderr(Stdio::inherit()))
    }

    /// With one change to the configuration `serve` must refuse to start.
    pub fn edited(&self, from: &str, to: &str, words: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from} is not in the configuration");
        let edited = self.folder.path().join("edited.toml");
        std::fs::write(&edited, changed).unwrap();
        assert_refused(&command(&edited, &["serve"]).output().unwrap(), words);
    }
}

impl Running {
    /// Waits until it serves.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        Self { child, ready }
    }

    /// Whether these octets are anywhere in what the program has written to its memory.
    pub fn memory_holds(&self, octets: &[u8]) -> bool {
        let process = format!("/proc/{}", self.child.id());
        let maps = std::fs::read_to_string(format!("{process}/maps")).unwrap();
        let mut memory = std::fs::File::open(format!("{process}/mem")).unwrap();
        maps.lines().filter(|line| line.contains(" rw")).any(|line| {
            let bounds = line.split(' ').next().unwrap().split('-').map(|text| u64::from_str_radix(text, 16).unwrap());
            let bounds: Vec<u64> = bounds.collect();
            let mut block = vec![0; usize::try_from(bounds[1] - bounds[0]).unwrap()];
            memory.seek(SeekFrom::Start(bounds[0])).unwrap();
            // What has gone since it was listed holds nothing.
            memory.read_exact(&mut block).is_ok() && block.windows(octets.len()).any(|window| window == octets)
        })
    }

    pub fn connect(&self) -> Phone {
        self.handshake(&[&rustls::version::TLS13], b"sip/2").unwrap()
    }

    /// A phone with a device's key.
    pub fn connect_with(&self, device: &KeyPair) -> Phone {
        let certificate = CertificateParams::new(vec![]).unwrap().self_signed(device).unwrap().der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(device.serialize_der()));
        let config = client(&[&rustls::version::TLS13]).with_client_auth_cert(vec![certificate], key).unwrap();
        self.shake_hands(config, b"sip/2").unwrap()
    }

    pub fn handshake(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[u8],
    ) -> Result<Phone, std::io::Error> {
        self.shake_hands(client(versions).with_no_client_auth(), alpn)
    }

    fn shake_hands(&self, mut config: ClientConfig, alpn: &[u8]) -> Result<Phone, std::io::Error> {
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
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn read(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub fn response(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push_str(&self.read(1));
        }
        text
    }

    /// What still comes until the gateway closes; a reset counts as closed.
    pub fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }
}

fn client(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.dangerous().with_custom_certificate_verifier(verifier)
}

pub fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_undertone-gateway"));
    command.arg("--config").arg(config).args(arguments);
    command
}

pub fn assert_refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}: {said}");
    assert!(said.contains(words), "{words}: {said}");
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    assert!(output.stdout.is_empty());
}

pub fn register(cseq: &str, authorization: Option<&str>) -> String {
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

pub fn authorization(challenged: &str, name: &str, password: &str) -> String {
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
