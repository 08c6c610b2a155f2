//! Chunked bodies, in however many parts they come.

/// What the gateway takes for chunks are such by a reading that repairs nothing, wherever they are cut. The first byte says
/// where.
pub fn chunks(bytes: &[u8]) {
    let Some((&cut, body)) = bytes.split_first() else { return };
    let (first, rest) = body.split_at(usize::from(cut).min(body.len()));
    let at_once = gateway::fuzzing::chunks(&[body]);
    assert_eq!(gateway::fuzzing::chunks(&[first, rest]), at_once, "cut after {}", first.escape_ascii());
    match at_once {
        Some((own, true)) => assert_eq!(strict(body), Some(own), "{}", body.escape_ascii()),
        Some((own, false)) => assert_eq!((strict(body), own), (None, body.len()), "{}", body.escape_ascii()),
        None => {}
    }
}

/// Where the body in `bytes` ends, if it is whole and one in every detail (RFC 9112, section 7.1).
fn strict(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        let extension = line[digits..].trim_ascii_start();
        (extension.starts_with(b";") || digits == line.len()).then_some(())?;
        extension.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t').then_some(())?;
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        (bytes.get(at..at.checked_add(2)?)? == b"\r\n").then_some(())?;
        at += 2;
    }
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some(at);
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        (colon > 0 && line[..colon].iter().all(is_name)).then_some(())?;
        line[colon..].iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t').then_some(())?;
    }
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|end| end == b"\r\n").map(|end| &bytes[..end])
}
