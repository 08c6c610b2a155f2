//! Makes the tree of a file into a [`GatewayFile`], past every mistake.
//!
//! Each mistake is told and then mended with a stand-in (or, for a misspelt key, with the name that was likely meant), so
//! that what follows is still read. A file with mistakes is therefore decoded whole, is checked whole, and is then
//! thrown away.

use std::collections::BTreeSet;

use common::names::{did_you_mean, nearest};
use serde_json::{Map, Value as Json, json};
use serde_path_to_error::Segment;

use super::file::GatewayFile;
use super::index::Index;
use super::problems::{KeyPath, Place, Problem, Step};
use super::schema::{Form, Schema};
use super::yaml::{Key, Node, Scalar, Value};

/// What was made of a tree.
pub(super) struct Decoded<'t> {
    pub(super) file: GatewayFile,
    pub(super) index: Index<'t>,
    /// The values of `file` that the source does not have so.
    pub(super) stand_ins: BTreeSet<KeyPath>,
}

/// Texts that their type refused, until reading stops. Each costs a pass over the whole file.
const MAX_REFUSED: usize = 100;

/// Decodes `root`, putting everything that does not fit into `problems`. Misspelt keys are mended in `root` itself.
///
/// Gives nothing when even the stand-ins did not help; there is a problem then.
pub(super) fn decode<'t>(root: &'t mut Node, problems: &mut Vec<Problem>) -> Option<Decoded<'t>> {
    let schema = Schema::of_the_file();
    let mut decoder = Decoder { schema: &schema, problems, stand_ins: BTreeSet::new() };
    let mut json = decoder.value(root, None, schema.root(), &KeyPath::default());
    let mut stand_ins = decoder.stand_ins;
    let index = Index::of(root);
    for _ in 0..MAX_REFUSED {
        let error = match serde_path_to_error::deserialize::<_, GatewayFile>(&json) {
            Ok(file) => return Some(Decoded { file, index, stand_ins }),
            Err(error) => error,
        };
        let path = key_path(error.path());
        let message = match index.scalar(&path) {
            Some(scalar) => format!("`{}`: {}", scalar.shown(), error.inner()),
            None => error.inner().to_string(),
        };
        problems.push(Problem { place: index.place(&path), key: path.clone(), message });
        *value_at(&mut json, &path)? = schema.stand_in(schema.at(&path)?);
        if !stand_ins.insert(path) {
            return None;
        }
    }
    let message = format!("more than {MAX_REFUSED} values are wrong; there may be more behind them");
    problems.push(Problem { place: None, key: KeyPath::default(), message });
    None
}

struct Decoder<'s, 'p> {
    schema: &'s Schema,
    problems: &'p mut Vec<Problem>,
    stand_ins: BTreeSet<KeyPath>,
}

/// Why a value does not fit, in words for its reader; `None` when they were said already.
type Misfit = Option<String>;

impl<'s> Decoder<'s, '_> {
    /// The value of `node`, or its stand-in. `key` is where the key of `node` stands, if it has one.
    fn value(&mut self, node: &mut Node, key: Option<Place>, schema: &'s Json, path: &KeyPath) -> Json {
        let place = node.pointed_at(key);
        self.read(node, place, schema, path).unwrap_or_else(|misfit| {
            if let Some(message) = misfit {
                self.tell(place, path, message);
            }
            self.stand_ins.insert(path.clone());
            self.schema.stand_in(schema)
        })
    }

    fn read(&mut self, node: &mut Node, place: Place, schema: &'s Json, path: &KeyPath) -> Result<Json, Misfit> {
        let (form, may_be_empty) = self.schema.form(schema);
        if let Value::Scalar(scalar) = &node.value {
            if scalar.broken {
                return Err(None);
            }
            if may_be_empty && (scalar.null || scalar.source.is_some() && scalar.text.is_empty()) {
                return Ok(Json::Null);
            }
            if scalar.null {
                return Err(Some("a value is missing here".to_owned()));
            }
        }
        match (form, &mut node.value) {
            (Form::Struct { keys, required }, Value::Block(entries)) => {
                Ok(self.block(entries, keys, &required, place, path))
            }
            (Form::Names(schema), Value::Block(entries)) => {
                let entry = |(key, node): &mut (Key, Node)| {
                    (key.text.clone(), self.value(node, Some(key.place), schema, &path.key(&key.text)))
                };
                Ok(entries.iter_mut().map(entry).collect())
            }
            (Form::List(schema) | Form::OneOrList(schema) | Form::SwitchOrList(schema), Value::List(items)) => {
                let item = |(index, node): (usize, &mut Node)| self.value(node, None, schema, &path.index(index));
                Ok(items.iter_mut().enumerate().map(item).collect())
            }
            (Form::OneKey(choices), Value::Block(entries)) => self.one_key(entries, &choices, path),
            (Form::Words(words), Value::Scalar(scalar)) => word(scalar, &words),
            (Form::Text | Form::OneOrList(_), Value::Scalar(scalar)) => Ok(json!(scalar.text)),
            (Form::Scalar, Value::Scalar(scalar)) => Ok(typed(scalar)),
            (Form::Number { min, max }, Value::Scalar(scalar)) => number(scalar, min, max),
            (Form::Switch | Form::SwitchOrList(_), Value::Scalar(scalar)) => switch(scalar),
            (form, _) => Err(Some(form.expected())),
        }
    }

    fn block(
        &mut self,
        entries: &mut [(Key, Node)],
        keys: &'s Map<String, Json>,
        required: &[&'s str],
        place: Place,
        path: &KeyPath,
    ) -> Json {
        let mut free: Vec<&str> = keys
            .keys()
            .map(String::as_str)
            .filter(|known| !entries.iter().any(|(key, _)| key.text == *known))
            .collect();
        let mut json = Map::new();
        for (key, node) in entries {
            if !keys.contains_key(&key.text) {
                let meant = self.unknown(key, &free, keys.keys().map(String::as_str), path);
                let Some(meant) = meant else { continue };
                free.retain(|known| *known != meant);
                key.text = meant;
            }
            let value = self.value(node, Some(key.place), &keys[&key.text], &path.key(&key.text));
            json.insert(key.text.clone(), value);
        }
        for missing in required {
            if json.contains_key(*missing) {
                continue;
            }
            self.tell(place, path, format!("the key `{missing}` is missing"));
            self.stand_ins.insert(path.key(missing));
            json.insert((*missing).to_owned(), self.schema.stand_in(&keys[*missing]));
        }
        Json::Object(json)
    }

    fn one_key(
        &mut self,
        entries: &mut [(Key, Node)],
        choices: &[(&str, &'s Json)],
        path: &KeyPath,
    ) -> Result<Json, Misfit> {
        let names = || choices.iter().map(|(name, _)| *name);
        let [(key, node)] = entries else {
            return Err(Some(format!("one key is wanted here, with its settings below it: {}", listed(names()))));
        };
        if !names().any(|name| name == key.text) {
            let free: Vec<&str> = names().collect();
            key.text = self.unknown(key, &free, names(), path).ok_or(None)?;
        }
        let schema = choices.iter().find(|(name, _)| *name == key.text).map(|(_, schema)| *schema).ok_or(None)?;
        let value = self.value(node, Some(key.place), schema, &path.key(&key.text));
        Ok(json!({ key.text.as_str(): value }))
    }

    /// Tells that `key` is unknown. Gives the one of `free` that was likely meant.
    fn unknown<'k>(
        &mut self,
        key: &Key,
        free: &[&str],
        known: impl Iterator<Item = &'k str>,
        path: &KeyPath,
    ) -> Option<String> {
        let meant = nearest(&key.text, free.iter().copied());
        let hint = match meant {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => format!("; known here: {}", listed(known)),
        };
        self.tell(key.place, &path.key(&key.text), format!("unknown key{hint}"));
        meant.map(str::to_owned)
    }

    fn tell(&mut self, place: Place, path: &KeyPath, message: String) {
        self.problems.push(Problem { place: Some(place), key: path.clone(), message });
    }
}

impl Form<'_> {
    fn expected(&self) -> String {
        match self {
            Form::Struct { .. } | Form::Names(_) => "a block of `key: value` lines is wanted here".to_owned(),
            Form::List(_) => "a list is wanted here; write it as `[a, b]` or as lines that begin with `- `".to_owned(),
            Form::OneOrList(_) => "a text or a list of texts is wanted here".to_owned(),
            Form::SwitchOrList(_) => "`true`, `false` or a list is wanted here".to_owned(),
            Form::Scalar => "a text, a number, `true` or `false` is wanted here".to_owned(),
            Form::OneKey(keys) => {
                format!("a key with its settings is wanted here: {}", listed(keys.iter().map(|(key, _)| *key)))
            }
            Form::Words(words) => format!("a word is wanted here: {}", listed(words.iter().copied())),
            Form::Text => "a single text is wanted here".to_owned(),
            Form::Number { .. } => "a number is wanted here".to_owned(),
            Form::Switch => "`true` or `false` is wanted here".to_owned(),
        }
    }
}

fn word(scalar: &Scalar, words: &[&str]) -> Result<Json, Misfit> {
    if words.contains(&scalar.text.as_str()) {
        return Ok(json!(scalar.text));
    }
    let hint = did_you_mean(&scalar.shown(), words.iter().copied());
    Err(Some(format!("`{}` is none of {}{hint}", scalar.shown(), listed(words.iter().copied()))))
}

fn number(scalar: &Scalar, min: i64, max: i64) -> Result<Json, Misfit> {
    let bounds = if max == i64::MAX { format!("of at least {min}") } else { format!("from {min} to {max}") };
    let number = scalar.text.parse().ok().filter(|number| (min..=max).contains(number));
    number.map(Json::from).ok_or_else(|| Some(format!("`{}` is no whole number {bounds}", scalar.shown())))
}

fn switch(scalar: &Scalar) -> Result<Json, Misfit> {
    let value = scalar.text.parse::<bool>().map(Json::Bool);
    value.map_err(|_| Some(format!("`{}` is neither `true` nor `false`", scalar.shown())))
}

/// As JSON would have it; whatever stands in quotes is a text.
fn typed(scalar: &Scalar) -> Json {
    let json = serde_json::from_str(&scalar.text).ok().filter(|json: &Json| scalar.plain && !json.is_null());
    json.filter(|json| !json.is_array() && !json.is_object() && !json.is_string()).unwrap_or_else(|| json!(scalar.text))
}

fn listed<'k>(names: impl Iterator<Item = &'k str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn key_path(path: &serde_path_to_error::Path) -> KeyPath {
    path.iter().fold(KeyPath::default(), |path, segment| match segment {
        Segment::Seq { index } => path.index(*index),
        Segment::Map { key } | Segment::Enum { variant: key } => path.key(key),
        Segment::Unknown => path,
    })
}

fn value_at<'j>(json: &'j mut Json, path: &KeyPath) -> Option<&'j mut Json> {
    path.steps().iter().try_fold(json, |json, step| match step {
        Step::Key(name) => json.get_mut(name),
        Step::Index(index) => json.get_mut(index),
    })
}
