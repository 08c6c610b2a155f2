//! What a route's hosts, path and conditions are written as, and what a rate limit counts by, parsed once.

mod condition;
mod host;
mod key;
mod path;
mod regex;
mod route;

pub use condition::{Condition, Test};
pub use host::{BadHost, HostPattern};
pub use key::{BadKey, RateLimitKey};
pub use path::{BadPath, PathPattern, Segment, Tail};
pub use regex::{BadRegex, Case, RegexPattern};
pub use route::{BadHostMatch, BadPathMatch, HostMatch, PathMatch};
