//! Sockets, clock and threads of the gateway.
//!
//! ```text
//!   TLS listener ─▶ one task per connection ─┬─▶ core task (owns core::Gateway) ─▶ write queues
//!                        store thread ◀──────┤             │ errands   (owns store::AccountWatch)
//!                            relay thread ◀──┴─────────────┘ orders    (owns core::relay::Relay)
//! ```
//! Every channel is bounded. What overflows is said where it is made.

mod connection;
mod core_task;
mod error;
mod listener;
mod relay_thread;
mod serve;
mod sockets;
mod store_thread;
mod udp_batch;

pub use connection::{FIRST_REQUEST_WITHIN, HANDSHAKE_WITHIN, IDLE_LIMIT, MAX_QUEUED_MESSAGES};
pub use error::ServeError;
pub use listener::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_NETWORK};
pub use serve::{Ready, Served, serve};
