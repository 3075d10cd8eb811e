//! Looking attributes up: the media line's own first, then the session's (RFC 8866 §5.13).

use sdp_types::Attribute;

/// Attributes of the audio line and of the session around it.
pub(super) struct Attributes<'a> {
    pub(super) media: &'a [Attribute],
    pub(super) session: &'a [Attribute],
}

impl<'a> Attributes<'a> {
    /// Whether the attribute is there on either level.
    pub(super) fn has(&self, name: &str) -> bool {
        self.level(name).is_some()
    }

    /// The first value of the attribute.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// All values of the attribute on the level that has it.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let level = self.level(name).unwrap_or_default();
        let name = name.to_owned();
        level
            .iter()
            .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(&name))
            .filter_map(|attribute| attribute.value.as_deref())
    }

    fn level(&self, name: &str) -> Option<&'a [Attribute]> {
        let holds = |level: &[Attribute]| level.iter().any(|a| a.attribute.eq_ignore_ascii_case(name));
        [self.media, self.session].into_iter().find(|level| holds(level))
    }
}
