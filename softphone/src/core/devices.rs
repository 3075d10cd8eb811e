//! What a device may ask its gateway about the devices of its account, and what it is told: one line each way.
//!
//! ```text
//!   add              ─▶  token TOKEN / expires SECONDS / operator KEY
//!   list             ─▶  HASH YYYY-MM-DD this|other   (per device)
//!   revoke HASH      ─▶  nothing
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::{Date, Month};
use undertone_config::{LinkToken, OperatorKey};
use zeroize::Zeroizing;

use super::device_hash::DeviceHash;

/// The kind of body that questions and answers have.
pub const CONTENT_TYPE: &str = "application/undertone-devices";
/// Lines of an answer that are read: far more devices than an account may have.
const MAX_LINES: usize = 64;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceQuestion {
    /// An invite for one more device.
    Add,
    /// Which devices there are.
    List,
    /// Let this device in no more.
    Revoke(DeviceHash),
}

/// What the gateway says to it.
#[derive(Debug)]
pub enum DeviceAnswer {
    /// The invite.
    Invite(DeviceInvite),
    /// All devices.
    Devices(Vec<Device>),
    /// The device is out.
    Revoked,
}

/// An invite for one more device.
#[derive(Debug)]
pub struct DeviceInvite {
    /// Lets it in, once.
    pub token: LinkToken,
    /// Until when, in seconds since 1970.
    pub expires_s: u64,
    /// Under which key the gateway says its next key is announced.
    pub operator: OperatorKey,
}

/// A device of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// What the gateway knows it by.
    pub hash: DeviceHash,
    /// The day on which it joined.
    pub added: Date,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

impl DeviceQuestion {
    /// The body of the request.
    #[must_use]
    pub fn body(&self) -> String {
        match self {
            Self::Add => "add".to_owned(),
            Self::List => "list".to_owned(),
            Self::Revoke(hash) => format!("revoke {hash}"),
        }
    }

    /// Reads the body of the answer; `None` if it is none.
    #[must_use]
    pub fn read(&self, body: &[u8]) -> Option<DeviceAnswer> {
        let text = std::str::from_utf8(body).ok()?;
        let lines: Vec<&str> = text.split_terminator("\r\n").take(MAX_LINES + 1).collect();
        match self {
            _ if lines.len() > MAX_LINES => None,
            Self::Add => read_invite(&lines).map(DeviceAnswer::Invite),
            Self::List => {
                let devices: Option<Vec<Device>> = lines.iter().map(|line| read_device(line)).collect();
                devices.filter(|devices| !devices.is_empty()).map(DeviceAnswer::Devices)
            }
            Self::Revoke(_) => lines.is_empty().then_some(DeviceAnswer::Revoked),
        }
    }
}

fn read_invite(lines: &[&str]) -> Option<DeviceInvite> {
    let [token, expires, operator] = lines else { return None };
    let decoded = URL_SAFE_NO_PAD.decode(token.strip_prefix("token ")?).map(Zeroizing::new).ok()?;
    Some(DeviceInvite {
        token: LinkToken::new(decoded.as_slice().try_into().ok()?),
        expires_s: expires.strip_prefix("expires ")?.parse().ok()?,
        operator: operator.strip_prefix("operator ")?.parse().ok()?,
    })
}

fn read_device(line: &str) -> Option<Device> {
    let mut words = line.split(' ');
    let (hash, day, which) = (words.next()?, words.next()?, words.next()?);
    let is_this = match which {
        "this" => true,
        "other" => false,
        _ => return None,
    };
    let device = Device { hash: hash.parse().ok()?, added: read_day(day)?, is_this };
    words.next().is_none().then_some(device)
}

/// `YYYY-MM-DD`.
fn read_day(text: &str) -> Option<Date> {
    let number = |range: std::ops::Range<usize>| {
        text.get(range).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u16>().ok()
    };
    if text.len() != 10 || text.get(4..5) != Some("-") || text.get(7..8) != Some("-") {
        return None;
    }
    let (year, month, day) = (number(0..4)?, u8::try_from(number(5..7)?).ok()?, u8::try_from(number(8..10)?).ok()?);
    Date::from_calendar_date(year.into(), Month::try_from(month).ok()?, day).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn an_invite_has_exactly_its_three_lines() {
        let token = URL_SAFE_NO_PAD.encode([9; 32]);
        let operator = OperatorKey::from_bytes([4; 32]);
        let good = format!("token {token}\r\nexpires 1800000000\r\noperator {operator}\r\n");
        let Some(DeviceAnswer::Invite(invite)) = DeviceQuestion::Add.read(good.as_bytes()) else { panic!("{good}") };
        assert_eq!((invite.token.expose(), invite.expires_s, invite.operator), (&[9; 32], 1_800_000_000, operator));
        assert!(!format!("{invite:?}").contains(&token));
        for (from, to) in [
            ("token ", "tokens "),
            (token.as_str(), "short"),
            ("1800000000", "soon"),
            ("expires", "operator"),
            ("operator ", "operator x"),
            ("\r\noperator", "\noperator"),
        ] {
            assert!(DeviceQuestion::Add.read(good.replacen(from, to, 1).as_bytes()).is_none(), "{from} {to}");
        }
        assert!(DeviceQuestion::Add.read(format!("{good}more\r\n").as_bytes()).is_none());
        assert!(DeviceQuestion::Add.read(&[0xff, 0xfe]).is_none());
    }

    #[test]
    fn a_list_says_when_each_device_joined_and_which_one_asks() {
        let body = format!("{HASH} 2026-02-28 this\r\n{} 2026-11-25 other\r\n", HASH.replace('0', "f"));
        let Some(DeviceAnswer::Devices(devices)) = DeviceQuestion::List.read(body.as_bytes()) else { panic!("{body}") };
        assert_eq!(devices.iter().map(|device| device.is_this).collect::<Vec<_>>(), [true, false]);
        assert_eq!((devices[0].hash.to_string(), devices[0].added.to_string()), (HASH.into(), "2026-02-28".into()));
        for bad in [
            "2026-02-30 this",
            "26-02-28 this",
            "2026-2-28 this",
            "2026-02-28 mine",
            "2026-02-28 this x",
            "+026-02-28 this",
        ] {
            assert!(DeviceQuestion::List.read(format!("{HASH} {bad}\r\n").as_bytes()).is_none(), "{bad}");
        }
        assert!(DeviceQuestion::List.read(b"").is_none(), "there is at least the one that asks");
    }

    #[test]
    fn an_endless_list_is_not_read() {
        let line = format!("{HASH} 2026-02-28 other\r\n");
        assert!(DeviceQuestion::List.read(line.repeat(MAX_LINES).as_bytes()).is_some());
        assert!(DeviceQuestion::List.read(line.repeat(MAX_LINES + 1).as_bytes()).is_none());
    }

    #[test]
    fn a_revocation_is_confirmed_by_an_empty_answer() {
        let question = DeviceQuestion::Revoke(HASH.parse().unwrap());
        assert_eq!(question.body(), format!("revoke {HASH}"));
        assert!(matches!(question.read(b""), Some(DeviceAnswer::Revoked)));
        assert!(question.read(b"no\r\n").is_none());
    }
}
