//! RTCP (RFC 3550 §6): reports about one received stream, compound packets of one size, and when to send.
//!
//! What goes out is only ever sender or receiver report, a random CNAME and filler. Never a BYE: in the
//! clear it would tell that a call ends, and hang-up is signalling's business.

mod compound;
mod reception;
mod schedule;

pub use compound::{Compound, Report, ReportBlock, SenderInfo, parse};
pub use reception::Reception;
pub(crate) use reception::duration_of;
pub use schedule::{NtpClock, Schedule};

#[cfg(test)]
mod tests;
