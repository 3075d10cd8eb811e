//! A link that this phone gave out: whom it was made for, how long it is good, and who has used it.

use time::{Date, Duration};
use undertone_config::LinkToken;
use undertone_media::verify::IdentityPublic;

/// How many days a link is good after the one on which it was made.
pub const LINK_LIFE_DAYS: i64 = 7;
/// How many days after that it is remembered, so that a late or second use can be told from a forgery.
const REMEMBERED_DAYS: i64 = 90;

/// Names one link on this phone; never sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// A link that was given out.
#[derive(Debug)]
pub struct OpenLink {
    /// Names it.
    pub id: LinkId,
    /// Its secret.
    pub token: LinkToken,
    /// What the person is called who gets it.
    pub name: String,
    /// When it was made.
    pub made: Date,
    /// Whose phone used it.
    pub used_by: Option<IdentityPublic>,
}

impl OpenLink {
    /// Whether it may be used on this day by this key: not expired, and not used by another one.
    #[must_use]
    pub fn is_good_for(&self, key: &IdentityPublic, today: Date) -> bool {
        !self.is_expired(today) && self.used_by.is_none_or(|used_by| used_by == *key)
    }

    /// Whether its days are over.
    #[must_use]
    pub fn is_expired(&self, today: Date) -> bool {
        today > self.made.saturating_add(Duration::days(LINK_LIFE_DAYS))
    }

    /// Whether it need not be remembered any more.
    #[must_use]
    pub(super) fn is_forgotten(&self, today: Date) -> bool {
        today > self.made.saturating_add(Duration::days(LINK_LIFE_DAYS + REMEMBERED_DAYS))
    }
}
