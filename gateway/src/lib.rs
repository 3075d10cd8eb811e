//! The gateway: signs phones in, connects their calls and relays what they say without being able to hear it.
//!
//! [`core`] is pure state. [`net`] gives it sockets, clock and threads, [`store`] its accounts, [`tls`] its identity,
//! [`cli`] its operator; [`confinement`] takes from all of them what they do not need, and [`wiping_allocator`] forgets what all of them have given up.

pub mod cli;
pub mod confinement;
pub mod core;
pub mod net;
pub mod store;
pub mod tls;
pub mod wiping_allocator;
