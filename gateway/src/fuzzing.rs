//! A door for the crate `fuzz`, to what reads bytes from the network. No part of the library.

pub use crate::screen::BodyFraming;
use crate::screen::Limits;
use crate::server::{Chunks, read_head};

const LIMITS: Limits = Limits { uri: 8192, headers: 32_768 };

/// Where the request's head in `bytes` ends, and how its body is framed; none when it is refused, or not whole.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(usize, BodyFraming)> {
    read_head(bytes, &LIMITS)
}

/// How many bytes of a chunked body that comes in these `parts` are its own, and whether it is whole; none when it is refused.
#[must_use]
pub fn chunks(parts: &[&[u8]]) -> Option<(usize, bool)> {
    let mut chunks = Chunks::new(LIMITS.headers);
    let own = parts.iter().try_fold(0, |own, part| chunks.look(part).map(|more| own + more)).ok()?;
    Some((own, chunks.is_done()))
}
