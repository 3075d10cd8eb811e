//! Calls between two sessions in virtual time, as the people and as an observer see them.

mod call_pair;
mod calls;
mod post_quantum;
mod traffic;
