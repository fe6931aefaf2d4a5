//! What a template sees of an event: its payload, and what follows from it.

use handlebars::Context;
use serde_json::{Map, Value};

use super::commits;
use super::escape::path_of_reference;
use super::payload::{find, read, text};
use crate::event::Event;

/// Gogs lists at most so many commits of a push.
const GOGS_CAP: usize = 5;

/// What a branch points to when it is gone.
const DELETED: &str = "0000000000000000000000000000000000000000";

/// An event ready to be rendered, for any number of destinations.
pub(super) struct View {
    /// By which templates are looked up; the event's own name but for a known mistake of Gogs 0.9.
    pub(super) name: String,
    pub(super) action: Option<String>,
    /// What to open to see it in Gogs, if the payload tells.
    pub(super) event_url: Option<String>,
    /// `push to orbit/lander by alice`, for the last step of the ladder.
    pub(super) summary: String,
    pub(super) context: Context,
    /// What it was built of.
    pub(super) event: Event,
}

/// Builds the view.
///
/// # Errors
/// The body is not a JSON object.
pub(super) fn view(event: &Event) -> Result<View, serde_json::Error> {
    let mut payload = read(&event.body)?;
    let name = name_of(event, &payload);
    let facts = Facts::of(&name, &payload);
    hide_overwritten_bodies(&name, &mut payload);
    let action = text(&payload, &["action"]).map(str::to_owned);
    let summary = summary(&name, action.as_deref(), &payload);
    let latest = commits::latest(&payload);
    let event_url = facts.event_url.clone();
    payload.insert("event".to_owned(), name.as_str().into());
    payload.insert("source".to_owned(), (*event.source).into());
    payload.insert("delivery_id".to_owned(), (*event.delivery_id).into());
    payload.insert("received_at".to_owned(), event.received.to_string().into());
    payload.insert("latest_commits".to_owned(), latest);
    payload.entry("action").or_insert(Value::Null);
    facts.put_into(&mut payload);
    let mut context = Context::null();
    *context.data_mut() = Value::Object(payload);
    Ok(View {
        name,
        action,
        event_url,
        summary,
        context,
        event: event.clone(),
    })
}

/// Gogs up to 0.9.71 called a `create` a push as well.
fn name_of(event: &Event, payload: &Map<String, Value>) -> String {
    let mistaken = &*event.name == "push"
        && payload.contains_key("ref_type")
        && !payload.contains_key("commits");
    if mistaken { "create" } else { &event.name }.to_owned()
}

/// What follows from the payload.
#[derive(Default)]
struct Facts {
    is_test: bool,
    is_new_branch: bool,
    is_forced: bool,
    is_merge: bool,
    is_deleted: bool,
    /// A push as most are: commits for a branch that was there.
    is_ordinary: bool,
    commits_in_words: Option<String>,
    ref_name: Option<String>,
    branch: Option<String>,
    tag: Option<String>,
    commit_count: usize,
    repo_url: Option<String>,
    gogs_url: Option<String>,
    ref_url: Option<String>,
    issue_url: Option<String>,
    sender_url: Option<String>,
    event_url: Option<String>,
}

impl Facts {
    fn of(name: &str, payload: &Map<String, Value>) -> Facts {
        let mut facts = Facts::default();
        facts.look_at_repository(payload);
        match name {
            "push" => facts.look_at_push(payload),
            "create" | "delete" => {
                let reference = text(payload, &["ref"]).map(short_reference);
                facts.name_reference(reference, text(payload, &["ref_type"]) == Some("tag"));
                facts.is_new_branch = name == "create" && facts.branch.is_some();
            }
            "pull_request" => {
                facts.branch = text(payload, &["pull_request", "base_branch"]).map(str::to_owned);
            }
            "release" => {
                let tag = text(payload, &["release", "tag_name"]);
                facts.name_reference(tag, true);
                facts.branch = text(payload, &["release", "target_commitish"]).map(str::to_owned);
            }
            _ => {}
        }
        facts.issue_url = facts.issue_url(payload);
        facts.event_url = facts.event_url(name, payload);
        facts
    }

    fn look_at_repository(&mut self, payload: &Map<String, Value>) {
        let Some(repo_url) = text(payload, &["repository", "html_url"]) else {
            return;
        };
        self.repo_url = Some(repo_url.trim_end_matches('/').to_owned());
        let full_name = text(payload, &["repository", "full_name"]).unwrap_or_default();
        let root = repo_url.trim_end_matches('/').strip_suffix(full_name);
        self.gogs_url = root.filter(|root| root.ends_with('/')).map(str::to_owned);
        let sender = ["sender", "pusher"]
            .iter()
            .find_map(|who| text(payload, &[who, "username"]));
        if let (Some(root), Some(sender)) = (&self.gogs_url, sender) {
            self.sender_url = Some(format!("{root}{}", path_of_reference(sender)));
        }
    }

    fn look_at_push(&mut self, payload: &Map<String, Value>) {
        let full = text(payload, &["ref"]).unwrap_or_default();
        let before = text(payload, &["before"]).unwrap_or_default();
        let after = text(payload, &["after"]).unwrap_or_default();
        let compare_url = text(payload, &["compare_url"]).unwrap_or_default();
        let commits = find(payload, &["commits"]).and_then(Value::as_array);
        let commits = commits.map(Vec::as_slice).unwrap_or_default();
        // The mirror's new tags come as pushes from nothing to nothing.
        let is_tag = full.starts_with("refs/tags/")
            || (!full.starts_with("refs/") && before.is_empty() && after.is_empty());
        self.name_reference(text(payload, &["ref"]).map(short_reference), is_tag);
        self.commit_count = commits.len();
        // A merge compares with the head branch's tip, and lists everything.
        self.is_merge = !compare_url.is_empty() && !compare_url.ends_with(after);
        self.is_test = !before.is_empty()
            && before == after
            && compare_url.is_empty()
            && commits.len() == 1
            && commits[0]["timestamp"].is_null();
        let is_known = !is_tag && !self.is_test && !before.is_empty();
        self.is_new_branch = is_known && before.bytes().all(|byte| byte == b'0');
        self.is_forced = is_known && commits.iter().any(|commit| commit["id"] == before);
        self.is_deleted = after == DELETED;
        let is_special = is_tag || self.is_test || self.is_new_branch || self.is_forced;
        self.is_ordinary = !is_special && !self.is_merge && !commits.is_empty();
        self.commits_in_words = Some(match commits.len() {
            1 => "1 commit".to_owned(),
            count if self.is_capped() => format!("{count}+ commits"),
            count => format!("{count} commits"),
        });
    }

    /// Whether Gogs may have left some commits out.
    fn is_capped(&self) -> bool {
        self.commit_count == GOGS_CAP && !self.is_merge
    }

    fn name_reference(&mut self, name: Option<&str>, is_tag: bool) {
        let Some(name) = name else { return };
        self.ref_name = Some(name.to_owned());
        if is_tag {
            self.tag = Some(name.to_owned());
        } else {
            self.branch = Some(name.to_owned());
        }
        if let Some(repo_url) = &self.repo_url {
            self.ref_url = Some(format!("{repo_url}/src/{}", path_of_reference(name)));
        }
    }

    fn issue_url(&self, payload: &Map<String, Value>) -> Option<String> {
        let pull = find(payload, &["pull_request"]);
        let is_pull = pull.is_some() || find(payload, &["issue", "pull_request"]).is_some();
        let number = ["issue", "pull_request"]
            .iter()
            .find_map(|holder| find(payload, &[holder, "number"]))
            .or_else(|| find(payload, &["number"]))?
            .as_i64()?;
        let folder = if is_pull { "pulls" } else { "issues" };
        Some(format!("{}/{folder}/{number}", self.repo_url.as_ref()?))
    }

    fn event_url(&self, name: &str, payload: &Map<String, Value>) -> Option<String> {
        let own = match name {
            // Nothing lies before them to compare with.
            "push" if self.is_test || self.is_new_branch || self.tag.is_some() => None,
            "push" if self.commit_count == 1 => only_commit_url(payload),
            "push" => {
                let compare_url = text(payload, &["compare_url"]).map(str::to_owned);
                // Gogs 0.9 gave its own address for a new branch.
                compare_url.filter(|url| self.gogs_url.as_ref() != Some(url))
            }
            "fork" => text(payload, &["forkee", "html_url"]).map(str::to_owned),
            "issue_comment" if text(payload, &["action"]) != Some("deleted") => {
                text(payload, &["comment", "html_url"]).map(str::to_owned)
            }
            "release" => self.repo_url.as_ref().map(|url| format!("{url}/releases")),
            "delete" => self.repo_url.clone(),
            _ => None,
        };
        let general = [&self.issue_url, &self.ref_url, &self.repo_url];
        own.or_else(|| general.into_iter().flatten().next().cloned())
    }

    fn put_into(self, payload: &mut Map<String, Value>) {
        let is_tag = self.tag.is_some() && !payload.contains_key("release");
        let latest = self.commit_count.min(commits::LATEST);
        let is_capped = self.is_capped();
        let facts: [(&str, Value); 21] = [
            ("is_test", self.is_test.into()),
            ("is_new_branch", self.is_new_branch.into()),
            ("is_tag", is_tag.into()),
            ("is_forced", self.is_forced.into()),
            ("is_merge", self.is_merge.into()),
            ("is_deleted", self.is_deleted.into()),
            ("is_ordinary", self.is_ordinary.into()),
            ("ref_name", self.ref_name.into()),
            ("branch", self.branch.into()),
            ("tag", self.tag.into()),
            ("commit_count", self.commit_count.into()),
            ("commits_capped", is_capped.into()),
            ("commits_in_words", self.commits_in_words.into()),
            ("more_commits", (self.commit_count - latest).into()),
            ("repo_url", self.repo_url.into()),
            ("gogs_url", self.gogs_url.into()),
            ("ref_url", self.ref_url.into()),
            ("issue_url", self.issue_url.into()),
            ("numbered_title", numbered_title(payload).into()),
            ("sender_url", self.sender_url.into()),
            ("event_url", self.event_url.into()),
        ];
        for (name, fact) in facts {
            payload.insert(name.to_owned(), fact);
        }
    }
}

/// `#12 Overshoot on final burn`, of an issue or a pull request.
fn numbered_title(payload: &Map<String, Value>) -> Option<String> {
    ["issue", "pull_request"].iter().find_map(|holder| {
        let number = find(payload, &[holder, "number"]).or_else(|| find(payload, &["number"]))?;
        let title = text(payload, &[holder, "title"])?;
        Some(format!("#{number} {title}"))
    })
}

fn only_commit_url(payload: &Map<String, Value>) -> Option<String> {
    let url = find(payload, &["commits"])?.get(0)?.get("url")?.as_str()?;
    (!url.is_empty()).then(|| url.to_owned())
}

fn short_reference(full: &str) -> &str {
    let branch = full.strip_prefix("refs/heads/");
    branch
        .or_else(|| full.strip_prefix("refs/tags/"))
        .unwrap_or(full)
}

/// Takes away texts that Gogs wrote over: of a new comment's issue always, of a closed or reopened
/// one by `Closed #1` or by the comment given with it.
fn hide_overwritten_bodies(name: &str, payload: &mut Map<String, Value>) {
    let action = text(payload, &["action"]);
    let is_merged = find(payload, &["pull_request", "merged"]) == Some(&Value::Bool(true));
    let holder = match (name, action) {
        ("issue_comment", Some("created")) | ("issues", Some("closed" | "reopened")) => "issue",
        ("pull_request", Some("closed" | "reopened")) if !is_merged => "pull_request",
        _ => return,
    };
    if let Some(body) = payload.get_mut(holder).and_then(|it| it.get_mut("body")) {
        *body = Value::Null;
    }
}

/// `issues opened in orbit/lander by alice`.
fn summary(name: &str, action: Option<&str>, payload: &Map<String, Value>) -> String {
    let mut summary = name.replace('_', " ");
    let sender = ["sender", "pusher"]
        .iter()
        .find_map(|who| text(payload, &[who, "username"]));
    let parts = [
        (" ", action.map(|action| action.replace('_', " "))),
        (
            " in ",
            text(payload, &["repository", "full_name"]).map(str::to_owned),
        ),
        (" by ", sender.map(str::to_owned)),
    ];
    for (join, part) in parts {
        if let Some(part) = part {
            summary.push_str(join);
            summary.push_str(&part);
        }
    }
    summary
}
