//! Follows the bytes of a connection to where its present request ends (RFC 9112, section 6).
//!
//! Pingora finds the end by itself, and it alone decides what the request's body is. This only keeps it from reading
//! further: where the two do not agree on an end, the connection ends instead.

use super::chunks::{BadChunks, Chunks};
use crate::screen::BodyFraming;

/// What is still to come of a request.
#[derive(Debug)]
pub(super) enum Extent {
    /// So many bytes.
    Bytes(u64),
    /// Chunks, up to the one that is the last.
    Chunks(Chunks),
    /// Whatever comes: the connection may change its protocol.
    Open,
}

impl Extent {
    /// What comes behind a head that says `framing`; extensions and trailers of chunks may have `allowance` bytes together.
    pub(super) const fn of(framing: BodyFraming, allowance: usize) -> Self {
        match framing {
            BodyFraming::Length(length) => Self::Bytes(length),
            BodyFraming::Chunked => Self::Chunks(Chunks::new(allowance)),
            BodyFraming::Open => Self::Open,
        }
    }

    /// Whether the request has come to its end.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0))
    }

    /// Passes over those of `bytes` that belong to the request, and says how many they are.
    ///
    /// # Errors
    /// When they are chunks that must not go on.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<usize, BadChunks> {
        match self {
            Self::Bytes(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= own as u64;
                Ok(own)
            }
            Self::Chunks(chunks) => {
                let own = chunks.look(bytes)?;
                if chunks.is_done() {
                    *self = Self::Bytes(0);
                }
                Ok(own)
            }
            Self::Open => Ok(bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNKED: BodyFraming = BodyFraming::Chunked;

    /// How many bytes belong to the request, and whether it is over then, when they come in pieces that end at `cuts`.
    fn pass(framing: BodyFraming, bytes: &[u8], cuts: &[usize]) -> (usize, bool) {
        let mut extent = Extent::of(framing, 1024);
        let mut own = 0;
        let mut begin = 0;
        for end in cuts.iter().copied().chain([bytes.len()]).filter(|end| *end <= bytes.len()) {
            if end > begin {
                own += extent.pass(&bytes[begin..end]).expect("chunks");
                begin = end;
            }
        }
        (own, extent.is_over())
    }

    #[test]
    fn a_request_ends_where_its_framing_says() {
        for (framing, own) in [
            (BodyFraming::Length(0), ""),
            (BodyFraming::Length(3), "abc"),
            (CHUNKED, "0\r\n\r\n"),
            (CHUNKED, "3\r\nabc\r\n0\r\n\r\n"),
            (CHUNKED, "A;x=\"y\"\r\n0123456789\r\n00\r\nX-Trailer: a\r\nY: b\r\n\r\n"),
            (CHUNKED, "5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        ] {
            let bytes = format!("{own}GET / HTTP/1.1\r\n");
            for cut in 0..bytes.len() {
                assert_eq!(pass(framing, bytes.as_bytes(), &[cut]), (own.len(), true), "{own:?} {cut}");
            }
            if !own.is_empty() {
                assert_eq!(pass(framing, &own.as_bytes()[..own.len() - 1], &[]), (own.len() - 1, false), "{own:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn chunks_end_at_the_last_whatever_is_in_them(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..5),
            mut cuts in proptest::collection::vec(0_usize..1500, 0..20),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            let own = bytes.len();
            bytes.extend(b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
            cuts.sort_unstable();
            prop_assert_eq!(pass(CHUNKED, &bytes, &cuts), (own, true));
        }
    }
}
