//! Calls: INVITE, the dialog it makes, and how it ends (RFC 3261 §9, §13–15, RFC 3311, RFC 4028).
//!
//! ```text
//!  caller                                        callee
//!  Calling ── INVITE ─▶                          Incoming ── event IncomingInvite
//!    │  ◀─ 18x (early dialogs, bounded)            │ ring: 18x ─▶ (again every minute)
//!    │  hang up: Withdrawing ── CANCEL ─▶          │ ◀─ CANCEL: 487 ─▶, over
//!    │  ◀─ 200: ACK ─▶                             │ accept: 200 ─▶ (again until ACK)
//!    ▼                                             ▼
//!  Established                                   Accepted ── ◀─ ACK ──▶ Established
//!    │ re-INVITE, UPDATE either way, 491 on glare; refresh at half the session interval
//!    │ BYE ─▶ Closing ── ◀─ 200 ──▶ over          ◀─ BYE: 200 ─▶, over
//! ```
//! A 200 that crosses our CANCEL, comes from a second fork or carries no SDP is acknowledged and
//! followed by BYE. A callee that wants to hang up before the ACK waits for it (§15).

mod acknowledgements;
mod callee;
mod caller;
mod ending;
mod glare;
mod offer;
mod refresh;
mod session;
mod session_timer;

pub(crate) use session::{Phase, Session, SessionAlarm};
