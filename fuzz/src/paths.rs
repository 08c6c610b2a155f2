//! Paths, brought into the form in which a route takes them.

use gateway::path::SlashPolicy::{self, Decode, Keep, Reject};
use gateway::path::{BadPath, Taken, view};

/// What a route takes stays as it is, hides nothing, and means what the path meant, whatever the route says of encoded slashes
/// and backslashes.
pub fn paths(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    for slash in [Reject, Keep, Decode] {
        for back in [Reject, Keep, Decode] {
            if let Ok(path) = taken(raw, slash, back) {
                check(raw, &path, slash, back);
            }
        }
    }
}

/// What `raw` is on a route with these policies.
fn taken(raw: &str, slash: SlashPolicy, back: SlashPolicy) -> Result<String, BadPath> {
    let seen = view(raw)?;
    let path = seen.path.to_string();
    Ok(match seen.under(slash, back)? {
        Taken::AsItIs => path,
        Taken::Anew(path) => path,
    })
}

fn check(raw: &str, path: &str, slash: SlashPolicy, back: SlashPolicy) {
    let told = || format!("{raw:?} {slash:?} {back:?}");
    // What was decoded is no more there to be rejected.
    assert_eq!(taken(path, slash, back).as_deref(), Ok(path), "{}", told());
    assert!(path.starts_with('/') && !path.contains("//") && !path.contains('\\'), "{}", told());
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", told());
    assert!(slash == Keep || !path.contains("%2F"), "{}", told());
    assert!(back == Keep || !path.contains("%5C"), "{}", told());
    let decoded = decode(path);
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    assert!(!decoded.split(is_slash).any(|segment| segment == b".." || segment == b"."), "{}", told());
    assert!(!decoded.split(is_slash).any(|segment| segment.starts_with(b"..;")), "{}", told());
    assert!(!decoded.iter().any(|byte| matches!(byte, 0..=0x1f | 0x7f)), "{}", told());
    // An encoded slash that is kept is data of its segment: whoever decodes it sees other segments. Without any, the path means
    // what it meant.
    if slash != Keep || !raw.to_ascii_uppercase().contains("%2F") {
        let mut meant = decode(raw);
        if back == Decode {
            meant.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
        }
        assert_eq!(decoded, resolve(&meant), "{}", told());
    }
}

/// Every encoding decoded, as the most careless server would.
fn decode(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(encoded) => {
                decoded.push(encoded);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// A decoded path without dot segments and empty ones.
fn resolve(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in &segments {
        match *segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let mut resolved = b"/".to_vec();
    resolved.extend(kept.join(&b'/'));
    if !kept.is_empty() && matches!(segments.last(), Some(&(b"" | b"." | b".."))) {
        resolved.push(b'/');
    }
    resolved
}

#[cfg(test)]
mod tests {
    /// What libFuzzer has found once.
    #[test]
    fn a_dot_segment_takes_a_kept_slash_away_with_its_segment() {
        super::paths(br"/o%2Fpen/..\mineUx");
    }
}
