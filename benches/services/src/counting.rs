//! Counts the calls that a service makes to DynamoDB, by standing between the two.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

/// The header that every call has once.
const MARK: &[u8] = b"x-amz-target:";

/// A relay before a store.
pub(crate) struct Counter {
    pub(crate) addr: SocketAddr,
    calls: Arc<AtomicU64>,
}

impl Counter {
    /// Relays to `store` for as long as the runtime lives.
    pub(crate) async fn before(store: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (addr, calls) = (listener.local_addr()?, Arc::<AtomicU64>::default());
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that fails is for the service to notice.
                tokio::spawn(relay(client, store, Arc::clone(&counted)));
            }
        });
        Ok(Self { addr, calls })
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn relay(client: TcpStream, store: SocketAddr, calls: Arc<AtomicU64>) -> std::io::Result<()> {
    let store = TcpStream::connect(store).await?;
    client.set_nodelay(true)?;
    store.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_store, mut to_store) = store.into_split();
    tokio::spawn(async move { copy(&mut from_store, &mut to_client).await });
    let mut part = vec![0; 64 * 1024];
    let mut marks = Marks::default();
    loop {
        let read = from_client.read(&mut part).await?;
        let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        calls.fetch_add(marks.count(bytes), Ordering::Relaxed);
        to_store.write_all(bytes).await?;
    }
}

/// Counts [`MARK`], whatever its case, also where one part ends within it.
#[derive(Default)]
struct Marks {
    matched: usize,
}

impl Marks {
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let mut count = 0;
        for byte in bytes.iter().map(u8::to_ascii_lowercase) {
            // No beginning of the mark comes again within it, so after a mismatch only this byte can begin one.
            self.matched =
                if MARK.get(self.matched) == Some(&byte) { self.matched + 1 } else { usize::from(byte == b'x') };
            if self.matched == MARK.len() {
                count += 1;
                self.matched = 0;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_across_parts_and_in_any_case() {
        let mut marks = Marks::default();
        let parts: [&[u8]; 4] = [
            b"POST / HTTP/1.1\r\nX-Amz-Ta",
            b"rget: GetItem\r\n\r\n{}xx-amz",
            b"-target: Scan\r\n\r\nx-amz-",
            b"date: 1",
        ];
        assert_eq!(parts.map(|part| marks.count(part)), [0, 1, 1, 0]);
    }
}
