//! Whom a process is connected to, as the Linux kernel lists it: no trust in what the program says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel's tables; the ones for IPv6 are absent where it is switched off.
const TABLES: [&str; 4] = ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"];

/// Remote addresses of all connected sockets of a process; `None` where the system has no such list.
pub(super) fn peers_of(process: u32) -> Option<BTreeSet<SocketAddr>> {
    let own = sockets_of(process)?;
    let mut peers = BTreeSet::new();
    for table in TABLES {
        let text = fs::read_to_string(table).unwrap_or_default();
        let ours = text.lines().skip(1).filter_map(parse_line).filter(|(inode, _)| own.contains(inode));
        peers.extend(ours.map(|(_, peer)| peer));
    }
    Some(peers)
}

/// Inodes of a process's sockets.
fn sockets_of(process: u32) -> Option<BTreeSet<u64>> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let inode = |link: std::path::PathBuf| {
        let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
        text.parse().ok()
    };
    Some(entries.flatten().filter_map(|entry| inode(fs::read_link(entry.path()).ok()?)).collect())
}

/// Inode and remote address of one line; `None` for sockets without a remote address.
fn parse_line(line: &str) -> Option<(u64, SocketAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let peer = parse_address(fields.get(2)?)?;
    let inode = fields.get(9)?.parse().ok()?;
    (peer.port() != 0).then_some((inode, peer))
}

/// `0100007F:1F90`: each 32-bit word of the address in the machine's byte order, the port in hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<u8> = (0..address.len() / 8)
        .map(|word| u32::from_str_radix(&address[word * 8..word * 8 + 8], 16))
        .collect::<Result<Vec<u32>, _>>()
        .ok()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let ip = match words.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(words).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_of_this_process_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        if let Some(peers) = peers_of(std::process::id()) {
            assert!(peers.contains(&stream.peer_addr().unwrap()), "{peers:?}");
        }
    }

    #[test]
    fn a_listening_socket_has_no_peer() {
        let line = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1";
        assert_eq!(parse_line(line), None);
        assert_eq!(parse_line("not a line"), None);
        assert_eq!(parse_address("00000000000000000000000000000000:0001").unwrap().port(), 1);
        assert_eq!(parse_address("zz"), None);
    }
}
