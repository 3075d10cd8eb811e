//! The gateway's configuration, `gateway.toml`.

use crate::domain::Domain;
use crate::error::ConfigError;
use crate::raw;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Calls at the same time unless `relay.max_calls` says otherwise: 100 packets a second each is a
/// load that one core carries several times over.
const DEFAULT_MAX_CALLS: u32 = 500;

/// Upper end of `relay.max_calls`: the slot table is allocated at start.
const LARGEST_MAX_CALLS: u32 = 20_000;

/// What the gateway needs to start, checked.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Domain of all accounts of this gateway.
    pub domain: Domain,
    /// Folder of the account store.
    pub state_folder: PathBuf,
    /// Addresses of the SIP-over-TLS listeners; port 0 lets the system choose.
    pub signalling_listen: Vec<SocketAddr>,
    /// TLS certificate chain, PEM.
    pub certificate: PathBuf,
    /// TLS private key, PEM (PKCS #8).
    pub private_key: PathBuf,
    /// The media relay.
    pub relay: RelayConfig,
}

/// The media relay's addresses and size.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// UDP address of the relay for IPv4, if it serves that family.
    pub listen_v4: Option<SocketAddr>,
    /// UDP address of the relay for IPv6, if it serves that family.
    pub listen_v6: Option<SocketAddr>,
    /// IPv4 address that phones are told; equals the listening one unless behind NAT.
    pub public_v4: Option<IpAddr>,
    /// IPv6 address that phones are told.
    pub public_v6: Option<IpAddr>,
    /// Calls carried at the same time.
    pub max_calls: u32,
}

/// Where the gateway's configuration is kept unless `--config` names another file.
pub fn default_gateway_file() -> PathBuf {
    PathBuf::from("/etc/undertone/gateway.toml")
}

impl GatewayConfig {
    /// Reads and checks `file`; relative paths inside it are taken from its folder.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = raw::load(file, "run `undertone-gateway init` first, or name the file with --config FILE")?;
        Self::parse(&text, file)
    }

    /// Checks `text` as the content of `file`.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Gateway = raw::read(text, file)?;
        let value = |key, problem: String| ConfigError::Value { file: file.to_owned(), key, problem };
        let folder = file.parent().unwrap_or(Path::new("."));
        let listen = addresses(&raw.signalling.listen, |problem| value("signalling.listen", problem))?;
        if listen.is_empty() {
            return Err(value("signalling.listen", "is empty; write for example [\"0.0.0.0:5061\"]".into()));
        }
        Ok(Self {
            domain: raw.domain.parse().map_err(|e: crate::DomainError| value("domain", e.to_string()))?,
            state_folder: folder.join(raw.state_folder),
            signalling_listen: listen,
            certificate: folder.join(raw.signalling.certificate),
            private_key: folder.join(raw.signalling.private_key),
            relay: relay(&raw.relay, value)?,
        })
    }
}

fn addresses(texts: &[String], refuse: impl Fn(String) -> ConfigError) -> Result<Vec<SocketAddr>, ConfigError> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|_| {
                refuse(format!("“{text}” is not an address and port; write for example 0.0.0.0:5061 or [::]:5061"))
            })
        })
        .collect()
}

fn relay(raw: &raw::Relay, value: impl Fn(&'static str, String) -> ConfigError) -> Result<RelayConfig, ConfigError> {
    let listen = addresses(&raw.listen, |problem| value("relay.listen", problem))?;
    let one_per_family = |v4: bool| -> Result<Option<SocketAddr>, ConfigError> {
        let mut of_family = listen.iter().filter(|address| address.is_ipv4() == v4);
        let first = of_family.next().copied();
        if of_family.next().is_some() {
            return Err(value("relay.listen", "names two addresses of one family; keep one IPv4 and one IPv6".into()));
        }
        Ok(first)
    };
    let (listen_v4, listen_v6) = (one_per_family(true)?, one_per_family(false)?);
    if listen.is_empty() {
        return Err(value("relay.listen", "is empty; write for example [\"203.0.113.5:40000\"]".into()));
    }
    let mut public = Vec::new();
    for text in &raw.public_addresses {
        let address: IpAddr = text.parse().map_err(|_| {
            value("relay.public_addresses", format!("“{text}” is not an IP address; write it without a port"))
        })?;
        public.push(address);
    }
    let public_of = |listen: Option<SocketAddr>| -> Result<Option<IpAddr>, ConfigError> {
        let Some(listen) = listen else { return Ok(None) };
        let told = public.iter().find(|address| address.is_ipv4() == listen.is_ipv4()).copied();
        let address = told.unwrap_or(listen.ip());
        if address.is_unspecified() {
            return Err(value(
                "relay.public_addresses",
                format!("phones cannot send to {address}; write the address by which they reach this machine"),
            ));
        }
        Ok(Some(address))
    };
    let max_calls = raw.max_calls.unwrap_or(DEFAULT_MAX_CALLS);
    if !(1..=LARGEST_MAX_CALLS).contains(&max_calls) {
        return Err(value("relay.max_calls", format!("{max_calls} is outside 1 to {LARGEST_MAX_CALLS}")));
    }
    Ok(RelayConfig {
        public_v4: public_of(listen_v4)?,
        public_v6: public_of(listen_v6)?,
        listen_v4,
        listen_v6,
        max_calls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
domain = "gw.example"
state_folder = "/var/lib/undertone"
[signalling]
listen = ["0.0.0.0:5061", "[::]:5061"]
certificate = "tls/certificate.pem"
private_key = "tls/key.pem"
[relay]
listen = ["0.0.0.0:40000", "[2001:db8::5]:40000"]
public_addresses = ["203.0.113.5"]
"#;

    fn parse(text: &str) -> Result<GatewayConfig, ConfigError> {
        GatewayConfig::parse(text, Path::new("/etc/undertone/gateway.toml"))
    }

    #[test]
    fn a_good_file_is_read_with_paths_from_its_own_folder() {
        let config = parse(GOOD).expect("valid");
        assert_eq!(config.certificate, Path::new("/etc/undertone/tls/certificate.pem"));
        assert_eq!(config.state_folder, Path::new("/var/lib/undertone"));
        assert_eq!(config.relay.public_v4, Some("203.0.113.5".parse().expect("address")));
        assert_eq!(config.relay.public_v6, Some("2001:db8::5".parse().expect("address")));
        assert_eq!(config.relay.max_calls, DEFAULT_MAX_CALLS);
    }

    #[test]
    fn each_mistake_is_a_sentence_that_names_file_key_and_value() {
        for (from, to, words) in [
            ("domain = \"gw.example\"", "domain = \"gw example\"", "key “domain”: “gw example”"),
            ("domain", "domian", "unknown field `domian`"),
            ("0.0.0.0:5061", "0.0.0.0", "key “signalling.listen”: “0.0.0.0”"),
            ("203.0.113.5", "203.0.113.5:40000", "key “relay.public_addresses”: “203.0.113.5:40000”"),
            ("[\"203.0.113.5\"]", "[]", "phones cannot send to 0.0.0.0"),
            ("[relay]", "[relay]\nmax_calls = 0", "key “relay.max_calls”: 0 is outside"),
            ("0.0.0.0:40000\", \"", "0.0.0.0:40000\", \"127.0.0.1:1\", \"", "two addresses of one family"),
            ("listen = [\"0.0.0.0:40000", "listen = 4 #", "line 9"),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1)).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.starts_with("/etc/undertone/gateway.toml"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_names_the_command_that_makes_it() {
        let error = GatewayConfig::load(Path::new("/nonexistent/gateway.toml")).expect_err("missing").to_string();
        assert!(error.contains("undertone-gateway init"), "{error}");
    }
}
