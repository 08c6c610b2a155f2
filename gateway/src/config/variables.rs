//! `${VAR}` and `${VAR:-default}` in the values of the file, replaced by environment variables.

use common::config::Env;

use super::problems::{KeyPath, Problem};
use super::yaml::{Node, Scalar, Value};

/// Why a value's variables cannot be replaced.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum BadVariable {
    #[error("the variable `{0}` is not set (or empty); set it, or write a default: `${{{0}:-...}}`")]
    NotSet(String),
    #[error("the variable `{0}` is not set (or empty); make a secret with: openssl rand -hex 32")]
    NoSecret(String),
    #[error("the variable `{0}` is not set (or empty); set it")]
    NoPassword(String),
    #[error("`${{` has no `}}`; write `$${{` where no variable is meant")]
    Open,
    #[error("`{0}` is no variable's name; write `${{NAME}}` or `${{NAME:-default}}`")]
    Name(String),
}

impl BadVariable {
    /// The same without the advice to write what nobody may know into the file.
    fn without_default_for(self, path: &KeyPath) -> Self {
        match (self, path.name()) {
            (Self::NotSet(name), Some("secret")) => Self::NoSecret(name),
            (Self::NotSet(name), Some("password")) => Self::NoPassword(name),
            (other, _) => other,
        }
    }
}

/// Replaces the variables in every value below `node`; keys stay as they are.
pub(super) fn replace(node: &mut Node, path: &KeyPath, env: &Env, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::Scalar(scalar) => {
            if let Err(bad) = replace_in(scalar, env) {
                let bad = bad.without_default_for(path);
                problems.push(Problem { place: Some(node.place), key: path.clone(), message: bad.to_string() });
                scalar.broken = true;
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                replace(item, &path.index(index), env, problems);
            }
        }
        Value::Block(entries) => {
            for (key, value) in entries {
                replace(value, &path.key(&key.text), env, problems);
            }
        }
    }
}

fn replace_in(scalar: &mut Scalar, env: &Env) -> Result<(), BadVariable> {
    if !scalar.text.contains("${") {
        return Ok(());
    }
    let mut text = String::new();
    let mut from_variable = false;
    let mut rest = scalar.text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            rest = after;
            continue;
        }
        text.push_str(before);
        let (variable, after) = after.split_once('}').ok_or(BadVariable::Open)?;
        text.push_str(value_of(variable, env)?);
        from_variable = true;
        rest = after;
    }
    text.push_str(rest);
    if from_variable {
        scalar.source = Some(std::mem::take(&mut scalar.text));
    }
    scalar.text = text;
    Ok(())
}

fn value_of<'v>(variable: &'v str, env: &'v Env) -> Result<&'v str, BadVariable> {
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(legal) {
        return Err(BadVariable::Name(name.to_owned()));
    }
    env.get(name).or(default).ok_or_else(|| BadVariable::NotSet(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str) -> Result<String, BadVariable> {
        let env = Env::default().with("NAME", "n").with("EMPTY", "").with("ODD", "${NAME}");
        let mut scalar = Scalar { text: text.to_owned(), null: false, plain: false, source: None, broken: false };
        replace_in(&mut scalar, &env).map(|()| scalar.text)
    }

    #[test]
    fn variables_and_defaults_are_replaced_once() {
        for (text, expected) in [
            ("plain $5 {x} $$", "plain $5 {x} $$"),
            ("http://${NAME}:${PORT:-80}/", "http://n:80/"),
            ("${EMPTY:-d}${NONE:-}", "d"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${ODD}", "${NAME}"),
            ("$${NAME} ${NAME}", "${NAME} n"),
        ] {
            assert_eq!(replaced(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_told() {
        assert_eq!(replaced("${EMPTY}"), Err(BadVariable::NotSet("EMPTY".to_owned())));
        assert_eq!(replaced("a ${NAME"), Err(BadVariable::Open));
        for name in ["", "1A", "A B", "A-B"] {
            assert_eq!(replaced(&format!("${{{name}}}")), Err(BadVariable::Name(name.to_owned())));
        }
    }

    #[test]
    fn a_message_shows_the_variable_and_never_its_value() {
        let env = Env::default().with("NAME", "hush");
        let mut scalar = Scalar { text: "x${NAME}".to_owned(), null: false, plain: false, source: None, broken: false };
        assert_eq!(replace_in(&mut scalar, &env), Ok(()));
        assert_eq!((scalar.text.as_str(), scalar.shown().as_str()), ("xhush", "x${NAME}"));
    }
}
