//! What a route's hosts and path are written as, what a rate limit counts by, and texts that requests fill, parsed once.

mod host;
mod key;
mod origin;
mod path;
mod prefix;
mod template;

pub use host::{BadHost, HostPattern};
pub use key::{BadKey, RateLimitKey};
pub use origin::{BadOrigin, OriginPattern};
pub use path::{BadPath, PathPattern, Segment, Tail};
pub use prefix::{BadPrefix, PathPrefix};
pub use template::{BadTemplate, Gap, Part, PathTemplate, TargetTemplate, ValueTemplate};
