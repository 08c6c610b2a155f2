//! Reads the files of hostile requests.
//!
//! A request begins with `=== name => what becomes of it` and goes on to the next. Every line ends with `\r\n`, but one that
//! ends with a backslash; `\r`, `\n`, `\t`, `\0`, `\\` and `\xFF` are what they are elsewhere, and `{text*9}` is the text nine
//! times. What becomes of it is one of
//!
//! * `400 code`: it is refused so and its connection closed;
//! * `forwarded`: it goes on in the form that stands behind `---`;
//!
//! with `, kept` or `, closed` where the connection is not what it is otherwise, or `, broken off` where what comes behind the
//! request may cost its answer. `{token}` is a token, `{upstream}` the upstream's address. `#` begins a line of comment between
//! requests.

use std::net::SocketAddr;

/// A request and what becomes of it.
pub(super) struct Case {
    pub name: String,
    pub sent: Vec<u8>,
    pub expected: Expected,
    /// Whether another request may follow on the connection.
    pub stays_open: bool,
    /// Whether its answer may be lost.
    pub may_break_off: bool,
}

pub(super) enum Expected {
    Refused {
        status: u16,
        code: String,
    },
    /// What the upstream gets, a character for each byte.
    Forwarded(String),
}

/// The requests of `file`, in its order.
pub(super) fn read(file: &str, token: &str, upstream: &SocketAddr) -> Vec<Case> {
    let file = file.replace("{token}", token).replace("{upstream}", &upstream.to_string());
    let file = file.strip_suffix('\n').unwrap_or(&file);
    file.split("\n=== ").skip(1).map(case).collect()
}

fn case(block: &str) -> Case {
    let (title, text) = block.split_once('\n').expect("a title");
    let (name, outcome) = title.rsplit_once(" => ").unwrap_or_else(|| panic!("{title}: what becomes of it?"));
    let (outcome, connection) = outcome.split_once(", ").unwrap_or((outcome, ""));
    let (sent, form) = text.split_once("\n---\n").map_or((text, None), |(sent, form)| (sent, Some(form)));
    let expected = match (outcome, form) {
        ("forwarded", Some(form)) => Expected::Forwarded(bytes(form).into_iter().map(char::from).collect()),
        (refused, None) => {
            let (status, code) = refused.split_once(' ').unwrap_or_else(|| panic!("{title}: a status and a code"));
            Expected::Refused { status: status.parse().expect("a status"), code: code.to_owned() }
        }
        _ => panic!("{title}: what is forwarded has a form, and what is refused has none"),
    };
    let (stays_open, may_break_off) = match connection {
        "" => (outcome == "forwarded", false),
        "kept" => (true, false),
        "closed" => (false, false),
        "broken off" => (false, true),
        _ => panic!("{title}: {connection}?"),
    };
    Case { name: name.to_owned(), sent: bytes(sent), expected, stays_open, may_break_off }
}

/// The bytes that `text` stands for; a comment behind it stands for none.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut lines: Vec<&str> = text.split('\n').collect();
    while lines.last().is_some_and(|line| line.starts_with('#')) {
        lines.pop();
    }
    for line in lines {
        match line.strip_suffix('\\').filter(|rest| !rest.ends_with('\\')) {
            Some(line) => unescape(line, &mut bytes),
            None => {
                unescape(line, &mut bytes);
                bytes.extend(b"\r\n");
            }
        }
    }
    bytes
}

fn unescape(line: &str, bytes: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escape = rest.chars().next().expect("something escaped");
                rest = &rest[1..];
                bytes.push(match escape {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    '0' => 0,
                    '\\' => b'\\',
                    'x' => {
                        let byte = u8::from_str_radix(&rest[..2], 16).expect("two digits");
                        rest = &rest[2..];
                        byte
                    }
                    _ => panic!("{line}: what is \\{escape}?"),
                });
            }
            '{' => {
                let (repeated, after) = rest.split_once('}').expect("a closing brace");
                let (text, times) = repeated.rsplit_once('*').expect("text*times");
                let mut once = Vec::new();
                unescape(text, &mut once);
                bytes.extend(once.repeat(times.parse().expect("a number")));
                rest = after;
            }
            c => bytes.extend(c.to_string().bytes()),
        }
    }
}
