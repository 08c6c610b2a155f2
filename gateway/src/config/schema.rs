//! What the file may hold, read from the JSON Schema of [`GatewayFile`], so that `file.rs` stays the only description.

use schemars::schema_for;
use serde_json::{Map, Value as Json, json};

use super::file::GatewayFile;
use super::problems::{KeyPath, Step};

/// The schema of the whole file.
pub(super) struct Schema(Json);

/// What one value may be.
#[derive(Debug)]
pub(super) enum Form<'s> {
    /// A block with these keys, some of which it must have.
    Struct { keys: &'s Map<String, Json>, required: Vec<&'s str> },
    /// A block whose keys are names.
    Names(&'s Json),
    /// A list.
    List(&'s Json),
    /// A list, or one item of it.
    OneOrList(&'s Json),
    /// A list, or `true` for all that can stand in it, or `false` for none.
    SwitchOrList(&'s Json),
    /// One of these words.
    Words(Vec<&'s str>),
    /// A block with exactly one of these keys.
    OneKey(Vec<(&'s str, &'s Json)>),
    /// A text, a number, `true` or `false`.
    Scalar,
    /// Any text; the type it becomes may ask for more.
    Text,
    /// A whole number within these bounds.
    Number { min: i64, max: i64 },
    /// `true` or `false`.
    Switch,
}

impl Schema {
    pub(super) fn of_the_file() -> Self {
        Self(schema_for!(GatewayFile).to_value())
    }

    pub(super) fn root(&self) -> &Json {
        &self.0
    }

    /// The form of `schema`, and whether its value may be left empty.
    pub(super) fn form<'s>(&'s self, schema: &'s Json) -> (Form<'s>, bool) {
        if let Some(inner) = self.inner_of_option(schema) {
            return (self.form(inner).0, true);
        }
        let schema = self.resolve(schema);
        let kinds: Vec<&str> = match &schema["type"] {
            Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        let nullable = kinds.contains(&"null");
        let form = match kinds.iter().find(|kind| **kind != "null") {
            Some(&"object") => object(schema),
            Some(&"array") => Form::List(&schema["items"]),
            Some(&"integer") => {
                let max = if schema["format"] == "uint32" { i64::from(u32::MAX) } else { i64::MAX };
                Form::Number {
                    min: schema["minimum"].as_i64().unwrap_or(0),
                    max: schema["maximum"].as_i64().unwrap_or(max),
                }
            }
            Some(_) if kinds.contains(&"string") && kinds.contains(&"array") => Form::OneOrList(&schema["items"]),
            Some(_) if kinds.contains(&"boolean") && kinds.contains(&"array") => Form::SwitchOrList(&schema["items"]),
            Some(_) if kinds.contains(&"string") && kinds.contains(&"boolean") => Form::Scalar,
            Some(&"boolean") => Form::Switch,
            _ => choice(schema),
        };
        (form, nullable)
    }

    /// A value that the type behind `schema` takes. It stands in for one that is missing or wrong, so that the rest of
    /// the file can be read and checked; nobody but the check gets to see it.
    pub(super) fn stand_in(&self, schema: &Json) -> Json {
        let resolved = self.resolve(self.inner_of_option(schema).unwrap_or(schema));
        if let Some(example) = [schema, resolved].iter().find_map(|schema| schema["examples"].get(0)) {
            return example.clone();
        }
        match self.form(schema).0 {
            Form::Struct { keys, required } => {
                required.into_iter().map(|key| (key.to_owned(), self.stand_in(&keys[key]))).collect()
            }
            Form::Names(_) => json!({}),
            Form::List(_) | Form::OneOrList(_) => json!([]),
            Form::Words(words) => words.first().map_or(Json::Null, |word| json!(word)),
            Form::OneKey(keys) => keys.first().map_or(Json::Null, |(key, inner)| json!({*key: self.stand_in(inner)})),
            Form::Text => json!(""),
            Form::Number { min, .. } => json!(min),
            Form::Switch | Form::SwitchOrList(_) | Form::Scalar => json!(false),
        }
    }

    /// The schema of the value at `path`.
    pub(super) fn at(&self, path: &KeyPath) -> Option<&Json> {
        path.steps().iter().try_fold(&self.0, |schema, step| match (self.form(schema).0, step) {
            (Form::Struct { keys, .. }, Step::Key(name)) => keys.get(name),
            (Form::Names(inner), Step::Key(_))
            | (Form::List(inner) | Form::OneOrList(inner) | Form::SwitchOrList(inner), Step::Index(_)) => Some(inner),
            (Form::OneKey(keys), Step::Key(name)) => {
                keys.into_iter().find(|(key, _)| key == name).map(|(_, inner)| inner)
            }
            _ => None,
        })
    }

    /// What an `Option` of something described by a reference is around.
    fn inner_of_option<'s>(&self, schema: &'s Json) -> Option<&'s Json> {
        schema["anyOf"].as_array()?.iter().find(|inner| inner["type"] != "null")
    }

    fn resolve<'s>(&'s self, schema: &'s Json) -> &'s Json {
        let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"));
        name.map_or(schema, |name| &self.0["$defs"][name])
    }
}

fn object(schema: &Json) -> Form<'_> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    match (&schema["properties"], &schema["additionalProperties"]) {
        (Json::Object(keys), _) => Form::Struct { keys, required },
        (_, names) => Form::Names(names),
    }
}

/// An enum: of words when its variants hold nothing, else of blocks with the variant's name as their one key.
fn choice(schema: &Json) -> Form<'_> {
    let one_of = || schema["oneOf"].as_array().into_iter().flatten();
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let words: Vec<&str> = listed.chain(one_of().filter_map(|variant| variant["const"].as_str())).collect();
    if !words.is_empty() {
        return Form::Words(words);
    }
    let blocks = one_of().filter_map(|variant| variant["properties"].as_object());
    let keys: Vec<_> = blocks.flatten().map(|(key, inner)| (key.as_str(), inner)).collect();
    if keys.is_empty() { Form::Text } else { Form::OneKey(keys) }
}

#[cfg(test)]
impl Schema {
    /// A value with every key there is and an item in every list, made of stand-ins.
    pub(super) fn whole(&self, schema: &Json) -> Json {
        match self.form(schema).0 {
            Form::Struct { keys, .. } => keys.iter().map(|(key, inner)| (key.clone(), self.whole(inner))).collect(),
            Form::Names(inner) => json!({ "name": self.whole(inner) }),
            Form::List(inner) | Form::OneOrList(inner) | Form::SwitchOrList(inner) => json!([self.whole(inner)]),
            Form::OneKey(keys) => keys.first().map_or(Json::Null, |(key, inner)| json!({ *key: self.whole(inner) })),
            Form::Words(_) | Form::Text | Form::Number { .. } | Form::Switch | Form::Scalar => self.stand_in(schema),
        }
    }
}
