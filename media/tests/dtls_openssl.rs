//! OpenSSL as a foreign judge: it stands for phones with RSA certificates, in both roles, over
//! loopback sockets. Skipped, with a word, where the `openssl` program is missing.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use undertone_media::certificate::Certificate;
use undertone_media::dtls::{Association, Connected, Output, Peer, Role, Version};
use undertone_media::srtp::{Context, ExporterBlock, Profile, SsrcPolicy};

const LIMIT: Duration = Duration::from_secs(15);

#[test]
fn openssl_as_server_with_an_rsa_certificate_agrees_on_keys() {
    let Some(identity) = Identity::make() else { return };
    for (profile, offered) in PROFILES {
        let port = free_port();
        let openssl =
            OpenSsl::start(&identity, &["s_server", "-accept", &port.to_string(), "-Verify", "1"], profile, offered);
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connected = handshake(&socket, Some(peer), Role::Client, &identity);
        openssl.agrees_with(&connected, profile);
    }
}

#[test]
fn openssl_as_client_with_an_rsa_certificate_agrees_on_keys() {
    let Some(identity) = Identity::make() else { return };
    for (profile, offered) in PROFILES {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let openssl = OpenSsl::start(&identity, &["s_client", "-connect", &address], profile, offered);
        let connected = handshake(&socket, None, Role::Server, &identity);
        openssl.agrees_with(&connected, profile);
    }
}

const PROFILES: [(Profile, &str); 3] = [
    (Profile::AeadAes256Gcm, "SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"),
    (Profile::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM"),
    (Profile::AesCm128HmacSha1_80, "SRTP_AES128_CM_SHA1_80"),
];

/// Drives our side in real time until it is connected.
fn handshake(socket: &UdpSocket, peer: Option<SocketAddr>, role: Role, other: &Identity) -> Box<Connected> {
    let own = Certificate::generate(SystemTime::now()).unwrap();
    let start = Instant::now();
    let mut association = Association::new(Peer::Foreign, role, &own, other.fingerprint, start);
    let mut peer = peer;
    let mut buffer = [0; 2048];
    let mut connected = None;
    while start.elapsed() < LIMIT {
        while let Some(output) = association.poll_output() {
            match output {
                Output::Transmit(datagram) => {
                    socket.send_to(&datagram, peer.unwrap()).unwrap();
                }
                Output::Connected(outcome) => connected = Some(outcome),
                Output::Data(_) => {}
                Output::Failed(failure) => panic!("{failure}"),
            }
        }
        if let Some(connected) = connected {
            return connected;
        }
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            peer = Some(from);
            association.handle_datagram(&buffer[..len], Instant::now());
        }
        if association.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            association.handle_timeout(Instant::now());
        }
    }
    panic!("no connection with OpenSSL within {LIMIT:?}");
}

/// A running `openssl`, killed at the end.
struct OpenSsl {
    child: Child,
    lines: Receiver<String>,
}

impl OpenSsl {
    fn start(identity: &Identity, arguments: &[&str], profile: Profile, offered: &str) -> Self {
        let len = profile.exporter_len().to_string();
        let mut child = Command::new("openssl")
            .args(arguments)
            .args(["-dtls1_2", "-use_srtp", offered])
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", &len])
            .arg("-cert")
            .arg(identity.folder.path().join("cert.pem"))
            .arg("-key")
            .arg(identity.folder.path().join("key.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Protects with our keys and opens with those OpenSSL printed.
    fn agrees_with(&self, connected: &Connected, profile: Profile) {
        assert_eq!((connected.profile, connected.version), (profile, Version::Dtls12));
        let exported = self.keying_material();
        let theirs = ExporterBlock::new(profile, &exported).unwrap();
        let mut ours = Context::new(&connected.keys, connected.role, SsrcPolicy::Fixed);
        let mut theirs = Context::new(&theirs, connected.role.other(), SsrcPolicy::Fixed);
        let mut packet = [0x80; 100];
        let len = ours.protect_rtp(&mut packet, 60).unwrap();
        assert_eq!(theirs.unprotect_rtp(&mut packet[..len]), Ok(60));
    }

    fn keying_material(&self) -> Vec<u8> {
        loop {
            let line = self.lines.recv_timeout(LIMIT).expect("openssl prints the keying material");
            if let Some((_, hex)) = line.split_once("Keying material: ") {
                let digits: Vec<u8> = hex.trim().bytes().map(|c| char::from(c).to_digit(16).unwrap() as u8).collect();
                return digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            }
        }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An RSA-3072 certificate and key, as Debian's baresip and linphone make them.
struct Identity {
    folder: tempfile::TempDir,
    fingerprint: [u8; 32],
}

impl Identity {
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-subj", "/CN=phone"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this test needs the openssl program");
            return None;
        }
        let der = Command::new("openssl")
            .args(["x509", "-in", "cert.pem", "-outform", "DER"])
            .current_dir(folder.path())
            .output()
            .unwrap()
            .stdout;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &der).as_ref());
        Some(Self { folder, fingerprint })
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
