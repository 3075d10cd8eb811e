//! Where phones are told to connect.

use undertone_config::GatewayConfig;

/// By the domain, or by the address if the gateway listens on one of its own.
pub(super) fn gateway_address(config: &GatewayConfig) -> String {
    match config.signalling_listen.first() {
        Some(listen) if listen.port() == 0 => config.domain.to_string(),
        Some(listen) if !listen.ip().is_unspecified() => listen.to_string(),
        Some(listen) => format!("{}:{}", config.domain, listen.port()),
        None => config.domain.to_string(),
    }
}
