//! Where results go: sections of `RESULTS.md`, each between its own markers, so that whatever else is in it stays.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const HEADING: &str =
    "# Measured speed\n\nWritten by `./dev.sh bench`; what stands between two markers is replaced by the next run.\n";

/// Puts `text` in the place of the section `name` in `file`, at its end when there is none yet.
pub(crate) fn put(file: &Path, name: &str, text: &str) -> Result<()> {
    let before = if file.exists() { fs::read_to_string(file)? } else { HEADING.to_owned() };
    fs::write(file, replaced(&before, name, text)).with_context(|| format!("{} cannot be written", file.display()))
}

fn replaced(document: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let section = format!("{begin}\n\n{}\n\n{end}", text.trim());
    match document.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1))) {
        Some((before, after)) => format!("{before}{section}{after}"),
        None => format!("{}\n\n{section}\n", document.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_the_own_section_changes() {
        let first = replaced("# Results\n\nWords.\n", "a", "one");
        let both = replaced(&first, "b", "two");
        let again = replaced(&both, "a", "three\n");
        assert_eq!(
            again,
            "# Results\n\nWords.\n\n<!-- a: begin -->\n\nthree\n\n<!-- a: end -->\n\n<!-- b: begin -->\n\ntwo\n\n<!-- b: end -->\n"
        );
    }
}
