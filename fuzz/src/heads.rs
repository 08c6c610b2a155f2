//! Heads of requests, as they come.

use gateway::fuzzing::{BodyFraming, head};

/// What the gateway takes for a head is one by a reading that repairs nothing.
pub fn heads(bytes: &[u8]) {
    let Some((end, framing)) = head(bytes) else { return };
    let head = &bytes[..end];
    assert!(head.ends_with(b"\r\n\r\n") && head.windows(4).filter(|bytes| *bytes == b"\r\n\r\n").count() == 1);
    assert_eq!(strict(head), Some(framing), "{}", head.escape_ascii());
}

/// How the request's body is framed, if `head` is one in every detail (RFC 9112).
fn strict(head: &[u8]) -> Option<BodyFraming> {
    let text: String = head.iter().copied().map(char::from).collect();
    let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n").skip_while(|line| line.is_empty());
    let line: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, version] = line[..] else { return None };
    let is_1_1 = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return None,
    };
    (is_token(method) && method != "CONNECT" && is_target(target)).then_some(())?;
    let (mut hosts, mut lengths, mut encodings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut upgrades, mut options) = (Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(':')?;
        (is_token(name) && value.chars().all(|c| c == '\t' || c >= ' ' && c != '\x7f')).then_some(())?;
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "host" if !name.contains('_') => hosts.push(value),
            "content-length" => lengths.push(value),
            "transfer-encoding" => encodings.push(value),
            "upgrade" => upgrades.push(value.to_ascii_lowercase()),
            "connection" => options.extend(value.split(',').map(|option| option.trim_ascii().to_ascii_lowercase())),
            _ => {}
        }
    }
    (hosts.len() == 1 || hosts.is_empty() && !is_1_1).then_some(())?;
    let host = hosts.first().copied().unwrap_or_default();
    (hosts.is_empty() || !host.is_empty()).then_some(())?;
    host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c)).then_some(())?;
    if let Some((scheme, rest)) = target.split_once("://").filter(|_| !target.starts_with('/') && target != "*") {
        scheme.chars().all(|c| c.is_ascii_alphabetic()).then_some(())?;
        (rest.split(['/', '?']).next() == Some(host)).then_some(())?;
    }
    let is_named = options.iter().any(|option| option == "upgrade");
    let is_websocket = method == "GET" && is_1_1 && upgrades == ["websocket"] && is_named;
    match (&lengths[..], &encodings[..]) {
        ([] | ["0"], []) if is_websocket => Some(BodyFraming::Open),
        ([], []) => Some(BodyFraming::Length(0)),
        ([length], []) => {
            length.parse::<u64>().ok().filter(|number| number.to_string() == *length).map(BodyFraming::Length)
        }
        ([], [encoding]) => (is_1_1 && encoding.eq_ignore_ascii_case("chunked")).then_some(BodyFraming::Chunked),
        _ => None,
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn is_target(text: &str) -> bool {
    let starts = text.starts_with('/') || text == "*" || text.contains("://");
    starts && text.chars().all(|c| c.is_ascii_graphic() && !"<>#".contains(c))
}
