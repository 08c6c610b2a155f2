//! Goes through an expression: whether what it names is there, what it compares can be compared, and what it costs is bounded.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use common::names::did_you_mean;

use super::fits::{CIDR, CONTAINS_IP, number};
use super::{BadExpression, Kind, MOST_SUMS, parts};

/// What a request offers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Its method.
    Method,
    /// The host it names, in lower case and without port.
    Host,
    /// Its path in normal form.
    Path,
    /// The address of who asks.
    ClientIp,
    /// Its headers.
    Headers,
    /// The parameters of its query, decoded.
    Query,
    /// Its cookies.
    Cookies,
    /// The parameters of its route's path.
    Params,
    /// What is known of who asks.
    Claims,
    /// By what that was proven: `kind` and `provider`.
    Auth,
}

/// Something of a request that an expression asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it is.
    pub variable: Variable,
    /// Which of them, if there are several.
    pub name: Option<String>,
}

const VARIABLES: [Variable; 10] = [
    Variable::Method,
    Variable::Host,
    Variable::Path,
    Variable::ClientIp,
    Variable::Headers,
    Variable::Query,
    Variable::Cookies,
    Variable::Params,
    Variable::Claims,
    Variable::Auth,
];

impl Variable {
    /// What is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        VARIABLES.into_iter().find(|variable| variable.name() == name)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::ClientIp => "client_ip",
            Self::Headers => "headers",
            Self::Query => "query",
            Self::Cookies => "cookies",
            Self::Params => "params",
            Self::Claims => "claims",
            Self::Auth => "auth",
        }
    }

    /// Whether there are several by names of their own.
    const fn has_members(self) -> bool {
        !matches!(self, Self::Method | Self::Host | Self::Path | Self::ClientIp)
    }
}

/// What was found out of an expression.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) references: Box<[Reference]>,
}

/// Checks `tree` whole.
pub(super) fn check(tree: &IdedExpr) -> Result<Found, BadExpression> {
    let all = parts(tree);
    let is_sum = |part: &&&IdedExpr| matches!(&part.expr, Expr::Call(call) if call.func_name == operators::ADD);
    if all.iter().filter(is_sum).count() > MOST_SUMS {
        return Err(BadExpression::TooManySums);
    }
    let mut checker = Checker::default();
    let kind = checker.kind(tree)?;
    Ok(Found { kind, references: checker.references.into() })
}

#[derive(Default)]
struct Checker<'e> {
    references: Vec<Reference>,
    /// What the loop around calls its items and its result; empty outside of loops.
    items: Vec<&'e str>,
}

/// Functions, with how they are called, what they are called on and with, and what they give.
const FUNCTIONS: [(&str, &str, &[Kind], Kind); 10] = [
    ("contains", "text.contains(text)", &[Kind::Text, Kind::Text], Kind::Bool),
    ("startsWith", "text.startsWith(text)", &[Kind::Text, Kind::Text], Kind::Bool),
    ("endsWith", "text.endsWith(text)", &[Kind::Text, Kind::Text], Kind::Bool),
    ("matches", "text.matches(\"pattern\")", &[Kind::Text, Kind::Any], Kind::Bool),
    ("size", "size(text or list)", &[Kind::Any], Kind::Number),
    ("int", "int(text or number)", &[Kind::Any], Kind::Number),
    ("double", "double(text or number)", &[Kind::Any], Kind::Number),
    ("string", "string(text or number)", &[Kind::Any], Kind::Text),
    (CIDR, USE_OF_CIDR, &[Kind::Text], Kind::Any),
    (CONTAINS_IP, USE_OF_CIDR, &[Kind::Any, Kind::Text], Kind::Bool),
];

const USE_OF_CIDR: &str = "cidr(\"10.0.0.0/8\").containsIP(client_ip)";

const FUNCTION_NAMES: &str = "`contains`, `startsWith`, `endsWith`, `matches`, `size`, `int`, `double`, `string`, `cidr`, `has`, `all`, `exists` and `exists_one`";

impl<'e> Checker<'e> {
    fn kind(&mut self, part: &'e IdedExpr) -> Result<Kind, BadExpression> {
        match &part.expr {
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Kind::Bool,
                LiteralValue::Bytes(_) => Kind::Bytes,
                LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kind::Number,
                LiteralValue::Null => Kind::Null,
                LiteralValue::String(_) => Kind::Text,
            }),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                list.elements.iter().try_for_each(|element| self.kind(element).map(drop))?;
                Ok(Kind::List)
            }
            Expr::Comprehension(fold) => self.fold(fold),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Err(BadExpression::Makes),
        }
    }

    fn name(&mut self, name: &str) -> Result<Kind, BadExpression> {
        if number(name).is_some() || self.items.contains(&name) {
            return Ok(Kind::Any);
        }
        let variable = Variable::named(name).ok_or_else(|| self.unknown(name))?;
        if variable.has_members() {
            return Err(BadExpression::Whole { name: variable.name() });
        }
        self.references.push(Reference { variable, name: None });
        Ok(Kind::Text)
    }

    fn unknown(&self, name: &str) -> BadExpression {
        let items = self.items.iter().copied().filter(|item| !item.starts_with('@'));
        let known: Vec<&str> = VARIABLES.into_iter().map(|variable| variable.name()).chain(items).collect();
        let hint = did_you_mean(name, known.iter().copied());
        let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        BadExpression::UnknownName { name: name.to_owned(), hint, known }
    }

    /// The variable with members that `part` names.
    fn whole(&self, part: &IdedExpr) -> Option<Variable> {
        let Expr::Ident(name) = &part.expr else { return None };
        Variable::named(name).filter(|variable| variable.has_members() && !self.items.contains(&name.as_str()))
    }

    fn member(&mut self, variable: Variable, name: &str) -> Result<Kind, BadExpression> {
        if variable == Variable::Auth && !["kind", "provider"].contains(&name) {
            let hint = did_you_mean(name, ["kind", "provider"]);
            let known = "`auth.kind` and `auth.provider`".to_owned();
            return Err(BadExpression::UnknownName { name: format!("auth.{name}"), hint, known });
        }
        self.references.push(Reference { variable, name: Some(name.to_owned()) });
        Ok(if variable == Variable::Claims { Kind::Any } else { Kind::Text })
    }

    fn select(&mut self, select: &'e SelectExpr) -> Result<Kind, BadExpression> {
        let kind = match self.whole(&select.operand) {
            Some(variable) => self.member(variable, &select.field)?,
            None => match self.kind(&select.operand)? {
                Kind::Any => Kind::Any,
                found => return Err(BadExpression::NoMembers { name: select.field.clone(), found }),
            },
        };
        Ok(if select.test { Kind::Bool } else { kind })
    }

    /// Tells when `part` is something else than is `wanted`.
    fn wanted(
        &mut self,
        part: &'e IdedExpr,
        wanted: Kind,
        place: impl FnOnce() -> String,
    ) -> Result<(), BadExpression> {
        let found = self.kind(part)?;
        if found.fits(wanted) { Ok(()) } else { Err(BadExpression::Wanted { place: place(), wanted, found }) }
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Kind, BadExpression> {
        let place = || call.func_name.trim_matches('_').to_owned();
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, args) => {
                args.iter().try_for_each(|arg| self.wanted(arg, Kind::Bool, place))?;
                Ok(Kind::Bool)
            }
            (operators::NOT_STRICTLY_FALSE, [arg]) => self.kind(arg),
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.wanted(condition, Kind::Bool, || "? :".to_owned())?;
                let (yes, no) = (self.kind(yes)?, self.kind(no)?);
                Ok(if yes == no { yes } else { Kind::Any })
            }
            (
                operators::EQUALS
                | operators::NOT_EQUALS
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                self.is_no_range(left, right)?;
                self.is_no_range(right, left)?;
                self.alike(left, right, place).map(|_| Kind::Bool)
            }
            (operators::ADD, [left, right]) => self.alike(left, right, place),
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [left, right]) => {
                self.wanted(left, Kind::Number, place)?;
                self.wanted(right, Kind::Number, place)?;
                Ok(Kind::Number)
            }
            (operators::NEGATE, [arg]) => self.wanted(arg, Kind::Number, place).map(|()| Kind::Number),
            (operators::IN, [item, list]) => {
                if let (Some(variable), Expr::Literal(LiteralValue::String(name))) = (self.whole(list), &item.expr) {
                    self.member(variable, name.inner())?;
                    return Ok(Kind::Bool);
                }
                if let Expr::List(list) = &list.expr {
                    list.elements.iter().try_for_each(|element| self.is_no_range(item, element))?;
                }
                self.kind(item)?;
                self.wanted(list, Kind::List, || "in".to_owned()).map(|()| Kind::Bool)
            }
            (operators::INDEX, [of, index]) => {
                if let (Some(variable), Expr::Literal(LiteralValue::String(name))) = (self.whole(of), &index.expr) {
                    return self.member(variable, name.inner());
                }
                self.wanted(of, Kind::List, || "[ ]".to_owned())?;
                self.kind(index).map(|_| Kind::Any)
            }
            (name, args) => self.function(name, call.target.as_deref(), args),
        }
    }

    /// Makes sure that `text` is no range where `part` is the address of who asks: the two are never the same.
    fn is_no_range(&self, part: &IdedExpr, text: &IdedExpr) -> Result<(), BadExpression> {
        match (&part.expr, &text.expr) {
            (Expr::Ident(name), Expr::Literal(LiteralValue::String(text)))
                if name == Variable::ClientIp.name()
                    && !self.items.contains(&name.as_str())
                    && text.inner().contains('/') =>
            {
                Err(BadExpression::AddressIsNoRange { range: text.inner().to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn function(
        &mut self,
        name: &str,
        target: Option<&'e IdedExpr>,
        args: &'e [IdedExpr],
    ) -> Result<Kind, BadExpression> {
        let Some((name, usage, wanted, gives)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            let makes = ["map", "filter"].contains(&name);
            let hint = did_you_mean(name, FUNCTIONS.iter().map(|(known, ..)| *known).chain(["has", "all", "exists"]));
            let unknown = BadExpression::UnknownFunction { name: name.to_owned(), hint, known: FUNCTION_NAMES };
            return Err(if makes { BadExpression::Makes } else { unknown });
        };
        // What is left of `cidr` stands elsewhere than before `containsIP`, and has not been compiled.
        let is_range = |part: &IdedExpr| matches!(&part.expr, Expr::Ident(name) if number(name).is_some());
        if *name == CIDR || *name == CONTAINS_IP && !target.is_some_and(is_range) {
            return Err(BadExpression::Usage { name, usage });
        }
        // `matches` may be called either way, as the language has it; the others as the standard library declares them.
        let is_method = wanted.len() == 2;
        let way = target.is_some() == is_method || matches!(*name, "matches" | "size");
        let given: Vec<&IdedExpr> = target.into_iter().chain(args).collect();
        if !way || given.len() != wanted.len() {
            return Err(BadExpression::Usage { name, usage });
        }
        given
            .into_iter()
            .zip(*wanted)
            .try_for_each(|(arg, wanted)| self.wanted(arg, *wanted, || (*name).to_owned()))?;
        Ok(*gives)
    }

    fn alike(
        &mut self,
        left: &'e IdedExpr,
        right: &'e IdedExpr,
        place: impl FnOnce() -> String,
    ) -> Result<Kind, BadExpression> {
        let (left, right) = (self.kind(left)?, self.kind(right)?);
        if !left.fits(right) {
            return Err(BadExpression::Mismatch { operator: place(), left, right });
        }
        Ok(if left == Kind::Any { right } else { left })
    }

    /// What `all`, `exists` and `exists_one` have become.
    fn fold(&mut self, fold: &'e ComprehensionExpr) -> Result<Kind, BadExpression> {
        if !self.items.is_empty() {
            return Err(BadExpression::NestedLoop);
        }
        if matches!(fold.accu_init.expr, Expr::List(_)) {
            return Err(BadExpression::Makes);
        }
        self.wanted(&fold.iter_range, Kind::List, || "a loop".to_owned())?;
        self.kind(&fold.accu_init)?;
        self.items.extend([fold.iter_var.as_str(), &fold.accu_var].into_iter().chain(fold.iter_var2.as_deref()));
        [&fold.loop_cond, &fold.loop_step, &fold.result].into_iter().try_for_each(|part| self.kind(part).map(drop))?;
        self.items.clear();
        Ok(Kind::Bool)
    }
}
