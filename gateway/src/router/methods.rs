//! Sets of HTTP methods.

use http::Method;

/// A set of HTTP methods. Those without a bit of their own belong only to the set of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodSet(u16);

impl MethodSet {
    /// No method.
    pub const EMPTY: Self = Self(0);
    /// Every method, also those that are not known here, but for `TRACE` and `CONNECT`: an upstream's answer to the one
    /// shows the client what the gateway has added, the other is for tunnels.
    pub const ALL: Self = Self(u16::MAX);
    const KNOWN: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

    /// The set of `methods`; none at all means every method, and `GET` brings `HEAD` with it (RFC 9110, section 9.3.2).
    pub fn of<'m>(methods: impl IntoIterator<Item = &'m Method>) -> Self {
        let mut set = Self::EMPTY;
        for method in methods {
            set = set.union(Self::bit(method));
            if method == Method::GET {
                set = set.union(Self::bit(&Method::HEAD));
            }
        }
        if set == Self::EMPTY { Self::ALL } else { set }
    }

    /// Whether the set has `method`.
    #[must_use]
    pub fn contains(self, method: &Method) -> bool {
        let any = self == Self::ALL && !matches!(*method, Method::TRACE | Method::CONNECT);
        any || self.0 & Self::bit(method).0 != 0
    }

    /// Whether some method is in both sets.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every method of `other` is in the set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The methods of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The known methods of the set, in the order of RFC 9110.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Self::KNOWN.into_iter().filter(move |method| self.contains(method))
    }

    fn bit(method: &Method) -> Self {
        let position = Self::KNOWN.iter().position(|known| known == method);
        Self(position.map_or(0, |position| 1 << position))
    }
}
