//! How much a request costs, and of how much: the same for all, or what a claim or an expression says.

use pingora_http::RequestHeader;

use crate::claim::ClaimPath;
use crate::config::file::{FigureFile, RouteFile};
use crate::config::pattern::{Expression, Figure};
use crate::ctx::RequestContext;
use crate::expression::{self, Offer, Params};

/// A number of requests.
pub(super) struct Amount {
    usual: u32,
    told: Option<Told>,
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
    /// `usual`, or what is `told` of requests of `route`.
    pub(super) fn new(usual: u32, told: Option<&FigureFile>, route: &RouteFile) -> Self {
        let told = told.map(|told| {
            let by = match &told.value {
                Figure::Claim(name) => By::Claim(ClaimPath::new(name)),
                Figure::Expression(expression) => By::Expression(expression.clone(), Params::of(&route.matches.path)),
            };
            Told { by, max: told.max }
        });
        Self { usual, told }
    }

    /// That of the request with this `head`. Where nothing, or nothing from 1 on, is said of it, it is the usual one.
    pub(super) fn of(&self, head: &RequestHeader, ctx: &RequestContext) -> u32 {
        let Some(told) = &self.told else { return self.usual };
        let number = match &told.by {
            By::Claim(path) => ctx.identity.as_ref().and_then(|identity| identity.number_at(path)),
            By::Expression(expression, params) => {
                let number = expression::number(expression, &Offer::of(head, ctx, params));
                if number.is_err() {
                    ctx.route.iter().for_each(|route| route.metrics.expression_doubts().inc());
                }
                number.ok()
            }
        };
        number
            .filter(|number| *number >= 1)
            .map_or(self.usual, |number| u32::try_from(number).unwrap_or(u32::MAX).min(told.max))
    }
}
