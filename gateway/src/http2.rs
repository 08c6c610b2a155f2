//! What a client may do on one HTTP/2 connection.
//!
//! The h2 crate keeps the books and ends a connection whose client goes beyond them (`GOAWAY`, `ENHANCE_YOUR_CALM`); a flood
//! of `CONTINUATION` frames too, of which it takes as many as the size of the headers can need.

use pingora_core::protocols::http::v2::server::H2Options;

use crate::config::file::ServerFile;

/// The bounds of an HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http2Limits {
    /// Requests under way at once.
    streams: u32,
    /// Requests taken back before they were begun.
    pending_resets: usize,
    /// Mistakes that each cost a request.
    stream_errors: usize,
    /// Bytes of a request's headers, its target among them, as HTTP/2 counts them.
    header_list: u32,
}

impl Http2Limits {
    /// The bounds that `server` sets.
    #[must_use]
    pub(crate) fn of(server: &ServerFile) -> Self {
        /// What HTTP/2 adds to the size of each of 256 headers (RFC 9113, section 10.5.1).
        const OVERHEAD: u64 = 256 * 32;
        // Wider than what the screen refuses, for what HTTP/2 refuses by itself has no body.
        let header_list = (server.max_headers.bytes() + OVERHEAD).saturating_add(server.max_uri.bytes());
        let number = |bound: u32| usize::try_from(bound).unwrap_or(usize::MAX);
        Self {
            streams: server.http2.max_concurrent_streams,
            pending_resets: number(server.http2.max_pending_resets),
            stream_errors: number(server.http2.max_stream_errors),
            header_list: u32::try_from(header_list).unwrap_or(u32::MAX),
        }
    }

    /// The same in the words of the h2 crate.
    #[must_use]
    pub(crate) fn options(&self) -> H2Options {
        let mut options = H2Options::default();
        options
            .max_concurrent_streams(self.streams)
            .max_pending_accept_reset_streams(self.pending_resets)
            .max_local_error_reset_streams(Some(self.stream_errors))
            .max_header_list_size(self.header_list);
        options
    }
}
