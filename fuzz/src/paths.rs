//! Paths, brought into their normal form.

use gateway::path::normalise;

/// A normal form stays as it is, hides nothing, and means what the path meant.
pub fn paths(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    let Ok(normal) = normalise(raw) else { return };
    assert_eq!(normalise(&normal).as_deref(), Ok(&*normal), "{raw:?}");
    assert!(normal.starts_with('/') && !normal.contains("//") && !normal.contains('\\'), "{raw:?}");
    assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()), "{raw:?}");
    let decoded = decode(&normal);
    assert!(!decoded.split(|byte| *byte == b'/').any(|segment| segment == b".." || segment == b"."), "{raw:?}");
    assert!(!decoded.iter().any(|byte| matches!(byte, b'\\' | 0..=0x1f | 0x7f)), "{raw:?}");
    assert_eq!(decoded, resolve(&decode(raw)), "{raw:?}");
    assert!(!decoded.split(|byte| *byte == b'/').any(|segment| segment.starts_with(b"..;")), "{raw:?}");
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
