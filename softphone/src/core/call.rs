//! One call: who is at the other end and how far it has come.

use serde::Serialize;

/// Names one call of this phone for as long as the phone runs; never sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CallId(pub u64);
