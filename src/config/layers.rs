//! Puts defaults, the file and variables over one another, and keeps for every value where it
//! comes from.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::document::{Document, Path, Spot};
use super::environment::Overrides;
use super::excerpt::{MASK, quoted};
use super::problem::Place;
use super::yaml;

/// A value of the merged tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) path: Path,
    /// Of its key; of an entry of a list, of the entry.
    pub(super) key: Place,
    pub(super) place: Place,
    pub(super) held: Held,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// A key without a value.
    Nothing,
    /// Something that has been reported already.
    Refused,
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

/// The whole configuration as one tree.
///
/// # Errors
/// What figment says; the layers are plain trees, so there is nothing for it to refuse.
pub(super) fn merge(file: &Document, overrides: &Overrides) -> Result<Node, String> {
    let dict = file.root.clone().and_then(Value::into_dict);
    let given = Figment::from(Layer("relay.yaml", dict.unwrap_or_default()))
        .merge(Layer("environment", overrides.dict.clone()));
    let names = tree(&given)?;
    let merged = given.join(Layer("defaults", defaults(&names)));
    let root = tree(&merged)?;
    let origins = Origins {
        spots: &file.spots,
        variables: &overrides.variables,
    };
    Ok(origins.node(Value::from(root), &mut Path::new()))
}

fn tree(figment: &Figment) -> Result<Dict, String> {
    let mut profiles = figment.data().map_err(|error| error.to_string())?;
    Ok(profiles.remove(&Profile::Default).unwrap_or_default())
}

/// The entries of a list that a variable gives in YAML's short form, `[a, b]`.
pub(super) fn list_from_variable(node: &Node, text: &str) -> Option<Vec<Node>> {
    let document = yaml::read(text);
    let entries = match document.root {
        Some(Value::Array(_, entries)) if document.found.is_empty() => entries,
        _ => return None,
    };
    let texts = entries.into_iter().map(Value::into_string);
    let texts: Option<Vec<String>> = texts.collect();
    let entry = |text| Node {
        held: Held::Text(text),
        ..node.clone()
    };
    Some(texts?.into_iter().map(entry).collect())
}

/// The built-in defaults, with those of sources and destinations under each name there
/// is, and those of a section that is off by default only where that is given.
fn defaults(given: &Dict) -> Dict {
    let defaults = yaml::read(include_str!("defaults.yaml")).root;
    let mut defaults = defaults.and_then(Value::into_dict).unwrap_or_default();
    let each = defaults.remove("each").and_then(Value::into_dict);
    for (section, entry) in each.unwrap_or_default() {
        let Some(Value::Dict(_, named)) = given.get(&section) else {
            continue;
        };
        let entries = named.keys().map(|name| (name.clone(), entry.clone()));
        defaults.insert(section, Value::Dict(Tag::Default, entries.collect()));
    }
    let if_given = defaults.remove("if_given").and_then(Value::into_dict);
    let sections = if_given.unwrap_or_default().into_iter();
    defaults.extend(sections.filter(|(section, _)| given.contains_key(section)));
    defaults
}

/// A tree that is there already, for figment to merge.
struct Layer(&'static str, Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.1.clone())]))
    }
}

/// Where the values of the merged tree come from, by path.
struct Origins<'a> {
    spots: &'a BTreeMap<Path, Spot>,
    variables: &'a BTreeMap<Path, String>,
}

impl Origins<'_> {
    fn node(&self, value: Value, path: &mut Path) -> Node {
        let variable = self.variables.get(path);
        let spot = self.spots.get(path).filter(|_| variable.is_none());
        let (key, place) = match (variable, spot) {
            (Some(name), _) => (Place::Variable(name.clone()), Place::Variable(name.clone())),
            (None, Some(_)) if path.is_empty() => (Place::File, Place::File),
            (None, Some(spot)) => (Place::At(spot.key), Place::At(spot.value)),
            (None, None) => (self.within(path), self.within(path)),
        };
        let held = match value {
            _ if spot.is_some_and(|spot| spot.refused) => Held::Refused,
            Value::Dict(_, entries) if entries.is_empty() && spot.is_some_and(|s| s.nothing) => {
                Held::Nothing
            }
            Value::Dict(_, entries) => {
                let entries = entries.into_iter().map(|(key, value)| {
                    let node = self.child(value, path, key.clone());
                    (key, node)
                });
                Held::Map(entries.collect())
            }
            Value::Array(_, entries) => {
                let entries = entries.into_iter().enumerate();
                Held::List(
                    entries
                        .map(|(at, value)| self.child(value, path, at.to_string()))
                        .collect(),
                )
            }
            Value::String(_, text) => Held::Text(text),
            // The layers hold no other values.
            _ => Held::Refused,
        };
        Node {
            path: path.clone(),
            key,
            place,
            held,
        }
    }

    fn child(&self, value: Value, path: &mut Path, step: String) -> Node {
        path.push(step);
        let node = self.node(value, path);
        path.pop();
        node
    }

    /// The place of a mapping that only variables fill.
    fn within(&self, path: &Path) -> Place {
        let first = self.variables.range(path.clone()..).next();
        match first.filter(|(below, _)| below.starts_with(path)) {
            Some((_, name)) => Place::Variable(name.clone()),
            None => Place::File,
        }
    }
}

impl Node {
    /// For messages: the key it stands under.
    pub(super) fn name(&self) -> String {
        match self.path.iter().rev().find(|step| !is_position(step)) {
            Some(name) => format!("`{}`", quoted(name).trim_matches('"')),
            None => "the file".to_owned(),
        }
    }

    /// A text that this node holds, for messages: masked when it comes from the environment or
    /// could be a secret.
    pub(super) fn quoted(&self, text: &str) -> String {
        let literal = matches!(&self.held, Held::Text(written) if !written.contains("${"));
        match (&self.place, literal) {
            (Place::At(_), true) => quoted(text),
            _ => format!("\"{MASK}\""),
        }
    }

    pub(super) fn is_entry_of_list(&self) -> bool {
        self.path.last().is_some_and(|step| is_position(step))
    }
}

fn is_position(step: &str) -> bool {
    step.bytes().all(|byte| byte.is_ascii_digit())
}
