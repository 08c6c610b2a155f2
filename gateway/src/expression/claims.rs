//! Claims as values of the expression language.

use std::collections::HashMap;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::{Number, Value};

/// Items that a list or a block may have; a loop goes over each of them.
const MOST_ITEMS: usize = 256;

/// The value of `claim`, which keeps its texts where they are.
///
/// # Errors
/// When it has too many items.
pub(super) fn claim(claim: &Value) -> Result<Box<dyn Val + '_>, ExecutionError> {
    Ok(match claim {
        Value::Null => Box::new(CelNull),
        Value::Bool(truth) => Box::new(CelBool::from(*truth)),
        Value::Number(number) => self::number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            bounded(items.len())?;
            Box::new(CelList::from(items.iter().map(self::claim).collect::<Result<Vec<_>, _>>()?))
        }
        Value::Object(entries) => {
            bounded(entries.len())?;
            let mut map: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> = HashMap::with_capacity(entries.len());
            for (name, value) in entries {
                map.insert(CelMapKey::from(name.as_str()), self::claim(value)?);
            }
            Box::new(CelMap::from(map))
        }
    })
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
    if items <= MOST_ITEMS { Ok(()) } else { Err(ExecutionError::function_error("claims", "too many items")) }
}
