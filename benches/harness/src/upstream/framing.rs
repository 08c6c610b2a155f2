//! Where one request ends and the next begins, in whatever pieces they come.

use std::collections::VecDeque;

/// Which response a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Small,
    Medium,
    Large,
    Other,
}

/// How far the request under way has come.
#[derive(Debug, Default)]
pub(super) struct Framing {
    stage: Stage,
    /// The part of a head that has come.
    head: Vec<u8>,
    /// What is answered when the body is over.
    request: Option<Request>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Head,
    /// Bytes of the body that are still to come.
    Body(usize),
    /// The line with a chunk's size, as far as it has come.
    ChunkSize(Vec<u8>),
    /// Bytes of the chunk, with the line end behind it, that are still to come.
    Chunk(usize),
    /// After the last chunk: what has come of a trailer's line.
    Trailer(Vec<u8>),
}

/// It is not HTTP as a proxy writes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Framing {
    /// Adds the requests that are whole with `received` to `due`.
    pub(super) fn feed(&mut self, received: &[u8], due: &mut VecDeque<Request>) -> Result<(), Malformed> {
        let mut rest = received;
        while !rest.is_empty() {
            match &mut self.stage {
                Stage::Head => rest = self.feed_head(rest)?,
                Stage::Body(left) => {
                    let taken = rest.len().min(*left);
                    *left -= taken;
                    rest = rest.get(taken..).unwrap_or_default();
                }
                Stage::ChunkSize(line) => {
                    if let Some(whole) = take_line(line, &mut rest) {
                        self.stage = match chunk_size(&whole).ok_or(Malformed)? {
                            0 => Stage::Trailer(Vec::new()),
                            size => Stage::Chunk(size + 2),
                        };
                    }
                }
                Stage::Chunk(left) => {
                    let taken = rest.len().min(*left);
                    *left -= taken;
                    if *left == 0 {
                        self.stage = Stage::ChunkSize(Vec::new());
                    }
                    rest = rest.get(taken..).unwrap_or_default();
                }
                Stage::Trailer(line) => {
                    if take_line(line, &mut rest).is_some_and(|line| line.is_empty()) {
                        self.stage = Stage::Body(0);
                    }
                }
            }
            if matches!(self.stage, Stage::Body(0)) {
                self.stage = Stage::Head;
                due.extend(self.request.take());
            }
        }
        Ok(())
    }

    fn feed_head<'r>(&mut self, received: &'r [u8]) -> Result<&'r [u8], Malformed> {
        if self.head.is_empty()
            && let Some(end) = head_end(received)
        {
            let (head, rest) = received.split_at(end);
            self.begin(head)?;
            return Ok(rest);
        }
        let before = self.head.len();
        self.head.extend_from_slice(received);
        let Some(end) = head_end(&self.head) else { return Ok(&[]) };
        let head = std::mem::take(&mut self.head);
        self.begin(head.get(..end).unwrap_or_default())?;
        Ok(received.get(end - before..).unwrap_or_default())
    }

    fn begin(&mut self, head: &[u8]) -> Result<(), Malformed> {
        let (request, stage) = if head.starts_with(b"GET /128 ") {
            (Request::Small, Stage::Body(0))
        } else if head.starts_with(b"GET /16k ") {
            (Request::Medium, Stage::Body(0))
        } else if head.starts_with(b"GET /1m ") {
            (Request::Large, Stage::Body(0))
        } else {
            (Request::Other, body_of(std::str::from_utf8(head).map_err(|_| Malformed)?)?)
        };
        self.request = Some(request);
        self.stage = stage;
        Ok(())
    }
}

/// How the body behind `head` comes.
fn body_of(head: &str) -> Result<Stage, Malformed> {
    let mut stage = Stage::Body(0);
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Stage::ChunkSize(Vec::new()));
        }
        if name.eq_ignore_ascii_case("content-length") {
            stage = Stage::Body(value.trim().parse().map_err(|_| Malformed)?);
        }
    }
    Ok(stage)
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// Moves bytes from `rest` to `line` until the line is whole, and then returns it without its end.
fn take_line(line: &mut Vec<u8>, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        line.extend_from_slice(rest);
        *rest = &[];
        return None;
    };
    let (begun, after) = rest.split_at(end);
    line.extend_from_slice(begun);
    *rest = after.get(1..).unwrap_or_default();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(std::mem::take(line))
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';').next()?;
    usize::from_str_radix(std::str::from_utf8(digits).ok()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{Framing, Malformed, Request};

    const CHUNKED: &[u8] =
        b"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n";
    const SIZED: &[u8] = b"POST /upload HTTP/1.1\r\ncontent-length: 5\r\n\r\nGET /";
    const GET: &[u8] = b"GET /16k HTTP/1.1\r\nHost: a\r\n\r\n";

    fn fed_in_pieces_of(size: usize, bytes: &[u8]) -> Vec<Request> {
        let (mut framing, mut due) = (Framing::default(), VecDeque::new());
        for piece in bytes.chunks(size) {
            framing.feed(piece, &mut due).expect("well-formed");
        }
        due.into()
    }

    #[test]
    fn requests_are_kept_apart_however_they_come() {
        let all = [SIZED, GET, CHUNKED, SIZED, GET].concat();
        let expected = [Request::Other, Request::Medium, Request::Other, Request::Other, Request::Medium];
        for size in 1..=all.len() {
            assert_eq!(fed_in_pieces_of(size, &all), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn request_is_not_answered_before_its_body_is_over() {
        assert_eq!(fed_in_pieces_of(7, &SIZED[..SIZED.len() - 1]), []);
        assert_eq!(fed_in_pieces_of(7, &CHUNKED[..CHUNKED.len() - 1]), []);
    }

    #[test]
    fn nonsense_ends_the_connection() {
        let mut framing = Framing::default();
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(framing.feed(chunked, &mut VecDeque::new()), Err(Malformed));
    }
}
