//! A password or other text that must not be copied, printed or left in memory.

use std::fmt;
use zeroize::Zeroizing;

/// Text that is wiped when dropped. It has no `Clone`, no `Serialize` and an opaque `Debug`.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `text`; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, to be used and not kept.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_only_the_name_of_the_type() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret");
    }
}
