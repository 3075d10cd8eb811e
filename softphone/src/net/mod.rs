//! The phone's sockets: the TLS connection to the gateway, direct SIP for bench and interop, and the media thread.

pub mod direct;
pub mod driver;
pub mod errand;
pub mod flow;
pub mod gateway_access;
pub mod media_socket;
pub mod media_thread;
pub mod signals;
pub mod tls;
pub mod trust;
