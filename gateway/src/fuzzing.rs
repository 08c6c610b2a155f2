//! A door for the crate `fuzz`, to what reads bytes from the network. No part of the library.

use crate::screen::{BodyFraming, Limits};
use crate::server::{Chunks, read_head};

const LIMITS: Limits = Limits { uri: 8192, headers: 32_768 };

/// Where the request's head in `bytes` ends, and whether its body is chunked; none when it is refused, or not whole.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(usize, bool)> {
    read_head(bytes, &LIMITS).map(|(end, framing)| (end, framing == BodyFraming::Chunked))
}

/// Whether a chunked body that comes in these `parts` is whole; none when it is refused.
#[must_use]
pub fn chunks(parts: &[&[u8]]) -> Option<bool> {
    let mut chunks = Chunks::new(LIMITS.headers);
    parts.iter().try_for_each(|part| chunks.look(part).map(drop)).ok()?;
    Some(chunks.is_done())
}
