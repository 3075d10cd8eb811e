//! What the signalling side wants of a call's media: travels to the media thread.

use std::net::SocketAddr;

use undertone_media::session;

use super::call::CallId;
use super::ice;
use super::verification;

/// What the signalling side wants of a call's media.
#[derive(Debug)]
pub enum MediaCommand {
    /// Build a `MediaPath` from the settings. Where that fails, report the failure as `MediaEvent::Failed`.
    Open {
        /// The call.
        call: CallId,
        /// Everything agreed on.
        settings: Box<Settings>,
    },
    /// Check anew with these credentials (RFC 8445 §9); keys and sound go on.
    RestartIce {
        /// The call.
        call: CallId,
        /// This phone's half.
        local: ice::Credentials,
        /// The relay's half.
        remote: ice::Remote,
    },
    /// Without ICE: the other side moved its media to another address.
    Redirect {
        /// The call.
        call: CallId,
        /// Where to.
        remote: SocketAddr,
    },
    /// Microphone off or on.
    Mute {
        /// The call.
        call: CallId,
        /// `true`: off.
        on: bool,
    },
    /// On hold or back.
    Hold {
        /// The call.
        call: CallId,
        /// `true`: on hold.
        on: bool,
    },
    /// Send one key of the dial pad.
    Dtmf {
        /// The call.
        call: CallId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// Let no sound out any more: people found that somebody sits in between.
    CloseSound {
        /// The call.
        call: CallId,
    },
    /// Tell the caller, inside the call, that another phone used their link before.
    TellLinkUsed {
        /// The call.
        call: CallId,
    },
    /// End it: hand it to `MediaPath::handle_command`, pass the last outputs on, then drop the path.
    Close {
        /// The call.
        call: CallId,
    },
}

/// Everything a `MediaPath` is built from.
#[derive(Debug)]
pub struct Settings {
    /// How the other side is reached.
    pub route: Route,
    /// The session on top.
    pub session: session::Settings,
    /// The verification to run inside it; `None` with phones that cannot.
    pub verification: Option<verification::Wanted>,
}

/// How the other side is reached.
#[derive(Debug)]
pub enum Route {
    /// Through a relay that answers ICE checks.
    Relay {
        /// This phone's half of the ICE credentials.
        local: ice::Credentials,
        /// The relay's half and its addresses.
        remote: ice::Remote,
    },
    /// At the address from its SDP, without ICE.
    Address(SocketAddr),
}

impl MediaCommand {
    /// The call it is about.
    pub fn call(&self) -> CallId {
        match self {
            Self::Open { call, .. }
            | Self::RestartIce { call, .. }
            | Self::Redirect { call, .. }
            | Self::Mute { call, .. }
            | Self::Hold { call, .. }
            | Self::Dtmf { call, .. }
            | Self::CloseSound { call }
            | Self::TellLinkUsed { call }
            | Self::Close { call } => *call,
        }
    }
}
