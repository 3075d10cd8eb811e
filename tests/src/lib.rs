//! What the test suites of the whole product share.

pub mod correlation;
pub mod live;
pub mod villain;
pub mod world;
