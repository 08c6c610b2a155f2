//! Finds out by its first bytes whether a client without TLS speaks HTTP/2.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use super::head::USUAL_HEAD;
use super::idle::Idle;

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), and no request of HTTP/1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// HTTP/2.
    Http2(BytesMut),
    /// Something else, which is for HTTP/1 to read.
    Other(BytesMut),
}

/// Reads as far as it takes to tell; none when the client is gone, or does not get there `within` that time.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S, idle: &Idle, within: Duration) -> Option<Beginning> {
    let mut start = BytesMut::new();
    idle.read(stream, &mut start, USUAL_HEAD, within).await?.ok().filter(|read| *read > 0)?;
    let deadline = Instant::now() + within;
    while start.len() < PREFACE.len() && PREFACE.starts_with(&start) {
        let read = timeout_at(deadline, stream.read_buf(&mut start)).await.ok()?;
        read.ok().filter(|read| *read > 0)?;
    }
    Some(if start.starts_with(PREFACE) { Beginning::Http2(start) } else { Beginning::Other(start) })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    async fn beginning(parts: &[&[u8]]) -> Option<Beginning> {
        let (mut client, mut stream) = duplex(1);
        let write = async {
            for part in parts {
                client.write_all(part).await.expect("writes");
            }
            drop(client);
        };
        let idle = Idle::default();
        tokio::join!(write, read(&mut stream, &idle, Duration::from_secs(60))).1
    }

    #[tokio::test]
    async fn http_2_is_known_by_its_whole_preface_and_everything_read_is_kept() {
        let (first, rest) = PREFACE.split_at(7);
        assert_eq!(beginning(&[first, rest]).await, Some(Beginning::Http2(PREFACE.into())));
        assert_eq!(beginning(&[PREFACE.split_last().expect("bytes").1]).await, None, "gone before the end");
        assert_eq!(beginning(&[b""]).await, None);
        let (mut client, mut stream) = duplex(64);
        for (sent, is) in
            [(&b"POST / HTTP/1.1\r\n"[..], false), (b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", false), (PREFACE, true)]
        {
            client.write_all(sent).await.expect("writes");
            let read = read(&mut stream, &Idle::default(), Duration::from_secs(60)).await;
            let expected = if is { Beginning::Http2(sent.into()) } else { Beginning::Other(sent.into()) };
            assert_eq!(read, Some(expected));
        }
    }
}
