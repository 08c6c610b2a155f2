//! Chunked bodies, well and badly framed, however they come.

use super::*;

/// What is made of `body`, which has to be the same however it comes.
fn look(body: &[u8]) -> Result<bool, BadChunks> {
    let whole = |parts: &[&[u8]]| {
        let mut chunks = Chunks::new(16);
        parts.iter().try_for_each(|part| chunks.look(part).map(drop)).map(|()| chunks.is_done())
    };
    let at_once = whole(&[body]);
    for cut in 0..body.len() {
        let (first, second) = body.split_at(cut);
        assert_eq!(whole(&[first, second]), at_once, "cut after {}", first.escape_ascii());
    }
    at_once
}

#[test]
fn a_body_ends_with_the_empty_line_behind_its_last_chunk() {
    for whole in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "9\r\n0\r\n\r\n0\r\n\r\r\n0\r\n\r\n",
        "3 \t;a=\"b c\"\r\nabc\r\n0;x\r\n\r\n",
        "0\r\nX-Sum: a\u{fe}\r\n\r\n",
        "0\r\nX:\r\n\r\n",
        "0\r\n\r\nGET \n\0",
    ] {
        let bytes: Vec<u8> = whole.chars().map(|c| c as u8).collect();
        assert_eq!(look(&bytes), Ok(true), "{whole:?}");
    }
    for unfinished in ["", "3", "3\r\nab", "3\r\nabc\r\n", "0\r\n", "0\r\nX: y\r\n"] {
        assert_eq!(look(unfinished.as_bytes()), Ok(false), "{unfinished:?}");
    }
}

#[test]
fn a_body_that_others_may_read_otherwise_is_refused() {
    for bad in [
        "\r\n\r\n",
        ";x\r\n\r\n",
        " 3\r\nabc",
        "+3\r\nabc",
        "-3\r\nabc",
        "0x3\r\nabc",
        "3 \r\nabc",
        "3 3\r\nabc",
        "3\nabc",
        "3;\nabc",
        "3;\rx\r\nabc",
        "3;\0\r\nabc",
        "3\r\nabcd\r\n",
        "3\r\nabc\n0",
        "3\r\nabc0\r\n",
        "00000000000000003\r\nabc",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n\n",
        "0\r\nX: y\r\n folded\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
    ] {
        assert_eq!(look(bad.as_bytes()), Err(BadChunks::Malformed), "{bad:?}");
    }
}

#[test]
fn extensions_and_trailers_have_a_bound_together() {
    let chunk = |extension: &str| format!("1;{extension}\r\nx\r\n");
    assert_eq!(look(format!("{}0\r\n\r\n", chunk("1234567").repeat(2)).as_bytes()), Ok(true));
    assert_eq!(look(format!("{}0;\r\n\r\n", chunk("1234567").repeat(2)).as_bytes()), Err(BadChunks::TooLarge));
    assert_eq!(look(b"0\r\nabcd: 0123456789\r\n\r\n"), Ok(true));
    assert_eq!(look(b"0\r\nabcd: 0123456789a\r\n\r\n"), Err(BadChunks::TooLarge));
}
