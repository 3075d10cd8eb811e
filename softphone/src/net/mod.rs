//! The phone's sockets: the TLS connection to the gateway, direct SIP for bench and interop, and the media thread.

pub mod flow;
pub mod tls;
pub mod trust;
