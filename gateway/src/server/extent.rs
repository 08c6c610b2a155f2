//! Follows the bytes of a connection to where its present request ends (RFC 9112, section 6).
//!
//! Pingora finds the end by itself, and it alone decides what the request's body is. This only keeps it from reading
//! further: where the two do not agree on an end, the connection ends instead.

use crate::screen::BodyFraming;

/// What is still to come of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes.
    Bytes(u64),
    /// Chunks, up to the one that is the last.
    Chunks(Chunk),
    /// Whatever comes: the connection may change its protocol, or its chunks are none.
    Open,
}

/// Which part of a chunk comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The next digit of its size, which is so much after so many digits.
    Size(u64, u8),
    /// Something behind its size, up to the end of the line.
    Extension(u64),
    /// The line feed behind its size.
    SizeEnd(u64),
    /// So many bytes of data.
    Data(u64),
    /// The carriage return behind its data.
    Return,
    /// The line feed behind its data.
    Feed,
    /// The first byte of a line of the trailers, or of the empty line behind them.
    LineStart,
    /// Any other byte of a line of the trailers.
    Line,
    /// The line feed of such a line.
    LineEnd,
    /// The line feed of the empty line.
    End,
}

/// As many as a 64-bit number has.
const MOST_DIGITS: u8 = 16;

impl Extent {
    /// What comes behind a head that says `framing`.
    pub(super) const fn of(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::Length(length) => Self::Bytes(length),
            BodyFraming::Chunked => Self::Chunks(Chunk::Size(0, 0)),
            BodyFraming::Open => Self::Open,
        }
    }

    /// Whether the request has come to its end.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0))
    }

    /// Passes over those of `bytes` that belong to the request, and says how many they are.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Bytes(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= own as u64;
                own
            }
            Self::Chunks(_) => self.pass_chunks(bytes),
            Self::Open => bytes.len(),
        }
    }

    fn pass_chunks(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while let Self::Chunks(chunk) = self {
            let Some(&byte) = bytes.get(passed) else { break };
            if let Chunk::Data(left) = chunk {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - passed);
                *left -= here as u64;
                passed += here;
                if *left == 0 {
                    *chunk = Chunk::Return;
                }
                continue;
            }
            passed += 1;
            *self = chunk.after(byte);
        }
        if *self == Self::Open { bytes.len() } else { passed }
    }
}

impl Chunk {
    /// What comes behind `byte`.
    fn after(&self, byte: u8) -> Extent {
        let size = match *self {
            Self::Size(size, _) | Self::Extension(size) | Self::SizeEnd(size) => size,
            _ => 0,
        };
        Extent::Chunks(match (self, byte) {
            (Self::Size(_, 1..) | Self::Extension(_), b'\r') => Self::SizeEnd(size),
            (Self::Size(_, 1..), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Extension(_), _) if byte != b'\n' => Self::Extension(size),
            (Self::Size(_, digits), _) if byte.is_ascii_hexdigit() && *digits < MOST_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (Self::SizeEnd(0), b'\n') => Self::LineStart,
            (Self::SizeEnd(_), b'\n') => Self::Data(size),
            (Self::Return, b'\r') => Self::Feed,
            (Self::Feed, b'\n') => Self::Size(0, 0),
            (Self::LineStart, b'\r') => Self::End,
            (Self::LineStart | Self::Line, _) if byte != b'\r' && byte != b'\n' => Self::Line,
            (Self::Line, b'\r') => Self::LineEnd,
            (Self::LineEnd, b'\n') => Self::LineStart,
            (Self::End, b'\n') => return Extent::Bytes(0),
            _ => return Extent::Open,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNKED: BodyFraming = BodyFraming::Chunked;

    /// How many bytes belong to the request, and whether it is over then, when they come in pieces that end at `cuts`.
    fn pass(framing: BodyFraming, bytes: &[u8], cuts: &[usize]) -> (usize, bool) {
        let mut extent = Extent::of(framing);
        let mut own = 0;
        let mut begin = 0;
        for end in cuts.iter().copied().chain([bytes.len()]).filter(|end| *end <= bytes.len()) {
            if end > begin {
                own += extent.pass(&bytes[begin..end]);
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
            (CHUNKED, "A;x=\"y\"\r\n0123456789\r\n00 \r\nX-Trailer: a\r\nY: b\r\n\r\n"),
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

    #[test]
    fn what_is_no_chunk_has_no_end() {
        for bad in [
            "x\r\n",
            "\r\n",
            ";a\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1\nab",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "11111111111111111\r\n",
            "0\r\n\n",
            "0\r\nX: a\n\r\n",
            "0;a\n\r\n",
        ] {
            let bytes = format!("{bad}0\r\n\r\nGET / HTTP/1.1\r\n");
            assert_eq!(pass(CHUNKED, bytes.as_bytes(), &[]), (bytes.len(), false), "{bad:?}");
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
