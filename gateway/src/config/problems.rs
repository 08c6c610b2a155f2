//! What is wrong with a configuration file, told so that a person can mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong, or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, both counted from 1; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// The key it is about; empty for the file as a whole.
    pub key: KeyPath,
    /// What is wrong and what to do. Never holds the value of a secret or of a variable.
    pub message: String,
}

/// A position in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters from 1.
    pub column: usize,
}

/// The way to a key from the top of the file, printed like `routes[3].match.path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Everything that is wrong with one file; never empty. Prints one line per problem, in the file's order, and a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblems {
    file: PathBuf,
    problems: Vec<Problem>,
}

impl std::error::Error for ConfigProblems {}

impl ConfigProblems {
    pub(super) fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        problems.dedup();
        Self { file: file.to_owned(), problems }
    }

    /// The problems in the file's order.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl KeyPath {
    /// The key `name` of the block at this path.
    pub(super) fn key(&self, name: &str) -> Self {
        self.with(Step::Key(name.to_owned()))
    }

    /// The item at `index` of the list at this path.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The key of the block or list around this one; `None` for the file as a whole.
    pub(super) fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, around)| Self(around.to_vec()))
    }

    /// The key itself; `None` for an item of a list and for the file as a whole.
    pub(super) fn name(&self) -> Option<&str> {
        match self.0.last()? {
            Step::Key(name) => Some(name),
            Step::Index(_) => None,
        }
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether `self` is `other` or stands somewhere below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    pub(super) fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if position == 0 => f.write_str(&shown(name))?,
                Step::Key(name) => write!(f, ".{}", shown(name))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Problem {
    /// The problem as one line that begins with `file:line:column:`, which terminals and editors can jump to.
    #[must_use]
    pub fn line(&self, file: &Path) -> String {
        let place = self.place.map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
        let key = if self.key.steps().is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{}{place}: {key}{}", file.display(), self.message)
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", problem.line(&self.file))?;
        }
        match self.problems.len() {
            1 => f.write_str("1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

/// A text of the file as a message shows it: on one line, and not without end.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let dots = if text.chars().nth(MOST).is_some() { "..." } else { "" };
    text.chars().take(MOST).map(visible).collect::<String>() + dots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_file_never_breaks_the_line() {
        assert_eq!(shown("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(shown(&"é".repeat(1000)), "é".repeat(100) + "...");
    }

    #[test]
    fn problems_are_printed_in_the_order_of_the_file_with_a_count() {
        let problem = |line, key: KeyPath, message: &str| Problem {
            place: Some(Place { line, column: 7 }),
            key,
            message: message.to_owned(),
        };
        let top = KeyPath::default();
        let whole = Problem { place: None, key: top.clone(), message: "no routes".to_owned() };
        let upstream = top.key("routes").index(3).key("upstream");
        let problems = vec![problem(41, upstream, "there is none"), whole, problem(2, top.key("a"), "b")];
        assert_eq!(
            ConfigProblems::new(Path::new("conf/gateway.yaml"), problems).to_string(),
            "conf/gateway.yaml: no routes\nconf/gateway.yaml:2:7: a: b\n\
             conf/gateway.yaml:41:7: routes[3].upstream: there is none\n3 problems"
        );
    }
}
