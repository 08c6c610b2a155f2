//! A limiter by fixed windows, as many have it (`INCR` and `EXPIRE`, APISIX's `limit-count`): a peer of few lines.
//!
//! A client's window begins with his first request and has a quota; when it is over, the next request begins another. It
//! answers by itself, with nothing behind it, since only its counting is of interest.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Of each client, by what stands in `X-Forwarded-For`.
struct FixedWindows {
    limit: u32,
    window: Duration,
    clients: Mutex<HashMap<String, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    begun: Instant,
    passed: u32,
}

/// Serves on a port of its own until the harness ends.
pub(super) fn serve(limit: u32, window: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    let windows = Arc::new(FixedWindows { limit, window, clients: Mutex::default() });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let windows = Arc::clone(&windows);
            // A connection ends with its client; there is nobody to tell how.
            thread::spawn(move || windows.answer(&stream));
        }
    });
    Ok(addr)
}

impl FixedWindows {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut client = String::new();
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if let Some(name) = line.strip_prefix("X-Forwarded-For: ") {
                name.clone_into(&mut client);
            }
            if line.is_empty() {
                let status = if self.take(&client, Instant::now()) { "200 OK" } else { "429 Too Many Requests" };
                (&*stream).write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
            }
        }
        Ok(())
    }

    fn take(&self, client: &str, now: Instant) -> bool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let window = clients.entry(client.to_owned()).or_insert(Window { begun: now, passed: 0 });
        if now.saturating_duration_since(window.begun) >= self.window {
            *window = Window { begun: now, passed: 0 };
        }
        let passes = window.passed < self.limit;
        window.passed += u32::from(passes);
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use super::FixedWindows;

    #[test]
    fn two_quotas_meet_at_the_border_of_two_windows() {
        let windows = FixedWindows { limit: 3, window: Duration::from_secs(1), clients: Mutex::default() };
        let begin = Instant::now();
        let at = |ms| (0..4).filter(|_| windows.take("a", begin + Duration::from_millis(ms))).count();
        assert_eq!([at(0), at(999), at(1000), at(1999), at(2000)], [3, 0, 3, 0, 3]);
        assert!(windows.take("b", begin), "another client has a quota of its own");
    }
}
