//! The header fields of a message: an ordered list with typed accessors.
//!
//! Values are header text, unfolded. A value that came through [`super::parse`] has been checked, so a
//! typed accessor's error means "absent" there; values pushed by this program are checked when read.

use super::cseq::CSeq;
use super::grammar::{FieldError, number, split_commas, trim};
use super::header_name::HeaderName;
use super::name_addr::NameAddr;
use super::via::Via;

/// Ordered header fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends a field.
    pub fn push(&mut self, name: HeaderName, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    /// Puts a field before all others of its name, or at the end if there is none (a proxy's or user
    /// agent's own `Via`).
    pub fn push_front(&mut self, name: HeaderName, value: impl Into<String>) {
        let at = self.0.iter().position(|(n, _)| *n == name).unwrap_or(self.0.len());
        self.0.insert(at, (name, value.into()));
    }

    /// Replaces all fields of this name by one, at the place of the first.
    pub fn set(&mut self, name: HeaderName, value: impl Into<String>) {
        let at = self.0.iter().position(|(n, _)| *n == name);
        self.0.retain(|(n, _)| *n != name);
        self.0.insert(at.unwrap_or(self.0.len()), (name, value.into()));
    }

    /// Takes all fields of this name out.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(n, _)| n != name);
    }

    /// The first field's value.
    pub fn get(&self, name: &HeaderName) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The values of all fields of this name, not split at commas.
    pub fn get_all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All elements of a list header, over all its fields, split at top-level commas and trimmed.
    /// Not for challenges and credentials, whose own parameters stand between commas: use [`Headers::get_all`].
    pub fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
        self.get_all(name).flat_map(split_commas).filter(|value| !value.is_empty())
    }

    /// Whether a list header holds this element (compared without case), for option tags and the like.
    pub fn lists(&self, name: &HeaderName, element: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(element))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The topmost `Via` value.
    pub fn via_top(&self) -> Result<Via, FieldError> {
        let value = self.values(&HeaderName::Via).next().ok_or(FieldError("Missing Via"))?;
        Via::parse(value)
    }

    /// All `Via` values, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, FieldError> {
        self.values(&HeaderName::Via).map(Via::parse).collect()
    }

    /// `From`.
    pub fn from(&self) -> Result<NameAddr, FieldError> {
        NameAddr::parse(self.get(&HeaderName::From).ok_or(FieldError("Missing From"))?)
    }

    /// `To`.
    pub fn to(&self) -> Result<NameAddr, FieldError> {
        NameAddr::parse(self.get(&HeaderName::To).ok_or(FieldError("Missing To"))?)
    }

    /// `Call-ID`.
    pub fn call_id(&self) -> Result<&str, FieldError> {
        self.get(&HeaderName::CallId).ok_or(FieldError("Missing Call-ID"))
    }

    /// `CSeq`.
    pub fn cseq(&self) -> Result<CSeq, FieldError> {
        CSeq::parse(self.get(&HeaderName::CSeq).ok_or(FieldError("Missing CSeq"))?)
    }

    /// The first `Contact`; an error if there is none or it is `*`.
    pub fn contact(&self) -> Result<NameAddr, FieldError> {
        let value = self.values(&HeaderName::Contact).next();
        NameAddr::parse(value.ok_or(FieldError("Missing Contact"))?)
    }

    /// All `Contact` values; empty for `Contact: *`, which [`Headers::contact_is_star`] tells.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, FieldError> {
        if self.contact_is_star() {
            return Ok(Vec::new());
        }
        self.values(&HeaderName::Contact).map(NameAddr::parse).collect()
    }

    /// Whether the only contact is `*` (RFC 3261 §10.2.2: take all bindings away).
    pub fn contact_is_star(&self) -> bool {
        let mut values = self.values(&HeaderName::Contact);
        values.next() == Some("*") && values.next().is_none()
    }

    /// The addresses of `Route`, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, FieldError> {
        self.values(&HeaderName::Route).map(NameAddr::parse).collect()
    }

    /// The addresses of `Record-Route`, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, FieldError> {
        self.values(&HeaderName::RecordRoute).map(NameAddr::parse).collect()
    }

    /// `Max-Forwards`; absent is allowed (RFC 3261 §16.3) and counts as 70 where it matters.
    pub fn max_forwards(&self) -> Option<u8> {
        let value = number(trim(self.get(&HeaderName::MaxForwards)?), 255, FieldError("")).ok()?;
        u8::try_from(value).ok()
    }

    /// `Expires` in seconds.
    pub fn expires(&self) -> Option<u32> {
        self.seconds(&HeaderName::Expires)
    }

    /// `Min-Expires` in seconds.
    pub fn min_expires(&self) -> Option<u32> {
        self.seconds(&HeaderName::MinExpires)
    }

    /// `Min-SE` in seconds (RFC 4028), parameters ignored.
    pub fn min_se(&self) -> Option<u32> {
        self.seconds(&HeaderName::MinSe)
    }

    /// `Session-Expires` (RFC 4028): seconds and the refresher (`uac` or `uas`) if it is named.
    pub fn session_expires(&self) -> Option<(u32, Option<&str>)> {
        let seconds = self.seconds(&HeaderName::SessionExpires)?;
        let refresher = self.get(&HeaderName::SessionExpires)?.split(';').skip(1).find_map(|param| {
            let (name, value) = param.split_once('=')?;
            trim(name).eq_ignore_ascii_case("refresher").then(|| trim(value))
        });
        Some((seconds, refresher))
    }

    /// `Retry-After` in seconds, comment and parameters ignored.
    pub fn retry_after(&self) -> Option<u32> {
        self.seconds(&HeaderName::RetryAfter)
    }

    /// `Content-Type` without parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let value = self.get(&HeaderName::ContentType)?;
        let essence = value.split(';').next().unwrap_or_default();
        Some(essence.split_ascii_whitespace().collect::<String>().to_ascii_lowercase())
    }

    /// Whether the body is compressed or otherwise not what its type says (`Content-Encoding`, RFC 3261 §20.12).
    pub fn is_encoded(&self) -> bool {
        self.values(&HeaderName::ContentEncoding).any(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    }

    /// The delta-seconds a value starts with.
    fn seconds(&self, name: &HeaderName) -> Option<u32> {
        let value = trim(self.get(name)?);
        let digits = value.split(|c: char| !c.is_ascii_digit()).next()?;
        let seconds = number(digits, u64::from(u32::MAX), FieldError("")).ok()?;
        u32::try_from(seconds).ok()
    }
}

impl FromIterator<(HeaderName, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (HeaderName, String)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}
