//! Compresses a body as its parts come.

use std::io::{self, Write};
use std::mem;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;

use crate::config::file::Encoding;

/// Levels at which a core compresses some hundred MB a second, and still takes most of what there is to take.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// How far back is looked: 512 KiB, so that no response needs more than some MiB of memory. Browsers take up to 8 MiB
/// (RFC 9659).
const WINDOW_BITS: u32 = 19;

/// Bytes that Brotli gathers before it looks at them.
const BROTLI_BUFFER: usize = 4096;

/// Compresses one body.
pub(crate) struct Encoder {
    /// In a mutex that is never locked: zstd's is not `Sync`, and everything that belongs to a request has to be.
    coder: Mutex<Coder>,
    /// Whether each part goes on at once.
    streams: bool,
}

enum Coder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// It was compressed beforehand.
    Done(Bytes),
    Ended,
}

impl Encoder {
    /// An encoder for a body that `streams`, or whose end is known and may be waited for.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new(encoding: Encoding, streams: bool) -> io::Result<Self> {
        let coder = match encoding {
            Encoding::Gzip => Coder::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Encoding::Br => {
                let writer = CompressorWriter::new(Vec::new(), BROTLI_BUFFER, BROTLI_QUALITY, WINDOW_BITS);
                Coder::Brotli(Box::new(writer))
            }
            Encoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_BITS)?;
                Coder::Zstd(encoder)
            }
        };
        Ok(Self { coder: Mutex::new(coder), streams })
    }

    /// An encoder for a body that was compressed beforehand, into `coded`.
    pub(super) const fn done(coded: Bytes) -> Self {
        Self { coder: Mutex::new(Coder::Done(coded)), streams: false }
    }

    /// What goes on when `part` comes, and whether it was the `last` one. None when it has to be waited for more.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn push(&mut self, part: Option<&Bytes>, last: bool) -> io::Result<Option<Bytes>> {
        let coder = self.coder.get_mut();
        if let Coder::Done(coded) = coder {
            return Ok(last.then(|| mem::take(coded)).filter(|coded| !coded.is_empty()));
        }
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            coder.write(part)?;
            if self.streams && !last {
                coder.flush()?;
            }
        }
        let coded = if last { mem::replace(coder, Coder::Ended).finish()? } else { coder.take() };
        Ok(if coded.is_empty() { None } else { Some(Bytes::from(coded)) })
    }
}

impl Coder {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(coder) => coder.write_all(part),
            Self::Brotli(coder) => coder.write_all(part),
            Self::Zstd(coder) => coder.write_all(part),
            Self::Done(_) | Self::Ended => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(coder) => coder.flush(),
            Self::Brotli(coder) => coder.flush(),
            Self::Zstd(coder) => coder.flush(),
            Self::Done(_) | Self::Ended => Ok(()),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Gzip(coder) => mem::take(coder.get_mut()),
            Self::Brotli(coder) => mem::take(coder.get_mut()),
            Self::Zstd(coder) => mem::take(coder.get_mut()),
            Self::Done(_) | Self::Ended => Vec::new(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(coder) => coder.finish(),
            Self::Brotli(coder) => Ok(coder.into_inner()),
            Self::Zstd(coder) => coder.finish(),
            Self::Done(_) | Self::Ended => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Br, Encoding::Zstd];

    /// As much as can be decoded of what has come so far.
    fn decoded(encoding: Encoding, coded: &[u8]) -> (Vec<u8>, bool) {
        let mut plain = Vec::new();
        let whole = match encoding {
            Encoding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
            Encoding::Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
            Encoding::Zstd => zstd::stream::read::Decoder::new(coded).expect("a decoder").read_to_end(&mut plain),
        };
        (plain, whole.is_ok())
    }

    #[test]
    fn each_part_of_a_stream_can_be_read_before_the_next_one_comes() {
        for encoding in ALL {
            let mut encoder = Encoder::new(encoding, true).expect("an encoder");
            let (mut coded, mut plain) = (Vec::new(), Vec::new());
            for part in ["one ", "two ", "three"] {
                let part = Bytes::from_static(part.as_bytes());
                plain.extend_from_slice(&part);
                coded.extend(encoder.push(Some(&part), false).expect("coded").expect("at once"));
                assert_eq!(decoded(encoding, &coded), (plain.clone(), false), "{encoding:?}");
            }
            coded.extend(encoder.push(None, true).expect("coded").expect("an end"));
            assert_eq!(decoded(encoding, &coded), (plain, true), "{encoding:?}");
        }
    }

    #[test]
    fn a_body_whose_end_is_known_is_gathered() {
        for encoding in ALL {
            let mut encoder = Encoder::new(encoding, false).expect("an encoder");
            let part = Bytes::from_static(b"0123456789");
            let before = encoder.push(Some(&part), false).expect("coded").map_or(0, |coded| coded.len());
            assert!(before <= 10, "{encoding:?}: no more than its own head");
        }
    }

    #[test]
    fn nothing_at_all_is_a_whole_body_too() {
        for encoding in ALL {
            let mut encoder = Encoder::new(encoding, true).expect("an encoder");
            let coded = encoder.push(None, true).expect("coded").expect("an end");
            assert_eq!(decoded(encoding, &coded), (Vec::new(), true), "{encoding:?}");
            assert!(encoder.push(Some(&Bytes::from_static(b"x")), false).is_err(), "it has ended");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_comes_out_is_what_went_in(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..6), streams in any::<bool>()
        ) {
            for encoding in ALL {
                let mut encoder = Encoder::new(encoding, streams).expect("an encoder");
                let mut coded = Vec::new();
                for (index, part) in parts.iter().enumerate() {
                    let last = index + 1 == parts.len();
                    coded.extend(encoder.push(Some(&Bytes::from(part.clone())), last).expect("coded").unwrap_or_default());
                }
                if parts.is_empty() {
                    coded.extend(encoder.push(None, true).expect("coded").unwrap_or_default());
                }
                prop_assert_eq!(decoded(encoding, &coded), (parts.concat(), true));
            }
        }
    }
}
