//! The environment: variables that stand in for keys, and `${NAME}` within values.

use std::collections::BTreeMap;

use figment::value::{Dict, Tag, Value};

use super::document::Path;
use super::problem::{Found, Place};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// Of the variables that stand in for keys; `__` parts the keys after it.
const PREFIX: &str = "GOGS_RELAY__";

/// The process's own environment. Variables that are not Unicode are passed over.
pub fn environment() -> Environment {
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// What the variables say, as a tree, and which variable each leaf comes from.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) dict: Dict,
    pub(super) variables: BTreeMap<Path, String>,
    pub(super) found: Vec<Found>,
}

/// Reads the variables named `GOGS_RELAY__…`. `file` is what they stand over: a shell cannot
/// export a name with `-`, so `TEAM_SLACK` means `team-slack` where the file has just that.
pub(super) fn overrides(environment: &Environment, file: Option<&Dict>) -> Overrides {
    let mut overrides = Overrides::default();
    for (name, text) in environment {
        let Some(keys) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Variable(name.clone());
        match path(keys, file) {
            Ok(path) => overrides.set(path, name, text),
            Err(message) => overrides.found.push(Found::error(&place, message)),
        }
    }
    overrides
}

impl Overrides {
    fn set(&mut self, path: Path, name: &str, text: &str) {
        let clash = self.variables.iter().find(|(other, _)| {
            let shared = other.len().min(path.len());
            other[..shared] == path[..shared]
        });
        if let Some((_, other)) = clash {
            let place = Place::Variable(name.to_owned());
            let message = format!("this variable and {other} set the same key");
            let found = Found::error(&place, message).hint("unset one of them");
            self.found.push(found);
            return;
        }
        insert(&mut self.dict, &path, text);
        self.variables.insert(path, name.to_owned());
    }
}

fn path(keys: &str, file: Option<&Dict>) -> Result<Path, &'static str> {
    let mut path = Path::new();
    let mut level = file;
    for part in keys.to_lowercase().split("__") {
        if part.is_empty() {
            return Err(
                "the name of this variable has an empty part: two underscores part the keys",
            );
        }
        let key = existing(part, level)?.unwrap_or(part.to_owned());
        level = match level.and_then(|level| level.get(&key)) {
            Some(Value::Dict(_, below)) => Some(below),
            _ => None,
        };
        path.push(key);
    }
    Ok(path)
}

/// The file's key that `part` means, if there is one.
fn existing(part: &str, level: Option<&Dict>) -> Result<Option<String>, &'static str> {
    let Some(level) = level.filter(|level| !level.contains_key(part)) else {
        return Ok(None);
    };
    let mut alike = level.keys().filter(|key| key.replace('-', "_") == part);
    match (alike.next(), alike.next()) {
        (Some(_), Some(_)) => Err("more than one name of the file fits this variable"),
        (key, _) => Ok(key.cloned()),
    }
}

fn insert(dict: &mut Dict, path: &[String], text: &str) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        dict.insert(key.clone(), Value::String(Tag::Default, text.to_owned()));
        return;
    }
    let below = dict.entry(key.clone());
    let below = below.or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
    // `set` has refused a path that goes through a text.
    if let Value::Dict(_, below) = below {
        insert(below, rest, text);
    }
}

/// Why a `${…}` has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// The variable of this name is not set, and there is no default.
    Undefined(String),
    /// There is no name, or no closing brace.
    Malformed,
}

/// Puts variables in: `${NAME}`, `${NAME:-default}` (for unset and empty); `$${` is a literal `${`.
pub(super) fn expand(text: &str, environment: &Environment) -> Result<String, Unexpanded> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        let after = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let end = after.find('}').ok_or(Unexpanded::Malformed)?;
        expanded.push_str(value(&after[..end], environment)?);
        rest = &after[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The value of what stands between the braces.
fn value<'a>(inner: &'a str, environment: &'a Environment) -> Result<&'a str, Unexpanded> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !is_name {
        return Err(Unexpanded::Malformed);
    }
    match (environment.get(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default),
        (None, None) => Err(Unexpanded::Undefined(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Unexpanded> {
        let environment = [("URL", "http://x"), ("EMPTY", "")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        expand(text, &Environment::from(environment))
    }

    #[test]
    fn variables_are_put_in_wherever_they_stand() {
        assert_eq!(expanded("${URL}/a/${URL}").unwrap(), "http://x/a/http://x");
        assert_eq!(expanded("${EMPTY}").unwrap(), "");
        assert_eq!(expanded("${NONE:-a:-b}").unwrap(), "a:-b");
        assert_eq!(expanded("${EMPTY:-else}").unwrap(), "else");
        assert_eq!(expanded("${NONE:-}").unwrap(), "");
    }

    #[test]
    fn a_doubled_dollar_and_a_lone_one_stay() {
        assert_eq!(expanded("$${URL}").unwrap(), "${URL}");
        assert_eq!(expanded("$$${URL}").unwrap(), "$${URL}");
        assert_eq!(expanded("$URL costs 5$").unwrap(), "$URL costs 5$");
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        let undefined = Unexpanded::Undefined("NONE".to_owned());
        assert_eq!(expanded("a${NONE}"), Err(undefined));
        for malformed in ["${", "${}", "${URL", "${1A}", "${A B}", "${URL:?x}"] {
            assert_eq!(
                expanded(malformed),
                Err(Unexpanded::Malformed),
                "{malformed}"
            );
        }
    }
}
