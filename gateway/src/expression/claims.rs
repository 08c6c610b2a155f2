//! Claims as values of the expression language.
//!
//! A list or a block is converted when an expression first comes to it, and lent each further time: an expression may come to it
//! in a loop.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, MAP_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use serde_json::{Map, Number, Value};

use super::members::name;

/// Items that a list or a block may have; a loop goes over each of them.
const MOST_ITEMS: usize = 256;

/// Values that are made of claims for one answer of an expression.
const MOST_VALUES: usize = 4096;

/// Lists and blocks that are kept; hardly an expression asks for more.
const KEPT: usize = 4;

/// What is said of who asks.
#[derive(Debug)]
pub(super) struct Claims<'r> {
    all: Option<&'r Map<String, Value>>,
    kept: [OnceLock<(&'r str, Box<dyn Val + 'r>)>; KEPT],
    /// Values that have been made.
    made: AtomicUsize,
}

impl<'r> Claims<'r> {
    pub(super) fn new(all: Option<&'r Map<String, Value>>) -> Self {
        Self { all, kept: Default::default(), made: AtomicUsize::new(0) }
    }

    /// The value of `claim`, which keeps its texts where they are.
    ///
    /// # Errors
    /// When it has too many items.
    fn value(&self, claim: &'r Value) -> Result<Box<dyn Val + 'r>, ExecutionError> {
        if self.made.fetch_add(1, Ordering::Relaxed) >= MOST_VALUES {
            return Err(too_many());
        }
        Ok(match claim {
            Value::Null => Box::new(CelNull),
            Value::Bool(truth) => Box::new(CelBool::from(*truth)),
            Value::Number(number) => self::number(number),
            Value::String(text) => Box::new(CelString::from(text.as_str())),
            Value::Array(items) => {
                bounded(items.len())?;
                Box::new(CelList::from(items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?))
            }
            Value::Object(entries) => {
                bounded(entries.len())?;
                let mut map: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> = HashMap::with_capacity(entries.len());
                for (name, value) in entries {
                    map.insert(CelMapKey::from(name.as_str()), self.value(value)?);
                }
                Box::new(CelMap::from(map))
            }
        })
    }

    fn find(&self, name: &str) -> Result<CowVal<'_, 'r>, ExecutionError> {
        let Some((name, claim)) = self.all.and_then(|all| all.get_key_value(name)) else {
            return Err(ExecutionError::no_such_key(""));
        };
        if !claim.is_array() && !claim.is_object() {
            return self.value(claim).map(CowVal::Owned);
        }
        let kept = || self.kept.iter().map_while(OnceLock::get).find(|(kept, _)| kept == name);
        if let Some((_, value)) = kept() {
            return Ok(CowVal::Borrowed(&**value));
        }
        let mut made = (name.as_str(), self.value(claim)?);
        for place in &self.kept {
            match place.set(made) {
                Ok(()) => return kept().map(|(_, value)| CowVal::Borrowed(&**value)).ok_or_else(too_many),
                Err(given_back) => made = given_back,
            }
        }
        // Made anew each time, within the bound.
        Ok(CowVal::Owned(made.1))
    }
}

impl Val for Claims<'_> {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Claims { made: self.made.load(Ordering::Relaxed).into(), ..Claims::new(self.all) })
    }
}

impl Indexer for Claims<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(match self.find(name(key)?)? {
            CowVal::Borrowed(value) => CowVal::Borrowed(value),
            CowVal::Owned(value) => CowVal::Owned(value),
        })
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Container for Claims<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        let name = name(key)?;
        Ok(self.all.is_some_and(|all| all.contains_key(name)))
    }
}

fn number(number: &Number) -> Box<dyn Val> {
    if let Some(number) = number.as_i64() {
        return Box::new(CelInt::from(number));
    }
    match number.as_u64() {
        Some(number) => Box::new(CelUInt::from(number)),
        None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
    }
}

fn bounded(items: usize) -> Result<(), ExecutionError> {
    if items <= MOST_ITEMS { Ok(()) } else { Err(too_many()) }
}

fn too_many() -> ExecutionError {
    ExecutionError::function_error("claims", "too many items")
}
