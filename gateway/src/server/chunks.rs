//! Watches how a chunked body is framed, while Pingora reads it.
//!
//! Pingora takes a chunk whose size has no digit for the last one, any byte for an extension (a bare line feed, which ends
//! the line for some servers, among them), and whatever stands before the empty line for trailers. None of that goes on, but
//! a proxy before the gateway may have read it otherwise, and then the two disagree about where the request ends. So a body
//! that is not exactly what RFC 9112, section 7.1, says ends its request.

use std::io;

use crate::reply::{Malformation, Rejection};

/// 16 hexadecimal digits fit into 64 bits.
const MOST_DIGITS: u8 = 16;

/// Where the next byte of a chunked body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a chunk's size, after so many digits.
    Size(u8),
    /// In blanks behind a size, which only an extension may have.
    Blank,
    Extension,
    /// Between `\r` and `\n` of a size's line.
    SizeEnd,
    Data,
    /// At the `\r`, and then the `\n`, behind a chunk's data.
    DataEnd,
    DataLineFeed,
    /// At the beginning of a trailer's line, or of the empty one.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// Before the very last `\n`.
    LastLineFeed,
    /// Behind the body.
    Done,
}

/// How far a chunked body was looked at.
#[derive(Debug)]
pub(crate) struct Chunks {
    place: Place,
    /// What is still to come of the chunk's data.
    left: u64,
    /// How many bytes extensions and trailers may still have.
    allowance: usize,
}

/// Why a chunked body ends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadChunks {
    /// It can be read in two ways, or in none.
    #[error("the chunks are not framed as RFC 9112 says")]
    Malformed,
    /// Its extensions and trailers are larger together than headers may be.
    #[error("extensions and trailers of the chunks are too large")]
    TooLarge,
}

impl From<BadChunks> for Rejection {
    fn from(bad: BadChunks) -> Self {
        match bad {
            BadChunks::Malformed => Self::Malformed(Malformation::Chunks),
            BadChunks::TooLarge => Self::HeadersTooLarge,
        }
    }
}

impl Chunks {
    /// At the beginning of a body whose extensions and trailers may have `allowance` bytes together.
    pub(crate) const fn new(allowance: usize) -> Self {
        Self { place: Place::Size(0), left: 0, allowance }
    }

    /// Looks at the next bytes of the connection, and says how many of them belong to the body.
    ///
    /// # Errors
    /// When the body must not go on.
    pub(crate) fn look(&mut self, all: &[u8]) -> Result<usize, BadChunks> {
        let mut bytes = all;
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.place {
                Place::Done => break,
                Place::Data => {
                    let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    self.left -= skipped as u64;
                    if self.left == 0 {
                        self.place = Place::DataEnd;
                    }
                    continue;
                }
                place => self.place = self.after(place, byte)?,
            }
            bytes = rest;
        }
        Ok(all.len() - bytes.len())
    }

    /// Whether its end has come.
    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    fn after(&mut self, place: Place, byte: u8) -> Result<Place, BadChunks> {
        use Place as P;
        let after = match (place, byte) {
            (P::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MOST_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                P::Size(digits + 1)
            }
            (P::Size(1..), b'\r') | (P::Extension, b'\r') => P::SizeEnd,
            (P::Size(1..) | P::Blank, b';') => P::Extension,
            (P::Size(1..) | P::Blank, b' ' | b'\t') => P::Blank,
            (P::Extension, _) if is_text(byte) => P::Extension,
            (P::SizeEnd, b'\n') if self.left == 0 => P::Trailer,
            (P::SizeEnd, b'\n') => P::Data,
            (P::DataEnd, b'\r') => P::DataLineFeed,
            (P::DataLineFeed, b'\n') => P::Size(0),
            (P::Trailer, b'\r') => P::LastLineFeed,
            (P::Trailer | P::TrailerName, _) if is_token(byte) => P::TrailerName,
            (P::TrailerName, b':') => P::TrailerValue,
            (P::TrailerValue, b'\r') => P::TrailerEnd,
            (P::TrailerValue, _) if is_text(byte) => P::TrailerValue,
            (P::TrailerEnd, b'\n') => P::Trailer,
            (P::LastLineFeed, b'\n') => P::Done,
            _ => return Err(BadChunks::Malformed),
        };
        if matches!(after, P::Blank | P::Extension | P::TrailerName | P::TrailerValue) {
            self.allowance = self.allowance.checked_sub(1).ok_or(BadChunks::TooLarge)?;
        }
        Ok(after)
    }
}

/// What may stand in a header's value (RFC 9110, section 5.5).
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// What may stand in a header's name (RFC 9110, section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Why a body could not be read, if it was for its chunks.
pub(crate) fn bad_chunks(cause: &(dyn std::error::Error + 'static)) -> Option<BadChunks> {
    cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref().copied()
}

#[cfg(test)]
mod tests;
