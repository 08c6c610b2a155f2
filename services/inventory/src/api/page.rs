//! What the pages of all lists have in common: their length, their cursors, and the link to the next.

use poem::http::Uri;
use poem_openapi::registry::MetaSchema;

use super::parameter::ParameterValue;

/// How many items a page has at most: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLimit(usize);

impl PageLimit {
    const MAX: usize = 100;

    pub(super) const fn get(self) -> usize {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(20)
    }
}

impl ParameterValue for PageLimit {
    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(1.0),
            maximum: Some(Self::MAX as f64),
            default: Some(Self::default().0.into()),
            ..MetaSchema::new("integer")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(limit @ 1..=Self::MAX) => Ok(Self(limit)),
            _ => Err(format!("must be a whole number from 1 to {}", Self::MAX)),
        }
    }
}

/// The cursor of a page as it was sent; what it holds is for its list to say.
pub(super) struct CursorText(pub(super) String);

impl ParameterValue for CursorText {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// The `Link` header (RFC 8288) to the page at `cursor` of the list at `uri`.
///
/// The reference is relative, so that it holds behind a gateway, whatever that calls itself.
pub(super) fn link_to(uri: &Uri, cursor: &str) -> String {
    let kept =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={cursor}");
    let query = kept.chain([cursor.as_str()]).collect::<Vec<_>>().join("&");
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_100_items() {
        assert_eq!(PageLimit::parse("1"), Ok(PageLimit(1)));
        assert_eq!(PageLimit::parse("100"), Ok(PageLimit(100)));
        for bad in ["", "0", "101", "-1", "1.5", "ten", "99999999999999999999"] {
            assert!(PageLimit::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_link_keeps_the_filters_and_replaces_the_cursor() {
        let link = |uri: &'static str| link_to(&Uri::from_static(uri), "new");
        assert_eq!(link("/assets"), r#"</assets?cursor=new>; rel="next""#);
        assert_eq!(link("/assets?q=a%20b&cursor=old&limit=5"), r#"</assets?q=a%20b&limit=5&cursor=new>; rel="next""#);
    }
}
