//! How a peer's configuration comes from its template: every `@NAME@` is replaced, and none may be left.

use anyhow::{Result, bail};

/// `text` with each `@NAME@` replaced by its value.
pub(crate) fn fill(text: &str, values: &[(&str, String)]) -> Result<String> {
    let mut filled = text.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("@{name}@"), value);
    }
    // Also where a single @ stands before.
    if let Some(name) = filled.split('@').skip(1).find(|name| is_name(name)) {
        bail!("nothing fills @{name}@");
    }
    Ok(filled)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn every_place_is_filled() {
        let filled = fill("a @PORT@ b @PORT@ @LOG@", &[("PORT", "80".into()), ("LOG", "x".into())]).expect("all known");
        assert_eq!(filled, "a 80 b 80 x");
    }

    #[test]
    fn unknown_name_is_refused() {
        let error =
            fill("between @ signs: port @PORT@ key @KEY@", &[("PORT", "80".into())]).expect_err("KEY is not known");
        assert_eq!(error.to_string(), "nothing fills @KEY@");
    }
}
