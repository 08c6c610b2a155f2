//! An expression in the file, in the Common Expression Language (CEL): `"admin" in claims.roles && method != "DELETE"`.
//!
//! It is read once, when the file is. What it names must be there, what it compares must be comparable, and what it costs is
//! bounded: by its length, by its depth and its number of parts, by loops that go over one list and not inside of each other,
//! and by regular expressions that are written in it and compiled with it. So one evaluation takes at most some
//! milliseconds, whatever a request brings, and usually a millionth of a second for each part.

mod fits;
mod kinds;
mod names;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};
use std::thread;

use cel::Env;
use cel::common::ast::{Expr, IdedExpr};
use schemars::JsonSchema;
use serde::Deserialize;

use super::regex::BadRegex;
use crate::config::values::BadNetwork;
pub(crate) use fits::{Fits, number as regex_number};
pub use kinds::Kind;
pub use names::{Reference, Variable};

/// No expression that a person can read is longer.
const MOST_TEXT: usize = 2048;

/// Parts that one may have: names, constants, operators, calls. A loop has some ten of its own.
const MOST_PARTS: usize = 200;

/// Parts of parts of parts that one may have.
const MOST_DEPTH: usize = 32;

/// Parentheses, lists and choices that may be opened, for the parser goes deeper with each.
const MOST_OPENED: usize = 64;

/// What the parser may go down for all that: it takes up to a hundred KiB for one pair of parentheses, and some for each sign.
const STACK: usize = 128 << 20;

/// Texts that may be put together, each of which may be as long as a request's head.
const MOST_SUMS: usize = 8;

/// What every expression is read and evaluated with.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    fits::declare(&mut env)
        .expect("the standard functions have no `matches` without the crate's own regular expressions");
    Arc::new(env)
});

/// An expression, compiled.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"method == 'GET'")]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    tree: IdedExpr,
    /// The regular expressions and ranges of addresses in it.
    fits: Box<[Fits]>,
    kind: Kind,
    references: Box<[Reference]>,
}

/// An expression that says yes or no, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"method == 'GET'")]
pub struct Predicate(Expression);

/// Why a text is no expression that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    /// Nothing is written.
    #[error("the expression is empty")]
    Empty,
    /// More than [`MOST_TEXT`] bytes.
    #[error("an expression has at most {MOST_TEXT} bytes")]
    TooLong,
    /// More than [`MOST_PARTS`] parts.
    #[error(
        "the expression is too large: names, constants, operators and calls are {parts} together, {MOST_PARTS} at most"
    )]
    TooLarge {
        /// How many there are.
        parts: usize,
    },
    /// Deeper than [`MOST_DEPTH`], or more than [`MOST_OPENED`].
    #[error(
        "the expression is too deep; {MOST_DEPTH} parts stand inside of each other at most, and {MOST_OPENED} are opened"
    )]
    TooDeep,
    /// The system has no thread with room to read it.
    #[error("there is no thread to read the expression on")]
    NoThread,
    /// More than [`MOST_SUMS`] sums.
    #[error("an expression has at most {MOST_SUMS} `+`, for each may double what it costs")]
    TooManySums,
    /// It is not in the language, in the words of its parser.
    #[error("line {line}, column {column} of the expression: {reason}")]
    Syntax {
        /// Counted from 1.
        line: isize,
        /// Counted from 1.
        column: isize,
        /// What the parser says.
        reason: String,
    },
    /// It names something that there is not.
    #[error("nothing is called `{name}` here{hint}; there are {known}")]
    UnknownName {
        /// What it names.
        name: String,
        /// What was likely meant.
        hint: String,
        /// What there is.
        known: String,
    },
    /// It calls something that there is not.
    #[error("there is no function `{name}`{hint}; there are {known}")]
    UnknownFunction {
        /// What it calls.
        name: String,
        /// What was likely meant.
        hint: String,
        /// What there is.
        known: &'static str,
    },
    /// It calls something in a way that it cannot be called.
    #[error("`{name}` is called like `{usage}`")]
    Usage {
        /// What it calls.
        name: &'static str,
        /// How it is called.
        usage: &'static str,
    },
    /// Two things are compared or joined that never can be.
    #[error("`{operator}` stands between {left} and {right}, which never fit")]
    Mismatch {
        /// The operator.
        operator: String,
        /// What stands before it.
        left: Kind,
        /// What stands behind it.
        right: Kind,
    },
    /// One thing is wanted and another is there.
    #[error("{wanted} is wanted for `{place}`, and this is {found}")]
    Wanted {
        /// Where.
        place: String,
        /// What is wanted.
        wanted: Kind,
        /// What is there.
        found: Kind,
    },
    /// It asks something for a part of it that has none.
    #[error("`.{name}` is asked of {found}, which has no parts of its own")]
    NoMembers {
        /// What is asked for.
        name: String,
        /// Of what.
        found: Kind,
    },
    /// It uses all headers, claims and the like at once.
    #[error(
        "`{name}` stands alone; name one of them: `{name}.x`, `{name}[\"x\"]`, `\"x\" in {name}` or `has({name}.x)`"
    )]
    Whole {
        /// What it uses.
        name: &'static str,
    },
    /// It has a loop inside of a loop.
    #[error("a loop inside of a loop may cost more than a request is worth; write it without")]
    NestedLoop,
    /// It makes lists or blocks of its own.
    #[error("`map`, `filter` and blocks make something new of a request; only questions are asked here")]
    Makes,
    /// The pattern of `matches` is made when the request comes.
    #[error("the pattern of `matches` is a text that stands here, so that it is compiled beforehand")]
    DynamicPattern,
    /// The pattern of `matches` is none.
    #[error(transparent)]
    Pattern(#[from] BadRegex),
    /// The range of `cidr` is made when the request comes.
    #[error("the range of `cidr` is a text that stands here, as in `cidr(\"10.0.0.0/8\")`")]
    DynamicNetwork,
    /// The range of `cidr` is none.
    #[error(transparent)]
    Network(#[from] BadNetwork),
    /// An address is compared with a range.
    #[error("`client_ip` is one address and never `{range}`; write `cidr(\"{range}\").containsIP(client_ip)`")]
    AddressIsNoRange {
        /// The range.
        range: String,
    },
    /// It does not say what is to be found out.
    #[error("the whole expression is {found}, and {wanted} is wanted")]
    Result {
        /// What it is.
        found: Kind,
        /// What is wanted.
        wanted: &'static str,
    },
}

impl Expression {
    /// The expression that is written as `text`.
    ///
    /// # Errors
    /// See [`BadExpression`]. The first mistake is told.
    pub fn new(text: &str) -> Result<Self, BadExpression> {
        match text.trim().len() {
            0 => return Err(BadExpression::Empty),
            1..=MOST_TEXT => {}
            _ => return Err(BadExpression::TooLong),
        }
        if text.bytes().filter(|byte| b"([{?".contains(byte)).count() > MOST_OPENED {
            return Err(BadExpression::TooDeep);
        }
        let compiled = thread::scope(|scope| {
            let thread = thread::Builder::new().name("expression".to_owned()).stack_size(STACK);
            thread.spawn_scoped(scope, || Compiled::new(text)).map(thread::ScopedJoinHandle::join)
        });
        let Ok(Ok(compiled)) = compiled else { return Err(BadExpression::NoThread) };
        compiled.map(|compiled| Self(Arc::new(compiled)))
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What it says, as far as that is known before a request comes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What of a request it asks for.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.0.references
    }

    pub(crate) fn tree(&self) -> &IdedExpr {
        &self.0.tree
    }

    pub(crate) fn fits(&self) -> &[Fits] {
        &self.0.fits
    }

    /// What it is evaluated with.
    pub(crate) fn env() -> Arc<Env> {
        Arc::clone(&ENV)
    }
}

impl Compiled {
    fn new(text: &str) -> Result<Self, BadExpression> {
        let mut tree = ENV.parser().parse(text).map_err(|errors| syntax(&errors))?;
        let (parts, depth) = extent(&tree);
        if parts > MOST_PARTS {
            return Err(BadExpression::TooLarge { parts });
        }
        if depth > MOST_DEPTH {
            return Err(BadExpression::TooDeep);
        }
        let fits = fits::compile(&mut tree)?;
        let found = names::check(&tree)?;
        Ok(Self { text: text.into(), tree, fits, kind: found.kind, references: found.references })
    }
}

impl Predicate {
    /// What says yes or no.
    #[must_use]
    pub const fn expression(&self) -> &Expression {
        &self.0
    }
}

fn syntax(errors: &cel::ParseErrors) -> BadExpression {
    let first = errors.errors.first();
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    let reason = first.map_or_else(|| "it is not in the language".to_owned(), |error| error.msg.clone());
    BadExpression::Syntax { line: line.max(1), column: column.max(1), reason }
}

/// Every part of `tree`, itself first.
fn parts(tree: &IdedExpr) -> Vec<&IdedExpr> {
    levels(tree).into_iter().map(|(part, _)| part).collect()
}

/// How many parts `tree` has, and how many of them stand inside of each other.
fn extent(tree: &IdedExpr) -> (usize, usize) {
    let levels = levels(tree);
    (levels.len(), levels.last().map_or(0, |(_, level)| *level))
}

/// Every part of `tree` with its level, from above.
fn levels(tree: &IdedExpr) -> Vec<(&IdedExpr, usize)> {
    let mut levels = vec![(tree, 1)];
    let mut next = 0;
    while let Some((part, level)) = levels.get(next).copied() {
        let mut parts: Vec<&IdedExpr> = Vec::new();
        match &part.expr {
            Expr::Call(call) => parts.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::Select(select) => parts.push(&select.operand),
            Expr::List(list) => parts.extend(&list.elements),
            Expr::Comprehension(fold) => {
                parts.extend([&fold.iter_range, &fold.accu_init, &fold.loop_cond, &fold.loop_step, &fold.result])
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
        levels.extend(parts.into_iter().map(|part| (part, level + 1)));
        next += 1;
    }
    levels
}

impl TryFrom<String> for Expression {
    type Error = BadExpression;

    fn try_from(text: String) -> Result<Self, BadExpression> {
        Self::new(&text)
    }
}

impl TryFrom<String> for Predicate {
    type Error = BadExpression;

    fn try_from(text: String) -> Result<Self, BadExpression> {
        let expression = Expression::new(&text)?;
        match expression.kind() {
            Kind::Bool | Kind::Any => Ok(Self(expression)),
            found => Err(BadExpression::Result { found, wanted: "`true` or `false`" }),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

#[cfg(test)]
mod tests;
