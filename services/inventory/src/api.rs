//! Every route of the service: each reads its request, calls one use case and maps what comes of it.

mod asset_page;
mod assets;
mod orders;
mod page;
mod parameter;

use chrono::Utc;
use common::entities::{AssetId, Category};
use common::ids::OrderId;
use common::names::suggestion;
use common::service::{Authenticated, Body, Problem};
use poem::Request;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{OpenApi, Tags};
use rust_decimal::Decimal;

use self::asset_page::{AssetJson, PageJson};
use self::assets::{ActiveFilter, AssetAnswer, AssetDetails, AssetsAnswer, CACHE_CONTROL};
use self::orders::{NewOrder, OrderAnswer, OrderPage, OrdersAnswer, PlacedAnswer, no_such_asset, no_such_order};
use self::page::{CursorText, PageLimit, link_to};
use self::parameter::{Optional, Parameters};
use crate::catalogue::{Catalogue, Query, SearchText, Sort, SortBy};
use crate::cursor::{InvalidCursor, Scope};
use crate::orders::Orders;

/// An order is nobody's business but its owner's.
const NOT_KEPT: &str = "no-store";

/// The service's own routes.
pub(crate) struct Api {
    pub(crate) catalogue: Catalogue<AssetJson>,
    pub(crate) orders: Orders,
}

#[derive(Tags)]
enum Tag {
    /// What can be bought
    Assets,
    /// What was bought
    Orders,
}

#[OpenApi]
impl Api {
    /// What can be bought
    ///
    /// In pages: pass `next_page` of one as `cursor` of the next, with the same filters and the same order. An asset is on
    /// exactly one page even if others are listed or change in between; only one that is moved by a new price may be met
    /// again or missed, and only in the order by price.
    #[expect(clippy::too_many_arguments, reason = "poem-openapi documents a query parameter by an argument")]
    #[oai(path = "/inventory/assets", method = "get", operation_id = "list_assets", tag = "Tag::Assets")]
    async fn list_assets(
        &self,
        request: &Request,
        /// Only this category: `ai`, `defi`, `exchange`, `gaming`, `infrastructure`, `layer-1`, `layer-2`, `meme`,
        /// `payments`, `privacy` or `stablecoin`, or one of your own assets'.
        category: Optional<Category>,
        /// Only prices of at least this many dollars.
        min_price: Optional<Decimal>,
        /// Only prices of at most this many dollars.
        max_price: Optional<Decimal>,
        /// Only names and symbols that contain this, whatever its case.
        q: Optional<SearchText>,
        /// Only assets that can be bought, only those that cannot, or all.
        active: Optional<ActiveFilter>,
        /// The order; a `-` before it turns it round.
        sort: Optional<Sort>,
        /// How many items the page has at most.
        limit: Optional<PageLimit>,
        /// `next_page` of the page before.
        cursor: Optional<CursorText>,
        /// The `ETag` of the page that you have.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<String>>,
    ) -> Result<AssetsAnswer, Problem> {
        let known = ["category", "min_price", "max_price", "q", "active", "sort", "limit", "cursor"];
        let mut parameters = Parameters::of(request, &known);
        let query = Query {
            category: parameters.take("category", category),
            min_price: parameters.take("min_price", min_price),
            max_price: parameters.take("max_price", max_price),
            text: parameters.take("q", q),
            active: parameters.take("active", active).map_or(Some(true), |ActiveFilter(active)| active),
            sort: parameters.take("sort", sort).unwrap_or(Sort { by: SortBy::Name, descending: false }),
        };
        if query.min_price.zip(query.max_price).is_some_and(|(min, max)| min > max) {
            parameters.wrong("max_price", "must not be less than min_price");
        }
        if let Some(problem) = self.wrong_category(query.category.as_ref()).await {
            parameters.wrong("category", problem);
        }
        let limit = parameters.take("limit", limit).unwrap_or_default();
        let cursor = parameters.take("cursor", cursor);
        parameters.finish()?;

        let after = cursor.map(|cursor| query.position_of(&cursor.0)).transpose()?;
        let page = self.catalogue.page(&query, after.as_ref(), limit.get()).await?;
        let tag = format!("W/\"{}\"", page.revision);
        if assets::names(if_none_match.as_deref(), &tag) {
            return Ok(AssetsAnswer::NotModified(tag, CACHE_CONTROL.to_owned()));
        }
        let body = PageJson::new(&page.items, page.next.as_deref(), Utc::now());
        let link = page.next.as_deref().map(|cursor| link_to(request.original_uri(), cursor));
        Ok(AssetsAnswer::Page(body, tag, CACHE_CONTROL.to_owned(), link))
    }

    /// One asset
    #[oai(path = "/inventory/assets/:id", method = "get", operation_id = "get_asset", tag = "Tag::Assets")]
    async fn get_asset(&self, id: Path<String>) -> Result<AssetAnswer, Problem> {
        let id = AssetId::parse(&id).map_err(|_| no_such_asset())?;
        let asset = self.catalogue.asset(&id).await?.ok_or_else(no_such_asset)?;
        Ok(AssetAnswer::Asset(Json(AssetDetails::of(asset, Utc::now())), CACHE_CONTROL.to_owned()))
    }

    /// Buy
    ///
    /// At the price of this moment. With an `Idempotency-Key`, the same request can be sent again and again and buys once:
    /// later answers show the order that the first one placed.
    #[oai(path = "/inventory/orders", method = "post", operation_id = "place_order", tag = "Tag::Orders")]
    async fn place_order(
        &self,
        request: &Request,
        caller: Authenticated,
        /// A name of your choice for this purchase: 1 to 128 visible ASCII characters. Remembered for 24 hours.
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        body: Body<NewOrder>,
    ) -> Result<PlacedAnswer, Problem> {
        let purchase = body.read(|order, fields| order.check(fields, request.headers()))?;
        let placed = self.orders.buy(caller.user(), &purchase.asset, purchase.quantity, purchase.key).await?;
        Ok(placed.into())
    }

    /// What the caller bought
    ///
    /// The newest first, in pages.
    #[oai(path = "/inventory/orders", method = "get", operation_id = "list_orders", tag = "Tag::Orders")]
    async fn list_orders(
        &self,
        request: &Request,
        caller: Authenticated,
        /// How many items the page has at most.
        limit: Optional<PageLimit>,
        /// `next_page` of the page before.
        cursor: Optional<CursorText>,
    ) -> Result<OrdersAnswer, Problem> {
        let mut parameters = Parameters::of(request, &["limit", "cursor"]);
        let limit = parameters.take("limit", limit).unwrap_or_default();
        let cursor = parameters.take("cursor", cursor);
        parameters.finish()?;

        let scope = Scope::new("orders", &[("user", caller.user().to_string())]);
        let before: Option<OrderId> = cursor.map(|cursor| scope.open(&cursor.0)).transpose()?;
        let page = self.orders.page(caller.user(), before, limit.get()).await?;
        let next_page = page.next.map(|id| scope.seal(&id));
        let link = next_page.as_deref().map(|cursor| link_to(request.original_uri(), cursor));
        let body = Json(OrderPage { items: page.orders.into_iter().map(Into::into).collect(), next_page });
        Ok(OrdersAnswer::Page(body, NOT_KEPT.to_owned(), link))
    }

    /// One order of the caller
    #[oai(path = "/inventory/orders/:id", method = "get", operation_id = "get_order", tag = "Tag::Orders")]
    async fn get_order(&self, caller: Authenticated, id: Path<String>) -> Result<OrderAnswer, Problem> {
        let id: OrderId = id.parse().map_err(|_| no_such_order())?;
        let order = self.orders.order(caller.user(), id).await?.ok_or_else(no_such_order)?;
        Ok(OrderAnswer::Order(Json(order.into()), NOT_KEPT.to_owned()))
    }
}

impl Api {
    /// What is wrong with asking for this category: an empty list would not tell a slip of the pen.
    async fn wrong_category(&self, category: Option<&Category>) -> Option<String> {
        // That the catalogue cannot be read, the list itself says.
        let (category, categories) = (category?, self.catalogue.categories().await.ok()?);
        let known: Vec<_> = categories.iter().map(Category::as_str).collect();
        let is_known = known.is_empty() || known.contains(&category.as_str());
        (!is_known).then(|| format!("is one that no asset has; {}", suggestion(category.as_str(), &known)))
    }
}

impl From<InvalidCursor> for Problem {
    fn from(error: InvalidCursor) -> Self {
        Self::bad_request("invalid_cursor", error.to_string())
    }
}
