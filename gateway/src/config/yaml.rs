//! YAML text as a tree that remembers where everything stands.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle};

use super::problems::{KeyPath, Place, Problem, shown};

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Block(Vec<(Key, Node)>),
}

/// A single value, still as text: what it must be is said by the key it stands under, not by how it looks.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// `~`, `null` or nothing at all, without quotes.
    pub(super) null: bool,
    /// Written without quotes, so that `true` and `5` are no texts where a value may be either.
    pub(super) plain: bool,
    /// What the file has where `text` came in part from a variable. Messages show this instead.
    pub(super) source: Option<String>,
    /// Its problem was told already, and `text` means nothing.
    pub(super) broken: bool,
}

/// The name of a value in a block.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Nodes of one file, with the copies that aliases make. A hand-written file has some hundreds.
const MAX_NODES: usize = 100_000;
/// Blocks and lists in each other. The deepest that means something here is 6.
const MAX_DEPTH: usize = 32;

/// Reads the one document of `text`. A key that stands twice in a block is put into `problems`, and its first value kept.
///
/// # Errors
/// The first place where the text is no YAML, or is more than the bounds allow.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Result<Node, Problem> {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut tree = Tree {
        events: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        end: Place { line: 1, column: 1 },
        problems,
    };
    tree.document()
}

struct Tree<'t, 'p> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    end: Place,
    problems: &'p mut Vec<Problem>,
}

impl<'t> Tree<'t, '_> {
    fn document(&mut self) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(problem(place, "a second document begins here; a configuration file has one"));
                }
                event => root = Some(self.node(event, place, &KeyPath::default())?),
            }
        }
        root.ok_or_else(|| problem(Place { line: 1, column: 1 }, "the file is empty"))
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.end = place(span.start);
                Ok((event, self.end))
            }
            Some(Err(error)) => Err(problem(place(*error.marker()), &format!("not YAML: {}", error.info()))),
            None => Err(problem(self.end, "not YAML: the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'t>, place: Place, path: &KeyPath) -> Result<Node, Problem> {
        self.count(1, place)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let text = text.into_owned();
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(text.as_str(), "" | "~" | "null");
                (anchor, Value::Scalar(Scalar { text, null, plain, source: None, broken: false }))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Value::List(self.list(path)?)),
            Event::MappingStart(_, anchor, _) => (anchor, Value::Block(self.block(path)?)),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| problem(place, "this alias stands inside of what it repeats"))?;
                self.count(node.size(), place)?;
                return Ok(node);
            }
            _ => return Err(problem(place, "not YAML: a value is missing")),
        };
        let node = Node { place, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, path: &KeyPath) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, place) => items.push(self.node(event, place, &path.index(items.len()))?),
            }
        }
    }

    fn block(&mut self, path: &KeyPath) -> Result<Vec<(Key, Node)>, Problem> {
        let mut entries = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, place) = self.next()?;
            let text = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(problem(place, "a key must be a plain text")),
            };
            let here = path.key(&text);
            let (event, value_place) = self.next()?;
            let node = self.node(event, value_place, &here)?;
            if let Some(line) = lines.get(&text) {
                let message = format!("this key stands in line {line} already");
                self.problems.push(Problem { place: Some(place), key: here, message });
                continue;
            }
            lines.insert(text.clone(), place.line);
            entries.push((Key { place, text }, node));
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(problem(place, &format!("the file has more than {MAX_NODES} values, those repeated by aliases included")))
    }
}

impl Node {
    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Self::size).sum::<usize>(),
            Value::Block(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

impl Scalar {
    /// The text as a message may show it.
    pub(super) fn shown(&self) -> String {
        shown(self.source.as_deref().unwrap_or(&self.text))
    }
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

fn problem(place: Place, message: &str) -> Problem {
    Problem { place: Some(place), key: KeyPath::default(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let end = parse(text, &mut problems).err();
        let line = |problem: &Problem| problem.line(std::path::Path::new("f"));
        problems.iter().chain(&end).map(line).collect()
    }

    #[test]
    fn positions_are_those_an_editor_shows() {
        let node = parse("a:\n  - é: 'x'\n", &mut Vec::new()).expect("YAML");
        let Value::Block(entries) = &node.value else { panic!("a block") };
        let Value::List(items) = &entries[0].1.value else { panic!("a list") };
        let Value::Block(inner) = &items[0].value else { panic!("a block") };
        assert_eq!(inner[0].0.place, Place { line: 2, column: 5 });
        assert_eq!(inner[0].1.place, Place { line: 2, column: 8 });
    }

    #[test]
    fn every_repeated_key_is_told() {
        assert_eq!(
            problems("a: 1\nb: {c: 1, c: 2}\na: 2\n"),
            ["f:2:11: b.c: this key stands in line 2 already", "f:3:1: a: this key stands in line 1 already"]
        );
    }

    #[test]
    fn aliases_repeat_a_value_but_cannot_multiply_it_without_bound() {
        assert_eq!(problems("a: &x [1, 2]\nb: *x\n"), Vec::<String>::new());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            let alias = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![alias; 10].join(", "));
        }
        assert_eq!(problems(&bomb).len(), 1);
        assert_eq!(problems("a: &x [*x]\n"), ["f:1:8: this alias stands inside of what it repeats"]);
    }

    #[test]
    fn what_is_no_single_yaml_document_is_told_with_its_place() {
        for (text, line) in [
            ("", "f:1:1: the file is empty"),
            ("# nothing\n", "f:1:1: the file is empty"),
            ("a: 1\n---\nb: 2\n", "f:3:1: a second document begins here; a configuration file has one"),
            ("? [a]\n: 1\n", "f:1:3: a key must be a plain text"),
        ] {
            assert_eq!(problems(text), [line]);
        }
        assert!(problems("a: [1\nb: 2")[0].contains("not YAML: "));
        assert!(problems(&"[".repeat(1000))[0].contains("not YAML: "));
    }
}
