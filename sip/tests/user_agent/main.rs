//! Two user agents and the link between them, in virtual time.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, unreachable_pub, missing_docs)]

mod calls;
mod hand;
mod loss;
mod pair;
mod races;
mod refusals;
mod timers;
mod walks;
