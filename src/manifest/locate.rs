//! Where everything stands: a first walk over the YAML events that keeps the line and column of
//! every field, for the errors that the deserialiser cannot place, and refuses what the manifest
//! does not use: repeated keys, tags, further documents, deep nesting. Knows nothing of the
//! manifest's fields.

use crate::manifest::parse::FILE_MAX;
use saphyr_parser::{Event, Marker, Parser};
use std::collections::{HashMap, HashSet};

/// Deepest nesting: the manifest itself nests five deep.
pub(super) const DEPTH_MAX: usize = 16;

/// Most characters and values once every alias is written out: twice the largest file, so that
/// aliases may save typing but never make a bomb.
pub(super) const WEIGHT_MAX: usize = 2 * FILE_MAX;

/// A place in the text; both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<Marker> for Place {
    fn from(m: Marker) -> Place {
        Place { line: m.line().max(1), column: m.col() + 1 }
    }
}

/// What is wrong with the YAML itself.
#[derive(Debug)]
pub(super) struct YamlFault {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) message: String,
}

/// One value and where it stands.
#[derive(Debug)]
struct Node {
    key: Option<Place>,
    value: Place,
    fields: HashMap<String, Node>,
    items: Vec<Node>,
}

impl Node {
    fn leaf(key: Option<Place>, value: Place) -> Node {
        Node { key, value, fields: HashMap::new(), items: Vec::new() }
    }
}

/// The places of a document's values.
#[derive(Debug)]
pub(super) struct Places {
    /// `None`: the document is empty or null.
    root: Option<Node>,
}

impl Places {
    /// Nothing is written in the document.
    pub(super) fn empty(&self) -> bool {
        self.root.is_none()
    }

    /// Is there a value at exactly `path`?
    pub(super) fn written(&self, path: &str) -> bool {
        self.find(path).1
    }

    /// Where the value at `path` stands (`channels[0].segment`); where it is absent, or inside an
    /// alias, the place of the innermost thing around it that exists.
    pub(super) fn value(&self, path: &str) -> Place {
        self.find(path).0.map_or(Place { line: 1, column: 1 }, |node| node.value)
    }

    /// Where the key at `path` stands; of an item, or of something absent, its value's place.
    pub(super) fn key(&self, path: &str) -> Place {
        self.find(path)
            .0
            .map_or(Place { line: 1, column: 1 }, |node| node.key.unwrap_or(node.value))
    }

    /// The value at `path`, or the innermost around it; and whether it is the value itself.
    fn find(&self, path: &str) -> (Option<&Node>, bool) {
        let Some(mut node) = self.root.as_ref() else { return (None, false) };
        for step in path.split(['.', '[']).filter(|s| !s.is_empty()) {
            let next = match step.strip_suffix(']').map(str::parse::<usize>) {
                Some(Ok(index)) => node.items.get(index),
                _ => node.fields.get(step),
            };
            match next {
                Some(next) => node = next,
                None => return (Some(node), false),
            }
        }
        (Some(node), true)
    }
}

/// An open collection.
struct Open {
    node: Node,
    mapping: bool,
    /// The key whose value comes next.
    key: Option<(String, Place)>,
    seen: HashSet<String>,
    /// The collection's own name in its parent.
    name: Option<String>,
    /// The anchor that it defines; 0 for none.
    anchor: usize,
    /// Characters and values inside, aliases written out.
    weight: usize,
}

#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    /// Weights of the finished anchored values.
    anchors: HashMap<usize, usize>,
}

/// Walks `text` once.
pub(super) fn places(text: &str) -> Result<Places, YamlFault> {
    let mut walk = Walk::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| YamlFault {
            place: (*e.marker()).into(),
            path: String::new(),
            message: format!("this is not YAML: {}", e.info()),
        })?;
        let place = Place::from(span.start);
        walk.event(&event, place)?;
        if event == Event::StreamEnd {
            break;
        }
    }
    Ok(Places { root: walk.root })
}

impl Walk {
    fn event(&mut self, event: &Event<'_>, place: Place) -> Result<(), YamlFault> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(
                        self.fault(place, "a manifest is one YAML document; a second starts")
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    return Err(self.fault(place, TAGGED));
                }
                self.weigh(*anchor, text.len() + 1, place)?;
                if self.wants_key() {
                    return self.key(text, place);
                }
                let plain = *style == saphyr_parser::ScalarStyle::Plain;
                let null = plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL");
                if !(null && self.open.is_empty()) {
                    self.value(None, place);
                }
            }
            Event::Alias(anchor) => {
                if self.wants_key() {
                    return Err(self.fault(place, "a key is a plain word, not an alias"));
                }
                let Some(weight) = self.anchors.get(anchor).copied() else {
                    return Err(self.fault(place, "an alias inside the value that it stands for"));
                };
                self.weigh(0, weight, place)?;
                self.value(None, place);
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(false, *anchor, tag.is_some(), place)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(true, *anchor, tag.is_some(), place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    let place = done.node.value;
                    self.weigh(done.anchor, done.weight + 1, place)?;
                    self.value(Some(done), place);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|o| o.mapping && o.key.is_none())
    }

    fn key(&mut self, text: &str, place: Place) -> Result<(), YamlFault> {
        let fresh = self.open.last_mut().is_some_and(|o| o.seen.insert(text.to_owned()));
        if !fresh {
            let mut fault = self.fault(place, &format!("the field `{text}` is written twice"));
            let dot = if fault.path.is_empty() { "" } else { "." };
            fault.path = format!("{}{dot}{text}", fault.path);
            return Err(fault);
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some((text.to_owned(), place));
        }
        Ok(())
    }

    /// Adds a finished value to what is around it, and remembers it under its anchor.
    fn weigh(&mut self, anchor: usize, weight: usize, place: Place) -> Result<(), YamlFault> {
        if anchor != 0 {
            self.anchors.insert(anchor, weight);
        }
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.weight += weight;
        if open.weight > WEIGHT_MAX {
            let message = format!("aliases repeat too much: over {WEIGHT_MAX} bytes written out");
            return Err(self.fault(place, &message));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        mapping: bool,
        anchor: usize,
        tagged: bool,
        place: Place,
    ) -> Result<(), YamlFault> {
        if tagged {
            return Err(self.fault(place, TAGGED));
        }
        if self.wants_key() {
            return Err(self.fault(place, "a key is a plain word, not a list or a mapping"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(self.fault(place, &format!("nested more than {DEPTH_MAX} deep")));
        }
        let (name, key) = match self.open.last_mut().and_then(|o| o.key.take()) {
            Some((name, at)) => (Some(name), Some(at)),
            None => (None, None),
        };
        let node = Node::leaf(key, place);
        let seen = HashSet::new();
        self.open.push(Open { node, mapping, key: None, seen, name, anchor, weight: 0 });
        Ok(())
    }

    /// A scalar (`done` is `None`) or a finished collection becomes part of what is around it.
    fn value(&mut self, done: Option<Open>, place: Place) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(done.map_or_else(|| Node::leaf(None, place), |d| d.node));
            return;
        };
        let (name, node) = match done {
            Some(done) => (done.name, done.node),
            None => match parent.key.take() {
                Some((name, at)) => (Some(name), Node::leaf(Some(at), place)),
                None => (None, Node::leaf(None, place)),
            },
        };
        match name {
            Some(name) => {
                parent.node.fields.insert(name, node);
            }
            None => parent.node.items.push(node),
        }
    }

    /// A fault at `place`, with the path of what is open.
    fn fault(&self, place: Place, message: &str) -> YamlFault {
        let mut path = String::new();
        let mut step = |name: Option<&str>, index: usize| match name {
            Some(name) => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(name);
            }
            None => path.push_str(&format!("[{index}]")),
        };
        for pair in self.open.windows(2) {
            step(pair[1].name.as_deref(), pair[0].node.items.len());
        }
        match self.open.last() {
            Some(Open { key: Some((key, _)), .. }) => step(Some(key), 0),
            Some(open) if !open.mapping => step(None, open.node.items.len()),
            _ => {}
        }
        YamlFault { place, path, message: message.to_owned() }
    }
}

const TAGGED: &str = "YAML tags (!name) mean nothing here; write the plain value";
