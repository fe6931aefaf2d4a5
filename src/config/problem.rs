//! What is wrong with relay.yaml or a template, and where. Values never stand in it.

use serde::Serialize;

/// One mistake, or one piece of advice, in relay.yaml or a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub severity: Severity,
    /// `relay.yaml`, a template's path, or `environment variable GOGS_RELAY__…`.
    pub file: String,
    /// From 1.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// The line itself, with everything that could be a secret masked.
    pub excerpt: Option<String>,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Whether the program can run with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// A problem before it has its file's name and excerpt.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) severity: Severity,
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Found {
    pub(super) fn error(place: &Place, message: impl Into<String>) -> Found {
        Found {
            severity: Severity::Error,
            place: place.clone(),
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn warning(place: &Place, message: impl Into<String>) -> Found {
        Found {
            severity: Severity::Warning,
            ..Found::error(place, message)
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Found {
        self.hint = Some(hint.into());
        self
    }
}

/// Where a key or a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(Mark),
    /// The name of an environment variable.
    Variable(String),
    /// No line in particular: the file as a whole, or a default.
    File,
}

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}
