//! Finds claims, also those inside of others, and writes them as headers.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::config::values::IdentityHeader;

/// Where a claim stands: `sub`, or `realm_access.roles` for one inside of another.
#[derive(Debug)]
pub(crate) struct ClaimPath {
    whole: Box<str>,
    parts: Box<[Box<str>]>,
}

impl ClaimPath {
    /// The path that is written like this.
    pub(crate) fn new(text: &str) -> Self {
        Self { whole: text.into(), parts: text.split('.').map(Box::from).collect() }
    }

    /// The claim at this path. One that has the dots in its very name, as URLs have them, comes first.
    pub(crate) fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        if let Some(claim) = claims.get(&*self.whole) {
            return Some(claim);
        }
        let (first, inner) = self.parts.split_first().filter(|(_, inner)| !inner.is_empty())?;
        inner.iter().try_fold(claims.get(&**first)?, |claim, part| claim.get(&**part))
    }
}

/// Which claims an upstream is told of, and in which headers.
pub(crate) struct ClaimHeaders(Box<[(ClaimPath, HeaderName)]>);

/// A claim that cannot be a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoHeader;

impl ClaimHeaders {
    pub(crate) fn new<'f>(claims: impl IntoIterator<Item = (&'f String, &'f IdentityHeader)>) -> Self {
        let header = |(claim, header): (&String, &IdentityHeader)| (ClaimPath::new(claim), header.get().clone());
        Self(claims.into_iter().map(header).collect())
    }

    /// The names of the headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(_, header)| header)
    }

    /// What `claims` have to say, header by header. A claim that is missing says nothing.
    ///
    /// # Errors
    /// When a claim is there and cannot be written so that it is read as it is meant.
    pub(crate) fn write(&self, claims: &Map<String, Value>) -> Result<Vec<(HeaderName, HeaderValue)>, NoHeader> {
        let mut headers = Vec::new();
        for (path, name) in &self.0 {
            if let Some(value) = path.find(claims).map(header_value).transpose()?.flatten() {
                headers.push((name.clone(), value));
            }
        }
        Ok(headers)
    }
}

/// `claim` as one header's value: a list as its items with commas between them. A block has none.
fn header_value(claim: &Value) -> Result<Option<HeaderValue>, NoHeader> {
    let text = match claim {
        Value::Null | Value::Object(_) => return Ok(None),
        Value::Array(items) => items.iter().map(item).collect::<Result<Vec<_>, _>>()?.join(","),
        scalar => scalar_text(scalar).ok_or(NoHeader)?,
    };
    // UTF-8 as it is, for names have more letters than ASCII; line ends and other controls are refused.
    HeaderValue::from_bytes(text.as_bytes()).map(Some).map_err(|_| NoHeader)
}

/// An item of a list, which must not look like two, or like none.
fn item(item: &Value) -> Result<String, NoHeader> {
    let text = scalar_text(item).ok_or(NoHeader)?;
    if text.is_empty() || text.contains(',') || text.trim() != text { Err(NoHeader) } else { Ok(text) }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// About what claims take in memory, rather too much than too little.
pub(crate) fn claims_bytes(map: &Map<String, Value>) -> usize {
    /// A node of the tree has room for eleven pairs, and may have six of them.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 64;
    let nodes = if map.is_empty() { 0 } else { 1 + map.len() / 5 };
    nodes * NODE + map.iter().map(|(key, value)| text_bytes(key) + value_bytes(value)).sum::<usize>()
}

/// Beyond the value itself, which is counted with what holds it.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text_bytes(text),
        Value::Array(items) => {
            items.capacity() * size_of::<Value>() + 16 + items.iter().map(value_bytes).sum::<usize>()
        }
        Value::Object(map) => claims_bytes(map),
    }
}

fn text_bytes(text: &String) -> usize {
    text.capacity() + 16
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str) -> Option<Value> {
        let claims = json!({
            "sub": "ann", "realm_access": {"roles": ["a"], "deep": {"er": 1}}, "https://e.com/x": true, "a.b": "own",
            "a": {"b": "inner"}, "list": [{"x": 1}],
        });
        ClaimPath::new(path).find(claims.as_object().expect("a block")).cloned()
    }

    #[test]
    fn claims_are_found_inside_of_others_and_by_names_with_dots() {
        assert_eq!(found("sub"), Some(json!("ann")));
        assert_eq!(found("realm_access.roles"), Some(json!(["a"])));
        assert_eq!(found("realm_access.deep.er"), Some(json!(1)));
        assert_eq!(found("https://e.com/x"), Some(json!(true)));
        assert_eq!(found("a.b"), Some(json!("own")), "the very name comes first");
        for none in ["none", "sub.x", "realm_access.none", "list.0", "list.x", ".", "realm_access."] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn a_list_is_joined_only_if_nobody_can_read_it_in_another_way() {
        let written = |claim: Value| header_value(&claim).map(|value| value.map(|value| value.as_bytes().to_vec()));
        assert_eq!(written(json!(["a", "b", 3, true])), Ok(Some(b"a,b,3,true".to_vec())));
        assert_eq!(written(json!([])), Ok(Some(Vec::new())));
        assert_eq!(written(json!("Zoë, a")), Ok(Some("Zoë, a".into())));
        assert_eq!(written(json!({"a": 1})), Ok(None));
        assert_eq!(written(json!(null)), Ok(None));
        for bad in [
            json!(["a,admin"]),
            json!(["a\r\nX: y"]),
            json!(["a\n"]),
            json!([""]),
            json!([" admin"]),
            json!(["admin\t"]),
            json!([["admin"]]),
            json!([{"a": 1}]),
            json!([null]),
            json!("a\r\nX: y"),
            json!("a\u{0}"),
        ] {
            assert_eq!(written(bad.clone()), Err(NoHeader), "{bad}");
        }
    }
}
