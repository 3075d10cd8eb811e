//! Codecs of a description (`a=rtpmap`, `a=fmtp`; RFC 7587 Opus, RFC 2198 red, RFC 4733 telephone-event).

/// Encoding name of Opus.
pub const OPUS: &str = "opus";
/// Encoding name of redundant audio.
pub const RED: &str = "red";
/// Encoding name of telephone events.
pub const TELEPHONE_EVENT: &str = "telephone-event";

/// Longest format parameters that are carried; real ones are below 100 characters.
const MAX_FMTP: usize = 256;

/// Format parameters of Opus that pass from phone to phone (RFC 7587 §6.1); anything else would be a
/// channel for a phone's name or version.
const OPUS_PARAMETERS: [&str; 9] = [
    "maxplaybackrate",
    "sprop-maxcapturerate",
    "maxaveragebitrate",
    "stereo",
    "sprop-stereo",
    "cbr",
    "useinbandfec",
    "usedtx",
    "minptime",
];

/// One payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Payload type, 0 to 127.
    pub pt: u8,
    /// Encoding name in lower case.
    pub name: String,
    /// Clock rate in Hz.
    pub clock: u32,
    /// Channels; 1 if not named.
    pub channels: u8,
    /// Format parameters.
    pub fmtp: Option<String>,
}

impl Codec {
    /// Opus as our phones offer it.
    pub fn opus(pt: u8) -> Self {
        let fmtp = Some("usedtx=0;cbr=1;useinbandfec=1".to_owned());
        Self { pt, name: OPUS.to_owned(), clock: 48_000, channels: 2, fmtp }
    }

    /// Redundant audio over one other payload type.
    pub fn red(pt: u8, over: u8) -> Self {
        let fmtp = Some(format!("{over}/{over}"));
        Self { pt, name: RED.to_owned(), clock: 48_000, channels: 2, fmtp }
    }

    /// Telephone events 0–15 on the given clock.
    pub fn telephone_event(pt: u8, clock: u32) -> Self {
        let fmtp = Some("0-15".to_owned());
        Self { pt, name: TELEPHONE_EVENT.to_owned(), clock, channels: 1, fmtp }
    }

    /// Whether both name the same format, payload type and parameters aside.
    pub fn same_format(&self, other: &Self) -> bool {
        self.name == other.name && self.clock == other.clock && self.channels == other.channels
    }

    /// The codec as it may travel to the other phone: `None` if it is not one of ours; parameters cut
    /// down to the known ones.
    pub(super) fn carried(&self) -> Option<Self> {
        let keep: fn(&str) -> String = match self.name.as_str() {
            OPUS => keep_opus,
            RED => |text| keep_chars(text, "0123456789/"),
            TELEPHONE_EVENT => |text| keep_chars(text, "0123456789-,"),
            _ => return None,
        };
        let fmtp = self.fmtp.as_deref().map(keep).filter(|text| !text.is_empty());
        Some(Self { fmtp, ..self.clone() })
    }
}

fn keep_opus(text: &str) -> String {
    let known = |param: &&str| {
        param
            .split_once('=')
            .is_some_and(|(name, value)| OPUS_PARAMETERS.contains(&name) && value.bytes().all(|b| b.is_ascii_digit()))
    };
    text.split(';').map(str::trim).filter(known).collect::<Vec<_>>().join(";")
}

fn keep_chars(text: &str, allowed: &str) -> String {
    if text.len() <= MAX_FMTP && text.chars().all(|c| allowed.contains(c)) { text.to_owned() } else { String::new() }
}
