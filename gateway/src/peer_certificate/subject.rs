//! Names as certificates have them, written so that no two different ones look the same (RFC 4514).

use std::fmt::Write as _;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// What attributes are called in short (RFC 4514, section 3, and what is in use beside it).
const SHORT: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// `name` as one text, the most special part first.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// The common name in `name`, if there is exactly one.
pub(super) fn common_name<'n>(name: &'n X509Name<'_>) -> Option<&'n str> {
    let mut names = name.iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok(),
        _ => None,
    }
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let kind = SHORT.iter().find(|(id, _)| *id == kind).map_or(&*kind, |(_, short)| short);
    match attribute.as_str() {
        Ok(value) => format!("{kind}={}", escaped(value)),
        // What is no text is written as its bytes.
        Err(_) => format!("{kind}=#{}", super::hex(attribute.as_slice())),
    }
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_look_like_another_part() {
        for (value, written) in [
            ("orders", "orders"),
            ("Example, Inc.", r"Example\, Inc."),
            ("x,CN=admin", r"x\,CN\=admin"),
            ("x+CN=admin", r"x\+CN\=admin"),
            ("#1 ", r"\#1\ "),
            (" ", r"\ "),
            ("a\\\"<>;", r#"a\\\"\<\>\;"#),
            ("a\r\nb\u{0}", r"a\0D\0Ab\00"),
            ("Zoë", "Zoë"),
            ("", ""),
        ] {
            assert_eq!(escaped(value), written);
        }
    }
}
