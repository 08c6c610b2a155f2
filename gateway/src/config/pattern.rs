//! What a route's hosts and path are written as, and what a rate limit counts by, parsed once.

mod host;
mod key;
mod path;

pub use host::{BadHost, HostPattern};
pub use key::{BadKey, RateLimitKey};
pub use path::{BadPath, PathPattern, Segment, Tail};
