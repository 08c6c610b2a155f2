//! Asks an expression of the file what it says of a request.
//!
//! A request offers what it has by name, and makes a value of it when the expression comes to that name, so that nothing is
//! paid for what no expression asks for. Most values are borrowed from the request.
//!
//! Doubt is never an answer: what cannot be evaluated (a claim that is not there, a parameter that is there twice, a text
//! where a number is wanted) is a [`Doubt`], and whoever asked takes it for the stricter of the two.

mod claims;
mod members;

use std::borrow::Cow;

use cel::common::types::{CelBool, CelDouble, CelInt, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Value};
use http::{HeaderMap, Method};
use pingora_http::RequestHeader;

use crate::client_addr::{self, ClientAddr};
use crate::config::pattern::{Expression, Fits, PathMatch, Segment, Variable, regex_number};
use crate::ctx::{Identity, Prover, RequestContext};
use crate::host;
use crate::template::normal_path;
use claims::Claims;
use members::Members;

/// What a request offers to expressions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'r> {
    /// Its method.
    pub(crate) method: &'r Method,
    /// The host it names, without port.
    pub(crate) host: &'r str,
    /// Its path in normal form.
    pub(crate) path: &'r str,
    /// Its query, without the `?`.
    pub(crate) query: Option<&'r str>,
    /// Its headers.
    pub(crate) headers: &'r HeaderMap,
    /// Who asks.
    pub(crate) client: ClientAddr,
    /// What its route makes of its path; nothing before the route is known.
    pub(crate) params: Option<&'r Params>,
    /// Whose it is, once that is known.
    pub(crate) identity: Option<&'r Identity>,
    /// Who says so.
    pub(crate) prover: Option<&'r Prover>,
}

/// Where the parameters of a route stand in its path.
#[derive(Debug)]
pub(crate) struct Params(Box<[(Box<str>, usize)]>);

/// The expression has no answer for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt;

impl Params {
    /// Those of `path`.
    pub(crate) fn of(path: &PathMatch) -> Self {
        let parameter = |(index, segment): (usize, &Segment)| match segment {
            Segment::Parameter(name) => Some((name.as_str().into(), index)),
            Segment::Literal(_) => None,
        };
        Self(path.segments().iter().enumerate().filter_map(parameter).collect())
    }

    fn find<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let (_, index) = self.0.iter().find(|(own, _)| **own == *name)?;
        path.strip_prefix('/')?.split('/').nth(*index)
    }
}

impl<'r> Offer<'r> {
    /// What the request with this `head`, of which `ctx` knows, offers on a route with these `params`.
    pub(crate) fn of(head: &'r RequestHeader, ctx: &'r RequestContext, params: &'r Params) -> Self {
        Self {
            method: &head.method,
            host: host::named(head).unwrap_or_default(),
            path: normal_path(head, ctx),
            query: head.uri.query(),
            headers: &head.headers,
            client: ctx.client,
            params: Some(params),
            identity: ctx.identity.as_deref(),
            prover: ctx.proven_by.as_deref(),
        }
    }
}

/// Whether `expression` holds for a request that offers this.
///
/// # Errors
/// When it says neither yes nor no.
pub(crate) fn holds(expression: &Expression, offer: &Offer<'_>) -> Result<bool, Doubt> {
    evaluate(expression, offer, |value| value.downcast_ref::<CelBool>().map(|truth| *truth.inner()))
}

/// What `expression` says of a request that offers this, as a text.
///
/// # Errors
/// When it is neither a text nor a whole number nor a truth value.
pub(crate) fn text(expression: &Expression, offer: &Offer<'_>) -> Result<String, Doubt> {
    evaluate(expression, offer, |value| {
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            return Some(text.inner().to_owned());
        }
        let number = value.downcast_ref::<CelInt>().map(|number| number.inner().to_string());
        let number = number.or_else(|| value.downcast_ref::<CelUInt>().map(|number| number.inner().to_string()));
        number.or_else(|| value.downcast_ref::<CelBool>().map(|truth| truth.inner().to_string()))
    })
}

/// What `expression` says of a request that offers this, as a whole number; of a fraction, the whole below it.
///
/// # Errors
/// When it is no number, or a negative one.
pub(crate) fn number(expression: &Expression, offer: &Offer<'_>) -> Result<u64, Doubt> {
    evaluate(expression, offer, |value| {
        let signed = value.downcast_ref::<CelInt>().map(|number| u64::try_from(*number.inner()).ok());
        let unsigned = || value.downcast_ref::<CelUInt>().map(|number| Some(*number.inner()));
        // A fraction that is too large, negative or no number at all becomes the nearest whole number that there is.
        let fraction = || {
            value
                .downcast_ref::<CelDouble>()
                .map(|number| Some(*number.inner()).filter(|n| *n >= 0.0).map(|n| n as u64))
        };
        signed.or_else(unsigned).or_else(fraction).flatten()
    })
}

fn evaluate<T>(
    expression: &Expression,
    offer: &Offer<'_>,
    read: impl FnOnce(&dyn Val) -> Option<T>,
) -> Result<T, Doubt> {
    let claims = Claims::new(offer.identity.map(|identity| &identity.claims));
    let names = Names { offer, fits: expression.fits(), claims };
    let mut context = Context::with_env(Expression::env());
    context.set_variable_resolver(&names);
    let value = Value::resolve_val(expression.tree(), &context).map_err(|_| Doubt)?;
    read(value.as_ref()).ok_or(Doubt)
}

/// Finds what an expression names.
struct Names<'r> {
    offer: &'r Offer<'r>,
    fits: &'r [Fits],
    claims: Claims<'r>,
}

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let offer = self.offer;
        let Some(variable) = Variable::named(name) else {
            return self.fits.get(regex_number(name)?).map(|fits| CowVal::Borrowed(fits as _));
        };
        let text = |text: Cow<'b, str>| CowVal::owned(CelString::from(text));
        Some(match variable {
            Variable::Method => text(offer.method.as_str().into()),
            Variable::Host => text(if offer.host.bytes().any(|byte| byte.is_ascii_uppercase()) {
                offer.host.to_ascii_lowercase().into()
            } else {
                offer.host.into()
            }),
            Variable::Path => text(offer.path.into()),
            Variable::ClientIp => {
                let mut address = Vec::with_capacity(16);
                client_addr::write(offer.client.get(), &mut address);
                text(String::from_utf8(address).ok()?.into())
            }
            Variable::Claims => CowVal::Borrowed(&self.claims),
            Variable::Headers | Variable::Query | Variable::Cookies | Variable::Params | Variable::Auth => {
                CowVal::owned(Members { offer, of: variable })
            }
        })
    }
}

#[cfg(test)]
mod tests;
