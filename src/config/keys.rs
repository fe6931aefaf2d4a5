//! Takes the keys of a mapping one by one, so that those left over can be named as mistakes.

use std::collections::BTreeMap;

use super::check::Check;
use super::excerpt::quoted;
use super::layers::Node;
use super::problem::Found;
use super::shapes::Shape;

/// The keys of one mapping, taken one by one; what is left over is a mistake.
pub(super) struct Keys<'n> {
    pub(super) check: &'n Check<'n>,
    pub(super) node: &'n Node,
    entries: Option<&'n BTreeMap<String, Node>>,
    known: Vec<&'static str>,
    ignored: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    pub(super) fn new(
        check: &'n Check<'n>,
        node: &'n Node,
        entries: Option<&'n BTreeMap<String, Node>>,
    ) -> Keys<'n> {
        Keys {
            check,
            node,
            entries,
            known: Vec::new(),
            ignored: Vec::new(),
        }
    }

    pub(super) fn optional(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries?.get(key)
    }

    pub(super) fn required(&mut self, key: &'static str) -> Option<&'n Node> {
        let node = self.optional(key);
        if node.is_none() {
            let message = match self.node.is_entry_of_list() {
                true => format!("this entry needs the key `{key}`"),
                false => format!("{} needs the key `{key}`", self.node.name()),
            };
            self.check.report(Found::error(&self.node.key, message));
        }
        node
    }

    /// A setting that has a default, so that it is always there.
    pub(super) fn shaped<T>(&mut self, key: &'static str, shape: &Shape<T>) -> Option<T> {
        self.required(key)
            .and_then(|node| self.check.shaped(node, shape))
    }

    /// A setting that may be left out.
    pub(super) fn shaped_if_given<T>(&mut self, key: &'static str, shape: &Shape<T>) -> Option<T> {
        self.optional(key)
            .and_then(|node| self.check.shaped(node, shape))
    }

    /// Entries whose names are the user's.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        let entries = self.entries.into_iter().flatten();
        entries.map(|(name, node)| (name.as_str(), node))
    }

    /// A key that `finish` would refuse and that is nearly one of `keys`.
    pub(super) fn misspelt(&self, keys: &[&'static str]) -> bool {
        let mut unknown = self.entries().filter(|(key, _)| !self.known.contains(key));
        unknown.any(|(key, _)| nearest(key, keys.iter().copied()).is_some())
    }

    /// Passes over keys that were dealt with; they are no suggestions.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.ignored.extend(keys);
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, node) in self.entries() {
            if self.known.contains(&key) || self.ignored.contains(&key) {
                continue;
            }
            let found = Found::error(&node.key, format!("unknown key {}", quoted(key)));
            self.check
                .report(match nearest(key, self.known.iter().copied()) {
                    Some(known) => found.hint(format!("did you mean `{known}`?")),
                    None if key.contains(':') => found.hint("put a space after the colon"),
                    None => found.hint(format!("known here: {}", self.known.join(", "))),
                });
        }
    }
}

/// The candidate that `word` is probably a misspelling of.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_lowercase();
    let near = candidates.map(|candidate| {
        let longer = word.chars().count().max(candidate.chars().count());
        (strsim::osa_distance(&word, candidate), longer, candidate)
    });
    let near = near.filter(|(distance, longer, _)| *distance * 3 <= *longer);
    near.min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}
