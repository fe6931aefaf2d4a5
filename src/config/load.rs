//! Loads relay.yaml: read, lay over one another, check, and report everything at once.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::Value;

use super::check::Check;
use super::document::Document;
use super::environment::{Environment, overrides};
use super::excerpt::Excerpts;
use super::layers::{self, Node};
use super::problem::{Found, Mark, Place, Problem, Severity};
use super::yaml;
use super::{Admin, Config, top};
use crate::send::egress::Egress;

/// Larger files are no configuration, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// A configuration that can run, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Problem>,
    /// To read it again.
    pub origin: Origin,
}

/// Where a configuration comes from.
#[derive(Clone)]
pub struct Origin {
    pub path: PathBuf,
    pub environment: Environment,
}

impl fmt::Debug for Origin {
    /// Variables may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&self.path).finish()
    }
}

/// Gives the names of all template sets there are, built-in ones and those in the given folder.
pub type Sets<'a> = &'a dyn Fn(&Path) -> Vec<String>;

/// Reads `path`, with `environment` for `${NAME}` and for the variables `GOGS_RELAY__…`. Relative
/// paths in the file start at the file's own folder.
///
/// # Errors
/// Every mistake there is, in the order of lines, among them the warnings.
pub fn load(
    path: &Path,
    environment: &Environment,
    sets: Sets<'_>,
) -> Result<Loaded, Vec<Problem>> {
    let (config, problems) = checked(path, environment, &|check, root| {
        top::check(check, root, sets)
    })?;
    let failed = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    match config {
        Some(config) if !failed => Ok(Loaded {
            config,
            warnings: problems,
            origin: Origin {
                path: path.to_owned(),
                environment: environment.clone(),
            },
        }),
        _ => Err(problems),
    }
}

/// What `path` says of the own API, for those who look for a relay that runs; mistakes elsewhere
/// in the file are left to the relay.
///
/// # Errors
/// The mistakes because of which it cannot be told.
pub fn load_admin(path: &Path, environment: &Environment) -> Result<Admin, Vec<Problem>> {
    let (admin, problems) = checked(path, environment, &top::check_admin)?;
    admin.ok_or(problems)
}

/// Reads `egress` alone, for a command that talks to others than the relay.
///
/// # Errors
/// As those of [`load_admin`].
pub fn load_egress(path: &Path, environment: &Environment) -> Result<Egress, Vec<Problem>> {
    let (egress, problems) = checked(path, environment, &top::check_egress)?;
    egress.ok_or(problems)
}

/// Gives what is to be made of the merged tree; `None` when an error was reported.
type Make<'a, T> = &'a dyn Fn(&Check<'_>, &Node) -> Option<T>;

/// What was made of the file, and all that was found on the way.
fn checked<T>(
    path: &Path,
    environment: &Environment,
    make: Make<'_, T>,
) -> Result<(Option<T>, Vec<Problem>), Vec<Problem>> {
    let file = path.display().to_string();
    let text = read(path).map_err(|found| vec![problem(found, &file, None)])?;
    let text = text.trim_start_matches('\u{feff}');
    let document = yaml::read(text);
    let check = Check::new(environment, path.parent().unwrap_or(Path::new("")));
    let made = match document.broken {
        // What is missing may stand behind the mistake.
        true => None,
        false => merge_and_check(&document, environment, &check, make),
    };
    let (mut found, shown) = check.finish();
    found.extend(document.found.iter().cloned());
    let excerpts = Excerpts::new(text, &document, &shown);
    found.sort_by_key(|found| order(&found.place));
    let problem = |found| problem(found, &file, Some(&excerpts));
    Ok((made, found.into_iter().map(problem).collect()))
}

fn read(path: &Path) -> Result<String, Found> {
    let error = |message: String| Found::error(&Place::File, message);
    let unreadable = |reason: std::io::Error| {
        let found = error(format!("the configuration cannot be read: {reason}"));
        found.hint("`gogs-relay init` writes one to start from; `-c` names another")
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > LARGEST_FILE {
        return Err(error("the file is larger than 1MiB".to_owned()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn merge_and_check<T>(
    document: &Document,
    environment: &Environment,
    check: &Check<'_>,
    make: Make<'_, T>,
) -> Option<T> {
    let file = match &document.root {
        Some(Value::Dict(_, file)) => Some(file),
        None => None,
        Some(_) => {
            let found = Found::error(
                &Place::At(Mark { line: 1, column: 1 }),
                "the file should be a mapping of keys",
            );
            check.report(found.hint("start with `sources:` and `destinations:`"));
            return None;
        }
    };
    let overrides = overrides(environment, file);
    for found in &overrides.found {
        check.report(found.clone());
    }
    match layers::merge(document, &overrides) {
        Ok(root) => make(check, &root),
        Err(error) => {
            check.report(Found::error(&Place::File, error));
            None
        }
    }
}

/// The file as a whole first, then by line, then variables.
fn order(place: &Place) -> (u8, Option<Mark>, String) {
    match place {
        Place::File => (0, None, String::new()),
        Place::At(mark) => (1, Some(*mark), String::new()),
        Place::Variable(name) => (2, None, name.clone()),
    }
}

fn problem(found: Found, file: &str, excerpts: Option<&Excerpts<'_>>) -> Problem {
    let (file, mark) = match found.place {
        Place::At(mark) => (file.to_owned(), Some(mark)),
        Place::Variable(name) => (format!("environment variable {name}"), None),
        Place::File => (file.to_owned(), None),
    };
    Problem {
        severity: found.severity,
        file,
        line: mark.map(|mark| mark.line),
        column: mark.map(|mark| mark.column),
        excerpt: mark.and_then(|mark| excerpts?.line(mark)),
        message: found.message,
        hint: found.hint,
    }
}
