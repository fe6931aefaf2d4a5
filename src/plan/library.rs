//! Finds templates: the built-in ones and, over them, the user's folder.

use std::path::Path;
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};

use super::escape::Format;
use crate::config::{Problem, Severity};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// A template longer than this is refused, in bytes.
const LONGEST: usize = 256 * 1024;

/// One template file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) set: String,
    pub(super) format: Format,
    /// Without `.hbs`; partials begin with `_`.
    pub(super) name: String,
    pub(super) text: String,
    /// As a person finds it.
    pub(super) file: String,
}

impl Source {
    /// `default/slack/push`.
    pub(super) fn label(&self) -> String {
        format!("{}/{}/{}", self.set, self.format.folder(), self.name)
    }
}

/// The sets that come with the program.
pub(super) static BUILT_IN: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let mut sources = Vec::new();
    for folder in FILES.dirs().flat_map(Dir::dirs) {
        for file in folder.files() {
            let text = file.contents_utf8().unwrap_or_default();
            let found = source_at(file.path(), Path::new("templates"));
            sources.extend(found.map(|place| place.with(text.to_owned())));
        }
    }
    sources
});

/// What lies in the user's folder, and what in it cannot be used.
pub(super) fn in_folder(folder: &Path) -> (Vec<Source>, Vec<Problem>) {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(inside) = waiting.pop() {
        let entries = match std::fs::read_dir(&inside) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                problems.push(unreadable(&inside, &error.to_string()));
                continue;
            }
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Ok(below) = path.strip_prefix(folder) else {
                continue;
            };
            // A set, a kind, and no deeper.
            let depth = below.components().count();
            if path.is_dir() && depth == 2 && format_of(below).is_none() {
                problems.push(no_kind(&path));
            } else if path.is_dir() && depth <= 2 {
                waiting.push(path);
            } else if let Some(place) = source_at(below, folder) {
                match read(&path) {
                    Ok(text) => sources.push(place.with(text)),
                    Err(error) => problems.push(unreadable(&path, &error)),
                }
            }
        }
    }
    (sources, problems)
}

/// Where a template belongs.
struct Place {
    set: String,
    format: Format,
    name: String,
    file: String,
}

impl Place {
    fn with(self, text: String) -> Source {
        Source {
            set: self.set,
            format: self.format,
            name: self.name,
            text,
            file: self.file,
        }
    }
}

/// The place of `<set>/<kind>/<name>.hbs`; anything else is no template.
fn source_at(below: &Path, folder: &Path) -> Option<Place> {
    let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
    let [set, kind, file] = parts?[..] else {
        return None;
    };
    let format = format_of(Path::new(kind))?;
    Some(Place {
        set: set.to_owned(),
        format,
        name: file.strip_suffix(".hbs")?.to_owned(),
        file: folder.join(below).to_string_lossy().into_owned(),
    })
}

/// The kind that a folder is named after.
fn format_of(folder: &Path) -> Option<Format> {
    let mut formats = Format::ALL.into_iter();
    formats.find(|format| folder.ends_with(format.folder()))
}

/// A folder in a set that nothing is ever looked up in.
fn no_kind(path: &Path) -> Problem {
    let kinds = Format::ALL.map(Format::folder);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let near = kinds
        .iter()
        .min_by_key(|kind| strsim::damerau_levenshtein(kind, &name));
    let near = near.filter(|kind| strsim::damerau_levenshtein(kind, &name) <= 3);
    Problem {
        severity: Severity::Warning,
        message: format!("no destination is of the kind {name:?}, so nothing in it is used"),
        hint: Some(match near {
            Some(kind) => format!("did you mean `{kind}`?"),
            None => format!("kinds are {}", kinds.join(", ")),
        }),
        ..unreadable(path, "")
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > LONGEST as u64 {
        return Err(format!("longer than {} KiB", LONGEST / 1024));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn unreadable(path: &Path, error: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.to_string_lossy().into_owned(),
        line: None,
        column: None,
        excerpt: None,
        message: format!("cannot be read: {error}"),
        hint: None,
    }
}
