//! The regular expressions and the ranges of addresses inside of an expression, compiled with it.
//!
//! The language lets a pattern be any text, made when the request comes. Here it has to stand in the expression, and so has a range
//! (`cidr("10.0.0.0/8").containsIP(client_ip)`, as Kubernetes has it); what is evaluated then asks for it by its number.

use std::any::Any;
use std::net::IpAddr;

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use regex::{Regex, RegexBuilder};

use super::BadExpression;
use crate::config::pattern::BadRegex;
use crate::config::values::Network;

/// What makes a range of addresses.
pub(super) const CIDR: &str = "cidr";
/// What asks it whether it has an address.
pub(super) const CONTAINS_IP: &str = "containsIP";

/// Bytes that one may take when it is compiled, and again for what is remembered of its use.
const MOST_COMPILED: usize = 128 << 10;

static TYPE: Type = Type::new_unspecified_type("regular expression or range of addresses");

/// What a text fits or does not.
#[derive(Clone, Debug)]
pub(crate) enum Fits {
    /// A regular expression that finds something in it.
    Regex(Regex),
    /// A range in which its address is.
    Network(Network),
}

impl Val for Fits {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Fits {}

/// Declares `matches` and `containsIP` for what [`compile`] leaves.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("matches", "matches_compiled", vec![STRING_TYPE, TYPE.to_owned()], fits)?;
    env.add_member_overload("matches", "matches_compiled_member", STRING_TYPE, vec![TYPE.to_owned()], fits)?;
    env.add_member_overload(CONTAINS_IP, "contains_ip_compiled", TYPE.to_owned(), vec![STRING_TYPE], contains_ip)
}

fn fits<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = args.first().and_then(|text| text.downcast_ref::<CelString<'_>>());
    let regex = args.get(1).and_then(|regex| regex.downcast_ref::<Fits>());
    let (Some(text), Some(Fits::Regex(regex))) = (text, regex) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner()))))
}

/// Of what is no address it cannot be said.
fn contains_ip<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let network = args.first().and_then(|network| network.downcast_ref::<Fits>());
    let text = args.get(1).and_then(|text| text.downcast_ref::<CelString<'_>>());
    let addr = text.and_then(|text| text.inner().parse::<IpAddr>().ok());
    let (Some(Fits::Network(network)), Some(addr)) = (network, addr) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    Ok(CowVal::owned(CelBool::from(network.has(addr.to_canonical()))))
}

/// The range that `part` says, if it is a call of `cidr`.
fn network_of(part: &IdedExpr) -> Result<Option<Network>, BadExpression> {
    let Expr::Call(call) = &part.expr else { return Ok(None) };
    if call.func_name != CIDR || call.target.is_some() {
        return Ok(None);
    }
    match call.args.as_slice() {
        [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }] => {
            Ok(Some(Network::try_from(text.inner().to_owned())?))
        }
        _ => Err(BadExpression::DynamicNetwork),
    }
}

/// The name by which what is compiled under that number is asked for. No expression can have it.
fn name(number: usize) -> String {
    format!("@{number}")
}

/// The number that is asked for by `name`.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

/// Compiles the pattern of every `matches` and the range of every `containsIP` in `tree`, and puts its name in its place.
pub(super) fn compile(tree: &mut IdedExpr) -> Result<Box<[Fits]>, BadExpression> {
    let mut all = Vec::new();
    put(tree, &mut all)?;
    Ok(all.into())
}

fn put(part: &mut IdedExpr, all: &mut Vec<Fits>) -> Result<(), BadExpression> {
    match &mut part.expr {
        Expr::Call(call) => {
            if call.func_name == "matches" && call.args.len() == if call.target.is_some() { 1 } else { 2 } {
                let pattern = call.args.last_mut().ok_or(BadExpression::DynamicPattern)?;
                let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
                    return Err(BadExpression::DynamicPattern);
                };
                let mut regex = RegexBuilder::new(text.inner());
                let regex = regex.size_limit(MOST_COMPILED).dfa_size_limit(MOST_COMPILED).build();
                pattern.expr = Expr::Ident(name(all.len()));
                all.push(Fits::Regex(regex.map_err(BadRegex::from)?));
            }
            if call.func_name == CONTAINS_IP
                && let Some(range) = call.target.as_deref_mut()
                && let Some(network) = network_of(range)?
            {
                range.expr = Expr::Ident(name(all.len()));
                all.push(Fits::Network(network));
            }
            call.target.iter_mut().try_for_each(|target| put(target, all))?;
            call.args.iter_mut().try_for_each(|arg| put(arg, all))
        }
        Expr::Select(select) => put(&mut select.operand, all),
        Expr::List(list) => list.elements.iter_mut().try_for_each(|element| put(element, all)),
        Expr::Comprehension(fold) => {
            [&mut fold.iter_range, &mut fold.accu_init, &mut fold.loop_cond, &mut fold.loop_step, &mut fold.result]
                .into_iter()
                .try_for_each(|part| put(part, all))
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Ok(()),
    }
}
