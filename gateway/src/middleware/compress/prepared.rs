//! A body that is always the same, compressed once for all who ask for it.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::ResponseHead;
use super::{Compress, Encoder};
use crate::config::file::{CompressFile, Encoding};

/// The body in each encoding that the route's step has.
#[derive(Debug)]
pub(crate) struct Prepared(Box<[(Encoding, Bytes)]>);

impl Prepared {
    /// `body`, of an answer with this `status` and these `headers`, as the step that `file` describes compresses it; none when
    /// that leaves it as it is, or when there is no memory for it now.
    pub(crate) fn of(file: &CompressFile, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        let mut headers = headers.clone();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if !Compress::new(file).takes(&ResponseHead { status, headers: &mut headers }) {
            return None;
        }
        let encode = |encoding: &Encoding| {
            let coded =
                Encoder::new(*encoding, false).and_then(|mut encoder| encoder.push(Some(body), true)).ok()??;
            Some((*encoding, coded))
        };
        file.encodings.iter().map(encode).collect::<Option<_>>().map(Self)
    }

    /// The body in this encoding.
    pub(super) fn get(&self, encoding: Encoding) -> Option<Bytes> {
        self.0.iter().find(|(own, _)| *own == encoding).map(|(_, body)| body.clone())
    }
}
