//! Datagrams that reach an association during its handshake. The input is a list of datagrams, each
//! behind its length in two bytes.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use undertone_media::certificate::Certificate;
use undertone_media::dtls::{Association, Output, Peer, Role};

/// More steps than that are slow and teach nothing new.
const MAX_DATAGRAMS: usize = 24;

/// Panics where something does not hold.
pub fn check(bytes: &[u8]) {
    static CERTIFICATE: OnceLock<Option<Certificate>> = OnceLock::new();
    let made = CERTIFICATE.get_or_init(|| Certificate::generate(SystemTime::UNIX_EPOCH).ok());
    let Some(certificate) = made else { return };
    for peer in [Peer::Ours, Peer::Foreign] {
        for role in [Role::Client, Role::Server] {
            let mut now = Instant::now();
            let mut association = Association::new(peer, role, certificate, [9; 32], now);
            for datagram in datagrams(bytes).take(MAX_DATAGRAMS) {
                now += Duration::from_millis(50);
                association.handle_datagram(datagram, now);
                association.handle_timeout(now);
                drain(&mut association);
            }
            now += Duration::from_secs(60);
            association.handle_timeout(now);
            drain(&mut association);
            assert_eq!(association.poll_timeout(), None, "an unfinished handshake ended");
        }
    }
}

fn drain(association: &mut Association) {
    while let Some(output) = association.poll_output() {
        assert!(!matches!(output, Output::Connected(_)), "connected to nobody");
    }
}

fn datagrams(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (datagram, next) = behind.split_at(len);
        rest = next;
        Some(datagram)
    })
}
