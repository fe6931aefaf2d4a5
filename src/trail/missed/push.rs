//! What a payload says of a branch's way: pushes, new branches and deleted ones. Pure.

use std::sync::Arc;

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::plan::mend_surrogates;

/// No name that is shown is longer, in characters.
const LONGEST: usize = 300;

/// A commit's name.
pub(super) type Commit = [u8; 20];

/// Something that happened to a branch.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) place: Place,
    /// When the repository was changed last before it, as Gogs says.
    pub(super) updated: Option<Timestamp>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Push(Push),
    Created,
    Deleted,
}

/// A branch's way from one commit to another.
#[derive(Debug)]
pub(super) struct Push {
    /// `None`: the branch is new.
    pub(super) before: Option<Commit>,
    pub(super) after: Commit,
    /// A merged pull request: Gogs sends the commit where the branches parted as `before`.
    pub(super) is_merge: bool,
}

/// A branch of a repository of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Arc<str>,
    pub(super) repo: String,
    pub(super) branch: String,
    /// The repository's page, if it is one.
    pub(super) url: Option<String>,
    /// Stands for the branch, whatever its repository is called later.
    pub(super) key: u64,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "ref")]
    reference: Option<String>,
    ref_type: Option<String>,
    before: Option<String>,
    after: Option<String>,
    compare_url: Option<String>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    id: Option<u64>,
    full_name: Option<String>,
    html_url: Option<String>,
    updated_at: Option<String>,
}

/// Reads an event; `None` when it is not about a branch's way.
///
/// # Errors
/// It is a push that cannot be read.
pub(super) fn read(event: &Event) -> Result<Option<Happened>, serde_json::Error> {
    if !matches!(&*event.name, "push" | "create" | "delete") {
        return Ok(None);
    }
    let payload: Payload = match serde_json::from_slice(&mend_surrogates(&event.body)) {
        Ok(payload) => payload,
        Err(error) if &*event.name == "push" => return Err(error),
        Err(_) => return Ok(None),
    };
    Ok(payload.happened(event))
}

impl Payload {
    fn happened(self, event: &Event) -> Option<Happened> {
        let what = match &*event.name {
            "push" => What::Push(self.push()?),
            _ if self.ref_type.as_deref() != Some("branch") => return None,
            "create" => What::Created,
            _ => What::Deleted,
        };
        let repository = self.repository?;
        let updated = repository.updated_at.as_deref();
        let updated = updated.and_then(|time| time.parse().ok());
        let place = Place::of(&event.source, repository, &self.reference?)?;
        Some(Happened {
            place,
            updated,
            what,
        })
    }

    /// Test deliveries lead nowhere, a mirror's tags have no commits, and a tag has no way.
    fn push(&self) -> Option<Push> {
        let (before, after) = (self.before.as_deref()?, self.after.as_deref()?);
        if before == after || self.reference.as_ref()?.starts_with("refs/tags/") {
            return None;
        }
        let compare = self.compare_url.as_deref().unwrap_or_default();
        let is_new = before.bytes().all(|byte| byte == b'0');
        Some(Push {
            before: match is_new {
                true => None,
                false => Some(commit(before)?),
            },
            after: commit(after)?,
            is_merge: !compare.is_empty() && !compare.ends_with(after),
        })
    }
}

impl Place {
    fn of(source: &Arc<str>, repository: Repository, reference: &str) -> Option<Place> {
        let repo = repository.full_name?;
        // Gogs writes a mirror's refs short.
        let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference);
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed;
        let key = hash(source.as_bytes(), 0);
        let key = match repository.id {
            Some(id) => hash(&id.to_be_bytes(), key),
            None => hash(repo.to_lowercase().as_bytes(), key),
        };
        let url = repository.html_url.filter(|url| {
            let is_page = url.starts_with("http://") || url.starts_with("https://");
            is_page && url.len() < 1000 && !url.contains(|c: char| c.is_control() || c == ' ')
        });
        Some(Place {
            source: source.clone(),
            key: hash(branch.as_bytes(), key),
            repo: shown(&repo),
            branch: shown(branch),
            url,
        })
    }
}

/// As it may stand in a log or on a terminal.
fn shown(name: &str) -> String {
    let tame = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(LONGEST).map(tame).collect()
}

fn commit(text: &str) -> Option<Commit> {
    let mut commit = [0; 20];
    hex::decode_to_slice(text, &mut commit).ok()?;
    Some(commit)
}
