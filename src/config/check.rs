//! The checker's tools: a collector of problems, and readers of single settings that report to it.
//!
//! A reader gives `None` when it has reported something, so that a caller can read all its
//! settings before it gives up.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};

use secrecy::SecretString;

use super::document::Path;
use super::environment::{Environment, Unexpanded, expand};
use super::keys::{Keys, nearest};
use super::layers::{Held, Node, list_from_variable};
use super::problem::{Found, Place};
use super::shapes::Shape;
use crate::destination::SecretUrl;

/// Collects what the checker finds.
pub(super) struct Check<'a> {
    environment: &'a Environment,
    /// Of relay.yaml; relative paths start here.
    folder: &'a FilePath,
    found: RefCell<Vec<Found>>,
    shown: RefCell<BTreeSet<Path>>,
}

/// The largest file that a secret is read from, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;

impl<'a> Check<'a> {
    pub(super) fn new(environment: &'a Environment, folder: &'a FilePath) -> Check<'a> {
        Check {
            environment,
            folder,
            found: RefCell::default(),
            shown: RefCell::default(),
        }
    }

    pub(super) fn report(&self, found: Found) {
        self.found.borrow_mut().push(found);
    }

    /// All problems, and the paths of values that excerpts may show.
    pub(super) fn finish(self) -> (Vec<Found>, BTreeSet<Path>) {
        (self.found.into_inner(), self.shown.into_inner())
    }

    /// The keys below `node`.
    pub(super) fn keys<'n>(&'n self, node: &'n Node) -> Option<Keys<'n>> {
        match &node.held {
            Held::Map(entries) => Some(Keys::new(self, node, Some(entries))),
            Held::Nothing => Some(Keys::new(self, node, None)),
            held => self.wrong(node, "a mapping of keys", held),
        }
    }

    /// A setting that is no secret.
    pub(super) fn shaped<T>(&self, node: &Node, shape: &Shape<T>) -> Option<T> {
        self.shown.borrow_mut().insert(node.path.clone());
        let text = self.text(node, shape.what)?;
        if let Some(value) = (shape.parse)(&text) {
            return Some(value);
        }
        let found = Found::error(
            &node.place,
            format!("{} should be {}", node.name(), shape.what),
        );
        self.report(match nearest(&text, shape.choices.iter().copied()) {
            Some(choice) => found.hint(format!("did you mean `{choice}`?")),
            None => found.hint(shape.hint),
        });
        None
    }

    /// One value, or a list of them.
    pub(super) fn list<T>(&self, node: &Node, read: impl Fn(&Node) -> Option<T>) -> Option<Vec<T>> {
        let read_all = |entries: &[Node]| {
            // All are read before the first failure counts.
            let read: Vec<Option<T>> = entries.iter().map(&read).collect();
            read.into_iter().collect()
        };
        match (&node.held, &node.place) {
            (Held::List(entries), _) => read_all(entries),
            (Held::Nothing, _) => Some(Vec::new()),
            (Held::Text(text), Place::Variable(_)) if text.trim_start().starts_with('[') => {
                let entries = list_from_variable(node, text);
                if entries.is_none() {
                    let message = format!("{} should be a list of texts", node.name());
                    self.report(Found::error(&node.place, message).hint("for example [a, b]"));
                }
                read_all(&entries?)
            }
            _ => read_all(std::slice::from_ref(node)),
        }
    }

    /// A secret, or the file that holds it.
    pub(super) fn secret(&self, node: &Node) -> Option<SecretString> {
        let text = self.text_or_file(node, "a text, or { file: path }")?;
        if text.is_empty() {
            let message = format!("{} is empty", node.name());
            self.report(
                Found::error(&node.place, message).hint("give it a value, or remove the key"),
            );
            return None;
        }
        Some(SecretString::from(text))
    }

    /// A secret that may be left empty, for example by `${NAME:-}`.
    pub(super) fn secret_or_none(&self, node: &Node) -> Option<Option<SecretString>> {
        let text = self.text_or_file(node, "a text, or { file: path }")?;
        Some((!text.is_empty()).then(|| SecretString::from(text)))
    }

    /// A URL of http or https, or the file that holds it.
    pub(super) fn url(&self, node: &Node) -> Option<SecretUrl> {
        let text = self.text_or_file(node, "a URL, or { file: path }")?;
        let fault = match SecretUrl::parse(&text) {
            Ok(url) => match fault_of(&text, url.expose()) {
                Some(fault) => fault,
                None => return Some(url),
            },
            Err(url::ParseError::RelativeUrlWithoutBase) => NO_SCHEME.to_owned(),
            Err(error) => format!("is not a URL: {error}"),
        };
        let message = format!("{} {fault}", node.name());
        self.report(
            Found::error(&node.place, message).hint("for example https://example.org/hook"),
        );
        None
    }

    /// The URL of a proxy, which may hold a name and a password, or the file that holds it.
    pub(super) fn proxy(&self, node: &Node) -> Option<SecretUrl> {
        let text = self.text_or_file(node, "a URL, or { file: path }")?;
        let fault = match SecretUrl::parse(&text) {
            Ok(url) => match fault_of_proxy(&text, url.expose()) {
                Some(fault) => fault.to_owned(),
                None => return Some(url),
            },
            Err(url::ParseError::RelativeUrlWithoutBase) => ONLY_HTTP.to_owned(),
            Err(error) => format!("is not a URL: {error}"),
        };
        let message = format!("{} {fault}", node.name());
        self.report(Found::error(&node.place, message).hint("for example http://proxy.lan:3128"));
        None
    }

    /// A text of any content that is shown to nobody; empty is as good as absent.
    pub(super) fn free_text(&self, node: &Node) -> Option<String> {
        self.text(node, "a text").filter(|text| !text.is_empty())
    }

    /// A path; a relative one starts at the folder of relay.yaml.
    pub(super) fn path(&self, node: &Node) -> Option<PathBuf> {
        let text = self.text(node, "a path")?;
        if text.is_empty() {
            self.report(Found::error(
                &node.place,
                format!("{} is empty", node.name()),
            ));
            return None;
        }
        Some(self.folder.join(text))
    }

    /// The text of a leaf, with variables put in where it stands in the file.
    fn text(&self, node: &Node, what: &str) -> Option<String> {
        let text = match &node.held {
            Held::Text(text) => text,
            held => return self.wrong(node, what, held),
        };
        if matches!(node.place, Place::Variable(_)) {
            return Some(text.clone());
        }
        let found = match expand(text, self.environment) {
            Ok(text) => return Some(text),
            Err(Unexpanded::Undefined(name)) => Found::error(
                &node.place,
                format!("the environment variable {name} is not set"),
            )
            .hint(format!("set it, or give a default: ${{{name}:-…}}")),
            Err(Unexpanded::Malformed) => Found::error(&node.place, "`${` starts no variable here")
                .hint("write ${NAME} or ${NAME:-default}; $${ stands for the two characters"),
        };
        self.report(found);
        None
    }

    fn text_or_file(&self, node: &Node, what: &str) -> Option<String> {
        if !matches!(node.held, Held::Map(_)) {
            return self.text(node, what);
        }
        let mut keys = self.keys(node)?;
        let file = keys.required("file");
        keys.finish();
        self.file(file?, &node.name(), read_secret)
    }

    /// What `read` makes of the file that a setting names; `of` says in words what it is for.
    pub(super) fn file<T>(
        &self,
        node: &Node,
        of: &str,
        read: impl Fn(&FilePath) -> Result<T, String>,
    ) -> Option<T> {
        self.shown.borrow_mut().insert(node.path.clone());
        match read(&self.path(node)?) {
            Ok(content) => Some(content),
            Err(reason) => {
                let found = Found::error(&node.place, format!("the file of {of} {reason}"));
                // The folder of a bare `relay.yaml` is the empty path, which shows as nothing.
                let folder = match self.folder.as_os_str().is_empty() {
                    true => FilePath::new("."),
                    false => self.folder,
                };
                let hint = format!("a relative path starts at {}", folder.display());
                self.report(found.hint(hint));
                None
            }
        }
    }

    /// Reports a value of the wrong kind.
    fn wrong<T>(&self, node: &Node, what: &str, held: &Held) -> Option<T> {
        let held = match held {
            Held::Refused => return None,
            Held::Nothing => {
                let message = format!("{} has no value", node.name());
                let hint = "give it one, or remove the line; text that starts with # needs quotes";
                self.report(Found::error(&node.key, message).hint(hint));
                return None;
            }
            Held::Text(_) => "a single value",
            Held::List(_) => "a list",
            Held::Map(_) => "a mapping of keys",
        };
        let message = format!("{} should be {what}, not {held}", node.name());
        self.report(Found::error(&node.place, message));
        None
    }
}

const NO_SCHEME: &str = "should start with http:// or https://";

/// What keeps a URL from being dialled.
fn fault_of(text: &str, url: &url::Url) -> Option<String> {
    let fault = if text.trim() != text {
        "has white space around it"
    } else if !matches!(url.scheme(), "http" | "https") {
        NO_SCHEME
    } else if !url.username().is_empty() || url.password().is_some() {
        "holds a user name or password, which are not sent"
    } else {
        return None;
    };
    Some(fault.to_owned())
}

const ONLY_HTTP: &str = "should start with http://: other proxies are not known";

/// What keeps a proxy from being asked.
fn fault_of_proxy(text: &str, url: &url::Url) -> Option<&'static str> {
    if text.trim() != text {
        Some("has white space around it")
    } else if url.scheme() != "http" {
        Some(ONLY_HTTP)
    } else if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        Some("should end after the host and port")
    } else {
        None
    }
}

/// The content of a file, without one newline at its end; or what is wrong with the file.
fn read_secret(path: &FilePath) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if std::fs::metadata(path).map_err(unreadable)?.len() > LARGEST_SECRET {
        return Err("is larger than 64KiB".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
