//! Where a credential stands in a request, and how it is kept from the upstream.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use crate::config::file::TokenPlaceFile;
use crate::cookies::{self, cookies};
use crate::ctx::RequestContext;
use crate::reply::Rejection;

/// A place where a credential may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A header, behind the word for its scheme if it has one.
    Header {
        name: HeaderName,
        scheme: Option<Box<str>>,
    },
    Cookie(Box<str>),
    /// A parameter of the query.
    Query(Box<str>),
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'r> {
    Nothing,
    One(Cow<'r, [u8]>),
    /// More than one, which could be read in two ways, here and at the upstream.
    Several,
}

impl Place {
    /// `Authorization: <scheme> ...`.
    pub(crate) fn authorization(scheme: &str) -> Self {
        Self::Header { name: AUTHORIZATION, scheme: Some(scheme.into()) }
    }

    /// Whether it is in `Authorization`.
    pub(crate) fn is_authorization(&self) -> bool {
        matches!(self, Self::Header { name, .. } if *name == AUTHORIZATION)
    }

    /// What stands here in the request with this `head`.
    pub(crate) fn find<'r>(&self, head: &'r RequestHeader) -> Found<'r> {
        match self {
            Self::Header { name, scheme } => in_header(&head.headers, name, scheme.as_deref()),
            Self::Cookie(name) => {
                let own = |(cookie, value): (&'r [u8], &'r [u8])| (cookie == name.as_bytes()).then_some(value);
                only(cookies(&head.headers).filter_map(own).map(Cow::Borrowed))
            }
            Self::Query(name) => {
                let pairs = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
                only(pairs.filter(|(parameter, _)| *parameter == **name).map(|(_, value)| match value {
                    Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
                    Cow::Owned(value) => Cow::Owned(value.into_bytes()),
                }))
            }
        }
    }
}

/// The credential of the only header `name`. One of another scheme is none; what stands behind the scheme's word in another
/// way than its own grammar has it (RFC 9110, section 11.4) may be one to an upstream that is less strict.
fn in_header<'r>(headers: &'r HeaderMap, name: &HeaderName, scheme: Option<&str>) -> Found<'r> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Found::Nothing };
    if values.next().is_some() {
        return Found::Several;
    }
    let value = value.as_bytes();
    let Some(scheme) = scheme else { return Found::One(Cow::Borrowed(value.trim_ascii())) };
    let Some((word, rest)) = value.split_at_checked(scheme.len()) else { return Found::Nothing };
    match rest {
        [b' ', credential @ ..] if word.eq_ignore_ascii_case(scheme.as_bytes()) => {
            Found::One(Cow::Borrowed(credential.trim_ascii_start()))
        }
        [after, ..] if word.eq_ignore_ascii_case(scheme.as_bytes()) && !is_of_word(*after) => Found::Several,
        _ => Found::Nothing,
    }
}

/// Whether a scheme's word may have this byte (RFC 9110, section 5.6.2).
const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn only<'r>(mut found: impl Iterator<Item = Cow<'r, [u8]>>) -> Found<'r> {
    match (found.next(), found.next()) {
        (None, _) => Found::Nothing,
        (Some(one), None) => Found::One(one),
        (Some(_), Some(_)) => Found::Several,
    }
}

/// The places of the file, or else the usual one.
pub(crate) fn places(files: &[TokenPlaceFile]) -> Box<[Place]> {
    if files.is_empty() {
        return [Place::authorization("Bearer")].into();
    }
    let places = files.iter().flat_map(|file| {
        let header = file
            .header
            .as_ref()
            .map(|header| Place::Header { name: header.get().clone(), scheme: file.scheme.as_deref().map(Box::from) });
        let cookie = file.cookie.as_deref().map(|name| Place::Cookie(name.into()));
        let query = file.query.as_deref().map(|name| Place::Query(name.into()));
        header.into_iter().chain(cookie).chain(query)
    });
    places.collect()
}

/// What somebody is told who has no token at any of `places`.
pub(crate) fn missing_token(places: &[Place]) -> Rejection {
    let is_usual = |place: &Place| match place {
        Place::Header { scheme, .. } => {
            place.is_authorization() && scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
        }
        _ => false,
    };
    if places.iter().any(is_usual) {
        return Rejection::TokenMissing;
    }
    let told = places.iter().map(|place| match place {
        Place::Header { name, scheme: Some(scheme) } => format!("as `{name}: {scheme} <token>`"),
        Place::Header { name, scheme: None } => format!("as `{name}: <token>`"),
        Place::Cookie(name) => format!("in the cookie `{name}`"),
        Place::Query(name) => format!("in the query, as `{name}=<token>`"),
    });
    let told: Vec<String> = told.collect();
    Rejection::TokenMissingElsewhere(format!("Send an access token {}.", told.join(", or ")).into())
}

/// More than one credential, of which the upstream may believe another than the one that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Several;

/// The credential that stands at one of `places` in the request with this `head`, or at several of them, always the same.
pub(crate) fn find_one<'r>(places: &[Place], head: &'r RequestHeader) -> Result<Option<Cow<'r, [u8]>>, Several> {
    let mut credential = None;
    for place in places {
        match place.find(head) {
            Found::Nothing => {}
            Found::Several => return Err(Several),
            Found::One(other) if credential.as_ref().is_some_and(|credential| *credential != other) => {
                return Err(Several);
            }
            Found::One(found) => credential = Some(found),
        }
    }
    Ok(credential)
}

/// The query of `request` without the credentials that the route keeps to itself.
pub(crate) fn shown_query<'r>(request: &'r RequestHeader, ctx: &RequestContext) -> Option<Cow<'r, str>> {
    let query = request.uri.query()?;
    let hidden = ctx.route.as_ref().and_then(|route| route.hidden.as_deref());
    let shown = hidden.and_then(|hidden| hidden.shown_query(query));
    shown.map_or(Some(Cow::Borrowed(query)), |shown| Some(shown).filter(|shown| !shown.is_empty()).map(Cow::Owned))
}

/// What of a request its upstream must not see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    headers: Vec<HeaderName>,
    cookies: Vec<Box<str>>,
    parameters: Vec<Box<str>>,
}

impl Hidden {
    /// Hides what stands at `place` too.
    pub(crate) fn add(&mut self, place: &Place) {
        match place {
            Place::Header { name, .. } => self.headers.push(name.clone()),
            Place::Cookie(name) => self.cookies.push(name.clone()),
            Place::Query(name) => self.parameters.push(name.clone()),
        }
    }

    /// Lets `Authorization` be seen after all.
    pub(crate) fn show_authorization(&mut self) {
        self.headers.retain(|name| *name != AUTHORIZATION);
    }

    /// Whether there is nothing to hide.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The headers that are hidden.
    pub(crate) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Takes the hidden cookies out of `headers`, and leaves all others as they are.
    pub(crate) fn take_cookies(&self, headers: &mut HeaderMap) {
        let is_hidden = |name: &[u8]| self.cookies.iter().any(|hidden| hidden.as_bytes() == name);
        if self.cookies.is_empty() || !cookies(headers).any(|(name, _)| is_hidden(name)) {
            return;
        }
        let mut left = Vec::new();
        for value in headers.get_all(COOKIE) {
            let shown = cookies::pairs(value.as_bytes()).filter(|pair| !is_hidden(cookies::name(pair).trim_ascii()));
            let pairs: Vec<&[u8]> = shown.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).collect();
            left.extend((!pairs.is_empty()).then(|| HeaderValue::from_bytes(&pairs.join(&b"; "[..]))));
        }
        headers.remove(COOKIE);
        for value in left.into_iter().flatten() {
            headers.append(COOKIE, value);
        }
    }

    /// `query` without the hidden parameters, however their names are encoded; none when it has none of them.
    pub(crate) fn shown_query(&self, query: &str) -> Option<String> {
        if self.parameters.is_empty() {
            return None;
        }
        let is_hidden = |pair: &&str| {
            form_urlencoded::parse(pair.as_bytes())
                .any(|(name, _)| self.parameters.iter().any(|hidden| **hidden == *name))
        };
        let pairs = || query.split('&');
        pairs()
            .any(|pair| is_hidden(&pair))
            .then(|| pairs().filter(|pair| !is_hidden(pair)).collect::<Vec<_>>().join("&"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a client sends, and whatever else stands around it.
        #[test]
        fn nothing_is_found_any_more_where_it_was_hidden(
            cookies in prop::collection::vec("[a-z=; ,\"s]{0,12}|s=[a-z]{0,3}; ?s=x", 0..4),
            query in "([&=+%a-z]|%7[3-5]|s|s=){0,16}",
        ) {
            let (cookie, parameter) = (Place::Cookie("s".into()), Place::Query("s".into()));
            let mut hidden = Hidden::default();
            hidden.add(&cookie);
            hidden.add(&parameter);
            let sent: Vec<_> = cookies.iter().map(|value| ("Cookie", value.as_str())).collect();
            let mut head = head(&format!("/?{query}"), &sent);
            let mut headers = head.headers.clone();
            hidden.take_cookies(&mut headers);
            let other = |headers: &HeaderMap| {
                let others = super::cookies(headers).filter(|(name, _)| *name != b"s");
                others.map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>()
            };
            prop_assert_eq!(other(&headers), other(&head.headers), "others stay");
            let shown = hidden.shown_query(&query).unwrap_or(query);
            head.set_uri(format!("/?{shown}").parse().expect("a target"));
            prop_assert_eq!(parameter.find(&head), Found::Nothing);
            let mut without = RequestHeader::build("GET", b"/", None).expect("a request");
            for value in headers.get_all(COOKIE) {
                without.append_header("Cookie", value.clone()).expect("a header");
            }
            prop_assert_eq!(cookie.find(&without), Found::Nothing);
        }
    }

    #[test]
    fn who_has_no_token_is_told_where_it_is_looked_for() {
        let told = |places: &[Place]| match missing_token(places) {
            Rejection::TokenMissingElsewhere(detail) => detail.to_string(),
            rejection => rejection.describe().2.to_owned(),
        };
        let header = |name, scheme: Option<&str>| Place::Header {
            name: HeaderName::from_static(name),
            scheme: scheme.map(Box::from),
        };
        let usual = "Send an access token as `Authorization: Bearer <token>`.";
        assert_eq!(told(&[Place::authorization("Bearer")]), usual);
        assert_eq!(told(&[Place::Query("t".into()), Place::authorization("bearer")]), usual);
        let elsewhere = [Place::Query("t".into()), header("x-token", None), Place::Cookie("c".into())];
        assert_eq!(
            told(&elsewhere),
            "Send an access token in the query, as `t=<token>`, or as `x-token: <token>`, or in the cookie `c`."
        );
        assert_eq!(told(&[header("authorization", None)]), "Send an access token as `authorization: <token>`.");
        assert_eq!(told(&[Place::authorization("DPoP")]), "Send an access token as `authorization: DPoP <token>`.");
    }

    fn head(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        for (name, value) in headers {
            head.append_header(*name, *value).expect("a header");
        }
        head
    }

    fn one(text: &str) -> Found<'_> {
        Found::One(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn exactly_one_header_of_the_scheme_is_taken() {
        let bearer = Place::authorization("Bearer");
        let find = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("Authorization", *value)).collect();
            match bearer.find(&head("/", &headers)) {
                Found::One(token) => Ok(Some(String::from_utf8(token.into_owned()).expect("text"))),
                Found::Nothing => Ok(None),
                Found::Several => Err(()),
            }
        };
        assert_eq!(find(&["bearer x.y.z"]), Ok(Some("x.y.z".to_owned())));
        assert_eq!(find(&["BEARER   x.y.z"]), Ok(Some("x.y.z".to_owned())));
        for none in [&[][..], &["Basic eDp5"], &["Bearer"], &["Bearerx.y.z"], &["Bearer-x y"]] {
            assert_eq!(find(none), Ok(None), "{none:?}");
        }
        for doubtful in ["Bearer\tx", "bearer,x", "Bearer:x", "Bearer=x", "Bearer\"x\""] {
            assert_eq!(find(&[doubtful]), Err(()), "{doubtful}: another may read a token here");
        }
        assert_eq!(find(&["Bearer a", "Bearer b"]), Err(()));
        assert_eq!(find(&["Basic a", "Bearer b"]), Err(()), "which of them the upstream takes is not known");
        let plain = Place::Header { name: HeaderName::from_static("x-token"), scheme: None };
        assert_eq!(plain.find(&head("/", &[("X-Token", " t ")])), one("t"));
    }

    #[test]
    fn a_cookie_or_a_parameter_that_stands_twice_is_ambiguous() {
        let cookie = Place::Cookie("session".into());
        assert_eq!(cookie.find(&head("/", &[("Cookie", "a=b; session=x.y=; session2=z")])), one("x.y="));
        assert_eq!(cookie.find(&head("/", &[("Cookie", "a=session; sessions=x; session")])), Found::Nothing);
        assert_eq!(cookie.find(&head("/", &[("Cookie", "session=x"), ("Cookie", "session=y")])), Found::Several);
        assert_eq!(cookie.find(&head("/", &[("Cookie", "session=x;session=x")])), Found::Several);
        let query = Place::Query("access_token".into());
        assert_eq!(query.find(&head("/?a=b&access_token=x.y.z", &[])), one("x.y.z"));
        assert_eq!(query.find(&head("/?access%5Ftoken=x%2Ey", &[])), one("x.y"));
        assert_eq!(query.find(&head("/?xaccess_token=x", &[])), Found::Nothing);
        assert_eq!(query.find(&head("/?access_token=x&access%5ftoken=y", &[])), Found::Several);
    }

    #[test]
    fn what_is_hidden_goes_in_every_spelling_and_the_rest_stays_as_it_was() {
        let mut hidden = Hidden::default();
        assert!(hidden.is_empty());
        hidden.add(&Place::Cookie("session".into()));
        hidden.add(&Place::Query("key".into()));
        assert!(!hidden.is_empty());
        let mut headers = head("/", &[("Cookie", "a=b;  session=x; c"), ("Cookie", "session=y")]).headers.clone();
        hidden.take_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=b; c"]);
        let mut others = head("/", &[("Cookie", "a=b;c=\"d\";")]).headers.clone();
        hidden.take_cookies(&mut others);
        assert_eq!(others[COOKIE], "a=b;c=\"d\";");
        assert_eq!(hidden.shown_query("a=%20b&key=x&c").as_deref(), Some("a=%20b&c"));
        assert_eq!(hidden.shown_query("k%65y=x").as_deref(), Some(""));
        assert_eq!(hidden.shown_query("keys=x&a=key"), None);
    }
}
