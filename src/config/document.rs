//! A text of YAML, read: its tree, and where everything in it stands.

use std::collections::BTreeMap;
use std::ops::Range;

use figment::value::Value;

use super::problem::{Found, Mark};

/// From the root down: keys of mappings, and positions in lists.
pub(super) type Path = Vec<String>;

/// What a text of YAML holds.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// A value without content (`key:`) is an empty mapping here, and `nothing` in its spot.
    pub(super) root: Option<Value>,
    pub(super) spots: BTreeMap<Path, Spot>,
    /// Every scalar, tag and alias of the text, in order, for masking excerpts.
    pub(super) tokens: Vec<Token>,
    pub(super) found: Vec<Found>,
    /// The scan stopped at a syntax error, so the tree is not whole.
    pub(super) broken: bool,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// The key, or the value of an entry of a list.
    pub(super) key: Mark,
    pub(super) value: Mark,
    pub(super) nothing: bool,
    /// A problem of its own has been found already.
    pub(super) refused: bool,
}

/// A piece of the text that may need masking.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// In bytes.
    pub(super) range: Range<usize>,
    pub(super) role: Role,
}

/// What a [`Token`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A key, tag or alias.
    Syntax,
    /// The value at this path.
    Value(Path),
}
