//! An invented delivery of every event and action: what `check` renders, `send` sends and `demo`
//! shows.

use bytes::Bytes;
use include_dir::{Dir, include_dir};
use serde_json::{Map, Value};

static SAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/plan/samples");

/// One invented delivery.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The event's name, `push` for example.
    pub event: String,
    /// The action, if the event has one.
    pub action: Option<String>,
    /// What is special about it: `new branch`, `merged`; often the action again.
    pub what: String,
    /// The payload as Gogs writes it.
    pub body: Bytes,
}

/// Every event and action, in the order of the specification.
///
/// Each file holds what an event's samples have in common and, by name, what each one changes.
pub fn samples() -> Vec<Sample> {
    let everywhere = object("everywhere.json");
    let mut samples = Vec::new();
    let events = [
        "push",
        "create",
        "delete",
        "fork",
        "issues",
        "issue_comment",
        "pull_request",
        "release",
    ];
    for event in events {
        let file = object(&format!("{event}.json"));
        let mut common = Value::Object(everywhere.clone());
        overlay(&mut common, file.get("common").unwrap_or(&Value::Null));
        let cases = file.get("cases").and_then(Value::as_object);
        for (what, changes) in cases.into_iter().flatten() {
            let mut payload = common.clone();
            overlay(&mut payload, changes);
            let action = payload
                .get("action")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let body = serde_json::to_vec_pretty(&payload).unwrap_or_default();
            samples.push(Sample {
                event: event.to_owned(),
                action,
                what: what.clone(),
                body: body.into(),
            });
        }
    }
    samples
}

/// What an event that is not known yet has at least.
pub(super) fn unknown_sample() -> Bytes {
    let payload = object("everywhere.json");
    serde_json::to_vec(&payload).unwrap_or_default().into()
}

/// The relay's own event, which says what a destination did not get one by one.
pub(super) fn summary_sample() -> Bytes {
    let payload = object("summary.json");
    serde_json::to_vec(&payload).unwrap_or_default().into()
}

fn object(file: &str) -> Map<String, Value> {
    let contents = SAMPLES.get_file(file).map(include_dir::File::contents);
    serde_json::from_slice(contents.unwrap_or_default()).unwrap_or_default()
}

/// Lays `changes` over `value`: members one by one, everything else whole.
fn overlay(value: &mut Value, changes: &Value) {
    match (value, changes) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes {
                overlay(members.entry(name).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change.clone(),
    }
}
