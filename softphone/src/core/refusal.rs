//! What a refused sign-in means for the person: the gateway says it in a reason phrase.

use super::event::Trouble;

/// The trouble behind a final refusal of REGISTER.
pub(super) fn trouble(status: u16, reason: &str, has_password: bool) -> Trouble {
    match (status, reason) {
        (403, "This invite has been used") => Trouble::InviteUsed,
        (403, "This invite has expired") => Trouble::InviteExpired,
        (403, "This invite is not known here") => Trouble::InviteUnknown,
        (403, "This account has too many devices") => Trouble::TooManyDevices,
        (403, "Too many phones are signed in to this account: sign one out first") => Trouble::TooManyPhones,
        // A device's key cannot be mistyped: not known once, it is not allowed.
        (403, "This device is not known for this account") | (401 | 404 | 407, _) if !has_password => {
            Trouble::DeviceNotAllowed
        }
        // Any other reason says nothing of the device: it must not give up for good.
        (403, _) if !has_password => Trouble::GatewayRefused,
        (401 | 403 | 404 | 407, _) => Trouble::AccountRefused,
        _ => Trouble::GatewayRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_an_invite_or_device_is_told_apart() {
        for (status, reason, has_password, expected) in [
            (403, "This invite has been used", false, Trouble::InviteUsed),
            (403, "This invite has expired", false, Trouble::InviteExpired),
            (403, "This invite is not known here", false, Trouble::InviteUnknown),
            (403, "This account has too many devices", false, Trouble::TooManyDevices),
            (403, "This device is not known for this account", false, Trouble::DeviceNotAllowed),
            (401, "Unauthorized", false, Trouble::DeviceNotAllowed),
            (403, "Too many phones are signed in to this account: sign one out first", false, Trouble::TooManyPhones),
            (403, "Too many phones are signed in to this account: sign one out first", true, Trouble::TooManyPhones),
            (403, "A reason of its own", false, Trouble::GatewayRefused),
            (403, "Forbidden", true, Trouble::AccountRefused),
            (401, "This invite has been used", true, Trouble::AccountRefused),
            (400, "This invite has been used", false, Trouble::GatewayRefused),
        ] {
            assert_eq!(trouble(status, reason, has_password), expected, "{status} {reason}");
        }
    }
}
