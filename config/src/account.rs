//! Names of accounts and their full addresses, `name@domain`.

use crate::domain::{Domain, DomainError};
use std::fmt;
use std::str::FromStr;

/// Longest account name, in octets: long enough for any pseudonym; gateways take no longer ones.
const MAX_NAME_LEN: usize = 32;

/// An account's name on its gateway: lower-case letters, digits, `.`, `_`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

/// An account's full address, such as `alice@gw.example`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountAddress {
    name: AccountName,
    domain: Domain,
}

/// Why a text is no account name or address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountAddressError {
    /// The name has a character that is not allowed, or is empty or too long.
    #[error("“{0}” is not an account name; use up to 32 small letters, digits, dots, hyphens or underscores")]
    Name(String),
    /// There is no `@`.
    #[error("“{0}” is not a full address; write it as name@gateway, such as alice@gw.example")]
    NoDomain(String),
    /// The part after the `@` is no host name.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl AccountName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountAddress {
    /// Joins a name and the domain of its gateway.
    pub fn new(name: AccountName, domain: Domain) -> Self {
        Self { name, domain }
    }

    /// The part before the `@`.
    pub fn name(&self) -> &AccountName {
        &self.name
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

impl FromStr for AccountName {
    type Err = AccountAddressError;

    fn from_str(text: &str) -> Result<Self, AccountAddressError> {
        let lower = text.to_ascii_lowercase();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if lower.is_empty() || lower.len() > MAX_NAME_LEN || !lower.bytes().all(allowed) {
            return Err(AccountAddressError::Name(text.to_owned()));
        }
        Ok(Self(lower))
    }
}

impl FromStr for AccountAddress {
    type Err = AccountAddressError;

    /// Accepts `alice@gw.example` and, as people paste it, `sip:alice@gw.example`.
    fn from_str(text: &str) -> Result<Self, AccountAddressError> {
        let bare = text.trim();
        let bare = bare.strip_prefix("sip:").or_else(|| bare.strip_prefix("sips:")).unwrap_or(bare);
        let (name, domain) = bare.split_once('@').ok_or_else(|| AccountAddressError::NoDomain(text.to_owned()))?;
        Ok(Self { name: name.parse()?, domain: domain.parse()? })
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_its_scheme() {
        for text in ["alice@gw.example", "sip:Alice@GW.example", " sips:alice@gw.example "] {
            assert_eq!(text.parse::<AccountAddress>().expect("valid").to_string(), "alice@gw.example");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_remedy() {
        let error = "alice".parse::<AccountAddress>().expect_err("has no domain");
        assert!(error.to_string().contains("name@gateway"));
        for bad in
            ["@gw.example", "a b@gw.example", "alice@", "alice@gw example", "al\r\nice@gw.example", "a%@gw.example"]
        {
            assert!(bad.parse::<AccountAddress>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(MAX_NAME_LEN + 1).parse::<AccountName>().is_err());
    }
}
