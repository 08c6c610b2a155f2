//! Tells others of revocations as they happen, so that nobody has to ask for each token.
//!
//! The store has the truth. A `Feed` has all of it in memory, with the latest in order: what this process writes at once
//! (`accounts`), what others write within half a second (`keeper`). From there it goes to whoever follows, over HTTP
//! (`endpoint`) and through Redis (`publisher`). There is a feed only where one of these is configured.

mod endpoint;
mod feed;
mod keeper;
mod publisher;

pub(crate) use endpoint::Follow;
pub(crate) use feed::Feed;
pub(crate) use keeper::keep;
pub(crate) use publisher::publish;
