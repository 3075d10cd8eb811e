//! The domain a gateway serves: the part of an account's address after the `@` (RFC 3261 §19.1.1).

use std::fmt;
use std::str::FromStr;

/// Longest host name (RFC 1035 §2.3.4), in octets.
const MAX_DOMAIN_LEN: usize = 253;

/// A lower-case host name such as `gw.example`, or an IPv4 literal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

/// Why a text is not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is not a host name; write letters, digits, dots and hyphens only, such as gw.example")]
pub struct DomainError(String);

impl Domain {
    /// The domain in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let lower = text.to_ascii_lowercase();
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if lower.len() > MAX_DOMAIN_LEN || !lower.split('.').all(label_ok) {
            return Err(DomainError(text.to_owned()));
        }
        Ok(Self(lower))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_kept_in_lower_case() {
        assert_eq!("GW.Example".parse::<Domain>().expect("valid").as_str(), "gw.example");
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for bad in ["", ".", "a..b", "a b", "-a", "a-", "a/b", "a@b", "é.example", "a\r\nb"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad:?}");
        }
    }
}
