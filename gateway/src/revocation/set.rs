//! The set of revocations: what requests look into.
//!
//! Everything is known by a keyed hash of 64 bits, reckoned once for a token when it is verified; so a look-up compares
//! numbers. Two of a million revocations and a million tokens meet by chance once in ten million times, and then a token
//! is refused. A set is never changed but replaced: by the same large table with another small one before it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use common::revocations::{Revocation, Revoked};
use serde_json::{Map, Value};

/// How many are in the small table at most; one more makes a new large one.
const MOST_RECENT: usize = 1024;

/// Nobody can choose what collides. One for the process, for marks outlive a configuration.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What revocations go by of one token, ready to be looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    token: Option<u64>,
    session: Option<u64>,
    subject: Option<u64>,
    /// Seconds since 1970; 0 when it does not say, which is before everything.
    issued_at: u64,
}

impl Marks {
    /// Those of a token with these `claims`.
    pub(crate) fn of(claims: &Map<String, Value>) -> Self {
        let mark = |kind, name| claims.get(name).and_then(Value::as_str).map(|text| hash(kind, text));
        let issued_at = claims.get("iat").and_then(|iat| iat.as_u64().or_else(|| Some(iat.as_f64()? as u64)));
        Self {
            token: mark(Kind::Token, "jti"),
            session: mark(Kind::Session, "sid"),
            subject: mark(Kind::Subject, "sub"),
            issued_at: issued_at.unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Hash)]
enum Kind {
    Token,
    Session,
    Subject,
}

fn hash(kind: Kind, text: &str) -> u64 {
    HASHER.hash_one((kind, text))
}

/// Those that count at one moment.
#[derive(Default)]
pub(super) struct RevocationSet {
    most: Arc<Table>,
    recent: Table,
}

/// By hash.
type Table = HashMap<u64, Entry, BuildHasherDefault<AsIs>>;

#[derive(Clone, Copy)]
struct Entry {
    /// Tokens issued before this are void.
    before: u64,
    until: u64,
}

impl RevocationSet {
    /// How many there are, or a few less.
    pub(super) fn len(&self) -> usize {
        self.most.len() + self.recent.len()
    }

    /// Whether a token with these `marks` is void.
    pub(super) fn voids(&self, marks: &Marks) -> bool {
        let voids = |mark: Option<u64>| {
            let entry = mark.and_then(|mark| self.recent.get(&mark).or_else(|| self.most.get(&mark)));
            entry.is_some_and(|entry| marks.issued_at < entry.before)
        };
        voids(marks.token) || voids(marks.session) || voids(marks.subject)
    }

    /// This one and `revocations`.
    pub(super) fn with(&self, revocations: &[Revocation]) -> Self {
        let mut set = Self { most: Arc::clone(&self.most), recent: self.recent.clone() };
        for revocation in revocations {
            let (key, entry) = read(revocation);
            let before = set.recent.get(&key).or_else(|| set.most.get(&key));
            if before.is_none_or(|before| !before.includes(&entry)) {
                let merged = before.map_or(entry, |before| before.merged(&entry));
                set.recent.insert(key, merged);
            }
        }
        if set.recent.len() > MOST_RECENT { set.without_expired() } else { set }
    }

    /// Those of this one that still count, in one table.
    pub(super) fn without_expired(&self) -> Self {
        let now = now();
        let mut most = Table::with_capacity_and_hasher(self.len(), BuildHasherDefault::default());
        // The recent ones last: they include what they were merged with.
        let all = self.most.iter().chain(&self.recent).filter(|(_, entry)| entry.until > now);
        most.extend(all.map(|(key, entry)| (*key, *entry)));
        Self { most: Arc::new(most), recent: Table::default() }
    }

    /// Whether some of it concerns only tokens that have expired.
    pub(super) fn has_expired(&self) -> bool {
        let now = now();
        self.most.values().chain(self.recent.values()).any(|entry| entry.until <= now)
    }
}

/// A set that is being read.
pub(super) struct Builder {
    table: Table,
    max_entries: usize,
    overflows: bool,
}

impl Builder {
    /// An empty one, for at most `max_entries`.
    pub(super) fn new(max_entries: usize) -> Self {
        Self { table: Table::default(), max_entries, overflows: false }
    }

    /// Puts one in.
    pub(super) fn add(&mut self, revocation: &Revocation) {
        let (key, entry) = read(revocation);
        if entry.until <= now() {
            return;
        }
        let is_full = self.table.len() >= self.max_entries;
        match self.table.get_mut(&key) {
            Some(before) => *before = before.merged(&entry),
            None if is_full => self.overflows = true,
            None => drop(self.table.insert(key, entry)),
        }
    }

    /// The set, if it is whole.
    pub(super) fn finish(self) -> Option<RevocationSet> {
        (!self.overflows).then(|| RevocationSet { most: Arc::new(self.table), recent: Table::default() })
    }
}

impl Entry {
    const fn includes(&self, other: &Self) -> bool {
        self.before >= other.before && self.until >= other.until
    }

    fn merged(&self, other: &Self) -> Self {
        Self { before: self.before.max(other.before), until: self.until.max(other.until) }
    }
}

fn read(revocation: &Revocation) -> (u64, Entry) {
    let until = revocation.until;
    match &revocation.revoked {
        Revoked::Token(id) => (hash(Kind::Token, id), Entry { before: u64::MAX, until }),
        Revoked::Session(id) => (hash(Kind::Session, id), Entry { before: u64::MAX, until }),
        Revoked::Subject { id, before } => (hash(Kind::Subject, id), Entry { before: *before, until }),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    /// Never asked for: the keys are numbers.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marks(claims: Value) -> Marks {
        let Value::Object(claims) = claims else { unreachable!("a block") };
        Marks::of(&claims)
    }

    fn set(revoked: impl IntoIterator<Item = Revoked>) -> RevocationSet {
        let all: Vec<_> = revoked.into_iter().map(|revoked| Revocation { revoked, until: u64::MAX }).collect();
        RevocationSet::default().with(&all)
    }

    fn subject(before: u64) -> Revoked {
        Revoked::Subject { id: "ann".into(), before }
    }

    #[test]
    fn a_token_is_void_by_itself_by_its_session_and_by_its_subject() {
        let set = set([Revoked::Token("t".into()), Revoked::Session("s".into()), subject(100)]);
        assert!(set.voids(&marks(json!({"jti": "t", "iat": 1000}))));
        assert!(set.voids(&marks(json!({"jti": "u", "sid": "s", "iat": 1000}))));
        assert!(set.voids(&marks(json!({"jti": "u", "sub": "ann", "iat": 99}))));
        assert!(set.voids(&marks(json!({"sub": "ann", "iat": 99.9}))));
        assert!(set.voids(&marks(json!({"sub": "ann"}))), "a token that does not say when it was issued");
        for other in [
            json!({"jti": "s", "sid": "t", "sub": "t", "iat": 1}),
            json!({"sub": "ann", "iat": 100}),
            json!({"sub": "bob", "iat": 1}),
            json!({}),
        ] {
            assert!(!set.voids(&marks(other.clone())), "{other}");
        }
    }

    #[test]
    fn of_two_moments_the_later_counts_in_whichever_order_they_come_and_wherever_they_stand() {
        for moments in [[100, 200], [200, 100]] {
            let first = set([subject(moments[0])]);
            let recent = first.with(&[Revocation { revoked: subject(moments[1]), until: u64::MAX }]);
            let folded = first.without_expired().with(&[Revocation { revoked: subject(moments[1]), until: u64::MAX }]);
            for set in [&recent, &folded, &folded.without_expired()] {
                assert!(set.voids(&marks(json!({"sub": "ann", "iat": 199}))));
                assert!(!set.voids(&marks(json!({"sub": "ann", "iat": 200}))));
            }
        }
    }

    #[test]
    fn many_are_all_found_and_what_has_expired_is_forgotten() {
        let token = |number: usize| Revoked::Token(number.to_string());
        let set = (0..3 * MOST_RECENT).fold(RevocationSet::default(), |set, number| {
            let until = if number % 2 == 0 { u64::MAX } else { 1 };
            set.with(&[Revocation { revoked: token(number), until }])
        });
        assert!((0..3 * MOST_RECENT).step_by(2).all(|number| set.voids(&marks(json!({"jti": number.to_string()})))));
        assert!(set.has_expired());
        let kept = set.without_expired();
        assert_eq!(kept.len(), 3 * MOST_RECENT / 2);
        assert!(!kept.has_expired());
    }

    #[test]
    fn a_set_that_is_too_large_is_none() {
        let with = |entries: u64| {
            let mut builder = Builder::new(2);
            for number in 0..entries {
                builder.add(&Revocation { revoked: Revoked::Token(number.to_string()), until: u64::MAX });
                builder.add(&Revocation { revoked: Revoked::Token("expired".into()), until: 1 });
            }
            builder.finish().map(|set| set.len())
        };
        assert_eq!(with(2), Some(2));
        assert_eq!(with(3), None);
    }
}
