//! How much a request costs, and of how much: the same for all, or what a claim or an expression says.

use pingora_http::RequestHeader;
use serde_json::Value;

use crate::claim::ClaimPath;
use crate::config::file::{FigureFile, RouteFile};
use crate::config::pattern::{Expression, Figure};
use crate::ctx::RequestContext;
use crate::expression::{self, Doubt, Offer, Params};

/// A number of requests.
pub(super) struct Amount {
    usual: u32,
    told: Option<Told>,
    /// What `told` says with a 0.
    of_zero: u32,
    /// What counts where `told` is in doubt: what is stricter.
    in_doubt: u32,
}

/// What says another for a request, and the most that it can say.
struct Told {
    by: By,
    max: u32,
}

enum By {
    Claim(ClaimPath),
    Expression(Expression, Params),
}

impl Amount {
    /// What requests of `route` cost: `usual`, or what is `told`. Nothing is free: 0 is the usual cost.
    pub(super) fn cost(usual: u32, told: Option<&FigureFile>, route: &RouteFile) -> Self {
        let in_doubt = told.map_or(usual, |told| told.max.max(usual));
        Self { usual, told: told.map(|told| Told::of(told, route)), of_zero: usual, in_doubt }
    }

    /// Of how much they take it: `usual`, or what is `told`. Nobody has less than 1.
    pub(super) fn limit(usual: u32, told: Option<&FigureFile>, route: &RouteFile) -> Self {
        let in_doubt = told.map_or(usual, |told| told.max.min(usual));
        Self { usual, told: told.map(|told| Told::of(told, route)), of_zero: 1, in_doubt }
    }

    /// That of the request with this `head`; the usual one where nothing is said of it.
    pub(super) fn of(&self, head: &RequestHeader, ctx: &RequestContext) -> u32 {
        let Some(told) = &self.told else { return self.usual };
        match told.number(head, ctx) {
            Ok(None) => self.usual,
            Ok(Some(0)) => self.of_zero.min(told.max),
            Ok(Some(number)) => u32::try_from(number).unwrap_or(u32::MAX).min(told.max),
            Err(Doubt) => {
                ctx.route.iter().for_each(|route| route.metrics.expression_doubts().inc());
                self.in_doubt
            }
        }
    }
}

impl Told {
    fn of(told: &FigureFile, route: &RouteFile) -> Self {
        let by = match &told.value {
            Figure::Claim(name) => By::Claim(ClaimPath::new(name)),
            Figure::Expression(expression) => By::Expression(expression.clone(), Params::of(&route.matches.path)),
        };
        Self { by, max: told.max }
    }

    fn number(&self, head: &RequestHeader, ctx: &RequestContext) -> Result<Option<u64>, Doubt> {
        match &self.by {
            By::Claim(path) => match ctx.identity.as_ref().and_then(|identity| path.find(&identity.claims)) {
                None | Some(Value::Null) => Ok(None),
                Some(claim) => whole_number(claim).map(Some).ok_or(Doubt),
            },
            By::Expression(expression, params) => {
                expression::number(expression, &Offer::of(head, ctx, params)).map(Some)
            }
        }
    }
}

/// What `claim` says, if that is a whole number that is not negative: `10`, and as issuers write it too, `10.0` and `"10"`.
fn whole_number(claim: &Value) -> Option<u64> {
    match claim {
        // One that is too large for the type becomes the largest there is.
        Value::Number(number) => number.as_u64().or_else(|| {
            number.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0).map(|number| number as u64)
        }),
        // `parse` takes a sign.
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_a_number_however_it_is_written_and_nothing_else_is_one() {
        for (claim, number) in [
            (json!(10), Some(10)),
            (json!(10.0), Some(10)),
            (json!("10"), Some(10)),
            (json!(0), Some(0)),
            (json!(1e30), Some(u64::MAX)),
            (json!(10.5), None),
            (json!(-1), None),
            (json!(-1.0), None),
            (json!("+10"), None),
            (json!("-1"), None),
            (json!(" 10"), None),
            (json!("10.0"), None),
            (json!("99999999999999999999999"), None),
            (json!(""), None),
            (json!("ten"), None),
            (json!(true), None),
            (json!([10]), None),
            (json!({"rpm": 10}), None),
        ] {
            assert_eq!(whole_number(&claim), number, "{claim}");
        }
    }
}
