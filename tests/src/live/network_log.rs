//! Whom a process talked to, as the system saw it: read from an `strace -e trace=network` log.

use super::process::LiveError;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// System calls that name the other side; `bind` and `getsockname` name one's own.
const NAMES_A_PEER: [&str; 7] = ["connect(", "sendto(", "sendmsg(", "sendmmsg(", "recvfrom(", "recvmsg(", "recvmmsg("];

/// Every internet address the process sent to, connected to or received from.
pub fn peers(log: &Path) -> Result<BTreeSet<SocketAddr>, LiveError> {
    let what = || format!("reading {}", log.display());
    let text = std::fs::read_to_string(log).map_err(|reason| LiveError::Io { what: what(), reason })?;
    Ok(text.lines().filter(|line| NAMES_A_PEER.iter().any(|call| line.contains(call))).flat_map(addresses).collect())
}

/// The addresses in one line of the log; IPv4 seen through an IPv6 socket counts as IPv4.
fn addresses(line: &str) -> Vec<SocketAddr> {
    line.match_indices("_port=htons(")
        .filter_map(|(at, found)| {
            let rest = &line[at + found.len()..];
            let port: u16 = rest.split(')').next()?.parse().ok()?;
            let quoted = rest.split('"').nth(1)?;
            Some(SocketAddr::new(quoted.parse::<IpAddr>().ok()?.to_canonical(), port))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_for_both_families_and_own_addresses_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let lines = [
            r#"7 bind(9, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("10.0.0.1")}, 16) = 0"#,
            r#"7 connect(9, {sa_family=AF_INET, sin_port=htons(5061), sin_addr=inet_addr("127.0.0.1")}, 16) = 0"#,
            r#"8 sendto(3, "\200x", 2, 0, {sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 2"#,
            r#"8 connect(3, {sa_family=AF_INET6, sin6_port=htons(8), inet_pton(AF_INET6, "::ffff:10.0.0.2", &sin6_addr)}, 28) = 0"#,
            r#"8 sendto(3, "\200x", 2, 0, NULL, 0) = 2"#,
        ];
        std::fs::write(&log, lines.join("\n")).unwrap();
        let expected = ["127.0.0.1:5061", "[::1]:9", "10.0.0.2:8"].map(|text| text.parse().unwrap());
        assert_eq!(peers(&log).unwrap(), BTreeSet::from(expected));
    }
}
