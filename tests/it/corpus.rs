//! Reads the recorded deliveries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// One recorded event, with what Gogs sent to each hook for it.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    pub event: String,
    pub action: Option<String>,
    /// An earlier file whose delivery this one repeats.
    #[serde(default)]
    pub repeat_of: Option<serde_json::Value>,
    pub deliveries: BTreeMap<String, Delivered>,
    /// The file's name without `.json`.
    #[serde(skip)]
    pub file: String,
}

/// One request of Gogs, byte for byte.
#[derive(Debug, Deserialize)]
pub struct Delivered {
    /// In wire order.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Delivered {
    /// The value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The secret of the recorded hooks `gogs.json` and `gogs.form`.
pub const SECRET: &str = "orbit-hook-s3cret";

/// All recordings, in the order of recording.
pub fn all() -> Vec<Recorded> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    assert!(!paths.is_empty(), "no recordings");
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &std::path::Path) -> Recorded {
    let text = std::fs::read_to_string(path).unwrap();
    let mut recorded: Recorded = serde_json::from_str(&text).unwrap();
    recorded.file = path.file_stem().unwrap().to_string_lossy().into_owned();
    recorded
}
