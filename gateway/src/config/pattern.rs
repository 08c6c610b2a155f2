//! What a route's hosts, path and conditions are written as, what a rate limit counts by, texts that requests fill, and the
//! host that upstreams are told, parsed once.

mod condition;
mod expression;
mod figure;
mod host;
mod key;
mod origin;
mod path;
mod prefix;
mod regex;
mod route;
mod template;
mod text;
mod upstream_host;

pub use condition::{Condition, Test};
pub use expression::{BadExpression, Expression, Kind, Predicate, Reference, Variable};
pub(crate) use expression::{Fits, regex_number};
pub use figure::{BadFigure, Figure};
pub use host::{BadHost, HostPattern};
pub use key::{BadKey, KeyPart, RateLimitKey};
pub use origin::{BadOrigin, OriginPattern};
pub use path::{BadPath, PathPattern, Segment, Tail};
pub use prefix::{BadPrefix, PathPrefix};
pub use regex::{BadRegex, Case, RegexPattern};
pub use route::{BadHostMatch, BadPathMatch, HostMatch, PathMatch};
pub use template::{BadTemplate, Gap, Part, PathTemplate, TargetTemplate, ValueTemplate};
pub use text::{BadText, TextPattern};
pub use upstream_host::{BadUpstreamHost, UpstreamHost};
