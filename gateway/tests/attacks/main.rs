//! Attacks, each with its count: what people on the internet try against SIP servers and relays, and what the holder of
//! one account tries against the others. Against the gateway's cores in virtual time, and against its running program.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::print_stdout, unreachable_pub)]

mod calls;
mod forgery;
mod injection;
mod live;
#[path = "../program/mod.rs"]
mod program;
mod relay;
#[path = "../relay_world/mod.rs"]
mod relay_world;
mod sign_in;
#[path = "../world/mod.rs"]
mod world;
