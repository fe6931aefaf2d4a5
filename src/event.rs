//! An event: what Gogs said, byte for byte, and the few facts that routing needs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The events that hooks of Gogs can have, in the order in which it lists them.
pub const GOGS_EVENTS: [&str; 8] = [
    "create",
    "delete",
    "fork",
    "push",
    "issues",
    "pull_request",
    "issue_comment",
    "release",
];

/// An event's place in the log: a plain integer from 1, never used twice.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether this can name an event: `[a-z0-9_]{1,40}`. Names become parts of paths and labels.
pub fn is_name(text: &str) -> bool {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=40).contains(&text.len()) && text.bytes().all(known)
}

/// What is wrong with a text that should name an event, if something is.
pub fn not_a_name(text: &str) -> Option<String> {
    (!is_name(text)).then(|| {
        format!("{text:?} is no event: names are up to 40 of a to z, 0 to 9 and _, as `push`")
    })
}

/// What arrived, verified. Frozen from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name of the source in relay.yaml that it came through.
    pub source: Arc<str>,
    /// The event's name in Gogs' words, `push` for example; `unknown` when it was not a name.
    /// Always `[a-z0-9_]{1,40}`.
    pub name: Arc<str>,
    /// The sender's id of the delivery (`X-Gogs-Delivery`), or a UUID of our own.
    pub delivery_id: Arc<str>,
    /// When it arrived.
    pub received: Timestamp,
    /// The JSON text as it was signed; never re-serialised.
    pub body: Bytes,
}

/// What routing and listing need to know of an event. A field is `None` when the event does not
/// have such a thing (a push has no action), so a filter on it is passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `opened`, `published`, …
    pub action: Option<String>,
    /// `owner/name`.
    pub repo: Option<String>,
    /// The branch in question, short: of a push its ref, of a pull request `base_branch`, of a
    /// release `target_commitish`, of create and delete the branch.
    pub branch: Option<String>,
    /// The tag in question, short: of pushes, creates and deletes of tags, and of releases.
    pub tag: Option<String>,
    /// The user name of who did it.
    pub sender: Option<String>,
    /// Gogs' “Test Delivery” button was pressed.
    pub is_test: bool,
    /// Whether the repository is private, as the payload says. Known when the event comes alone.
    pub private: Option<bool>,
}

impl Facts {
    /// One line that says what an event is, for lists and for searching: `push on main in
    /// orbit/lander by mira`, as far as it is known.
    pub fn summary(&self, event: &str) -> String {
        const TEST: &str = " (test delivery)";
        let parts = [
            (" ", &self.action),
            (" on tag ", &self.tag),
            (
                if self.tag.is_some() { " at " } else { " on " },
                &self.branch,
            ),
            (" in ", &self.repo),
            (" by ", &self.sender),
        ];
        let named = parts
            .iter()
            .filter_map(|(word, part)| Some((word, part.as_ref()?)));
        let named: usize = named.map(|(word, part)| word.len() + part.len()).sum();
        let mut line = String::with_capacity(event.len() + named + TEST.len());
        line.extend(event.chars().map(|letter| match letter {
            '_' => ' ',
            letter => letter,
        }));
        for (word, part) in parts {
            if let Some(part) = part {
                line.push_str(word);
                line.push_str(part);
            }
        }
        if self.is_test {
            line.push_str(TEST);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_there_is_and_nothing_else() {
        let mut facts = Facts {
            repo: Some("orbit/lander".into()),
            ..Facts::default()
        };
        assert_eq!(facts.summary("fork"), "fork in orbit/lander");
        facts.action = Some("closed".into());
        facts.branch = Some("main".into());
        facts.sender = Some("mira".into());
        let summary = facts.summary("pull_request");
        assert_eq!(
            summary,
            "pull request closed on main in orbit/lander by mira"
        );
    }
}
