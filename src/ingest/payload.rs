//! What routing needs to know of a payload, whatever version of Gogs made it. Parses only that;
//! a field that is missing, null or of another type is simply absent.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::members;
use crate::event::Facts;

/// Containers may stand in each other so deep.
pub const DEEPEST: usize = 128;

/// How Gogs writes a time it does not know.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// What a payload says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<'n> {
    /// The event's name: Gogs up to 0.9.71 calls a `create` a `push`.
    pub name: &'n str,
    pub facts: Facts,
}

/// Reads a payload that was announced as the event `name`.
///
/// # Errors
/// It is no JSON object of sane depth, or a message for a chat service.
pub fn read<'n>(name: &'n str, json: &[u8]) -> Result<Decoded<'n>, NotAnEvent> {
    let json = std::str::from_utf8(json).map_err(|_| NotAnEvent::NotUtf8)?;
    if nested_too_deep(json) {
        return Err(NotAnEvent::TooDeep);
    }
    let payload = Payload::read(json)?;
    let name = match name {
        "push" if payload.ref_type.is_some() && payload.commits.is_none() => "create",
        name => name,
    };
    let (branch, tag) = payload.branch_and_tag(name);
    let is_test = name == "push" && payload.is_test();
    let (repo, private) = payload.repository.map_or((None, None), about);
    let facts = Facts {
        action: payload.action.map(Cow::into_owned),
        repo,
        branch: branch.map(Cow::into_owned),
        tag: tag.map(Cow::into_owned),
        sender: user_name(payload.sender).or_else(|| user_name(payload.pusher)),
        is_test,
        private,
    };
    Ok(Decoded { name, facts })
}

/// Why a payload is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    #[error("the payload is not UTF-8")]
    NotUtf8,
    #[error("the payload is not JSON, at line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    #[error("the payload is JSON, but not an object")]
    NotAnObject,
    #[error("the payload is nested deeper than {DEEPEST}")]
    TooDeep,
    #[error("this is Gogs' message for {0}, not an event")]
    ForChat(Service),
}

/// The services that Gogs has hook types of their own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Slack,
    Discord,
    DingTalk,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// The chat service whose message this is, if it is one.
pub(super) fn chat_service(json: &[u8]) -> Option<Service> {
    match read("", json) {
        Err(NotAnEvent::ForChat(service)) => Some(service),
        _ => None,
    }
}

/// The members that matter, unparsed where only some events need them.
#[derive(Default)]
struct Payload<'a> {
    action: Option<Cow<'a, str>>,
    reference: Option<Cow<'a, str>>,
    ref_type: Option<Cow<'a, str>>,
    before: Option<Cow<'a, str>>,
    after: Option<Cow<'a, str>>,
    compare_url: Option<Cow<'a, str>>,
    commits: Option<&'a RawValue>,
    repository: Option<&'a RawValue>,
    pusher: Option<&'a RawValue>,
    sender: Option<&'a RawValue>,
    pull_request: Option<&'a RawValue>,
    release: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    fn read(json: &'a str) -> Result<Payload<'a>, NotAnEvent> {
        let mut payload = Payload::default();
        let mut chat = None;
        let walked = members::walk(json, |name, value| match name {
            b"action" => payload.action = filled(value),
            b"ref" => payload.reference = filled(value),
            b"ref_type" => payload.ref_type = filled(value),
            b"before" => payload.before = members::text(value),
            b"after" => payload.after = members::text(value),
            b"compare_url" => payload.compare_url = members::text(value),
            b"commits" => payload.commits = Some(value).filter(|value| value.get() != "null"),
            b"repository" => payload.repository = Some(value),
            b"pusher" => payload.pusher = Some(value),
            b"sender" => payload.sender = Some(value),
            b"pull_request" => payload.pull_request = Some(value),
            b"release" => payload.release = Some(value),
            b"attachments" | b"unfurl_links" => chat = Some(Service::Slack),
            b"embeds" => chat = Some(Service::Discord),
            b"msgtype" => chat = Some(Service::DingTalk),
            _ => {}
        });
        match (walked, chat, payload.repository) {
            (Err(error), ..) => Err(not_an_object(json, &error)),
            (Ok(()), Some(service), None) => Err(NotAnEvent::ForChat(service)),
            _ => Ok(payload),
        }
    }

    /// The branch and the tag in question, short.
    fn branch_and_tag(&self, name: &str) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
        match name {
            "push" => {
                // Gogs writes a mirror's refs short, and a mirror's new tags without commits.
                let is_mirrored_tag =
                    self.before.as_deref() == Some("") && self.after.as_deref() == Some("");
                self.split_ref(is_mirrored_tag)
            }
            "create" | "delete" => self.split_ref(self.ref_type.as_deref() == Some("tag")),
            "pull_request" => {
                let [base] = self
                    .pull_request
                    .map_or([None], |it| texts(it, [b"base_branch"]));
                (base, None)
            }
            "release" => {
                let [branch, tag] = self.release.map_or([None, None], |it| {
                    texts(it, [b"target_commitish", b"tag_name"])
                });
                (branch, tag)
            }
            _ => (None, None),
        }
    }

    /// A ref that is neither branch nor tag (`refs/notes/commits`) counts as a branch, as Gogs
    /// itself has it.
    fn split_ref(&self, is_tag: bool) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
        let Some(reference) = self.reference.clone() else {
            return (None, None);
        };
        if let Some(branch) = short(&reference, "refs/heads/") {
            return (Some(branch), None);
        }
        match short(&reference, "refs/tags/") {
            Some(tag) => (None, Some(tag)),
            None if is_tag => (None, Some(reference)),
            None => (Some(reference), None),
        }
    }

    /// Gogs marks a test delivery by nothing; only this much about it is unlike any real push.
    fn is_test(&self) -> bool {
        let before = self.before.as_deref().unwrap_or("");
        if before.is_empty() || self.after != self.before {
            return false;
        }
        let commits = self.commits.map_or("", RawValue::get);
        let Ok([commit]) = serde_json::from_str::<[&RawValue; 1]>(commits) else {
            return false;
        };
        let [time] = texts(commit, [b"timestamp"]);
        self.compare_url.as_deref() == Some("") && time.as_deref() == Some(ZERO_TIME)
    }
}

/// `owner/name`, built from its parts where an old Gogs sends no `full_name`; and whether it is
/// private, if it says so.
fn about(repository: &RawValue) -> (Option<String>, Option<bool>) {
    let (mut full_name, mut owner, mut short_name, mut private) = (None, None, None, None);
    members::of(repository, |name, value| {
        match name {
            b"full_name" => full_name = filled(value),
            b"owner" => owner = Some(value),
            b"name" => short_name = filled(value),
            b"private" => private = value.get().parse().ok(),
            _ => {}
        }
        enough(full_name.is_some() && private.is_some())
    });
    let from_parts = || Some(format!("{}/{}", user_name(owner)?, short_name?));
    let name = full_name.map(Cow::into_owned).or_else(from_parts);
    (name, private)
}

/// Which of its names a user has depends on the version of Gogs.
fn user_name(user: Option<&RawValue>) -> Option<String> {
    let (mut username, mut other) = (None, None);
    members::of(user?, |name, value| {
        match name {
            b"username" => username = filled(value),
            b"login" => other = filled(value).or(other.take()),
            b"name" => other = other.take().or_else(|| filled(value)),
            _ => {}
        }
        enough(username.is_some())
    });
    username.or(other).map(Cow::into_owned)
}

/// The texts that these members of an object have, where they have one.
fn texts<'a, const N: usize>(
    object: &'a RawValue,
    wanted: [&[u8]; N],
) -> [Option<Cow<'a, str>>; N] {
    let mut found = [const { None }; N];
    members::of(object, |name, value| {
        if let Some(at) = wanted.iter().position(|wanted| *wanted == name) {
            found[at] = filled(value);
        }
        enough(found.iter().all(Option::is_some))
    });
    found
}

fn enough(is_enough: bool) -> ControlFlow<()> {
    if is_enough {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn filled(value: &RawValue) -> Option<Cow<'_, str>> {
    members::text(value).filter(|text| !text.is_empty())
}

fn short<'a>(reference: &Cow<'a, str>, prefix: &str) -> Option<Cow<'a, str>> {
    let short = match reference {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(prefix)?),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix(prefix)?.to_owned()),
    };
    Some(short).filter(|short| !short.is_empty())
}

fn not_an_object(json: &str, error: &serde_json::Error) -> NotAnEvent {
    match serde_json::from_str::<IgnoredAny>(json) {
        Ok(_) => NotAnEvent::NotAnObject,
        Err(_) => NotAnEvent::NotJson {
            line: error.line(),
            column: error.column(),
        },
    }
}

/// Looks at brackets alone, so it may be asked before the text is known to be JSON.
fn nested_too_deep(json: &str) -> bool {
    // Nearly every payload has fewer containers in all than may stand in each other; counted in
    // chunks whose count fits a byte, which the compiler makes very fast.
    let opens = |&byte: &u8| u8::from(byte | 0x20 == b'{');
    let chunks = json.as_bytes().chunks(usize::from(u8::MAX));
    let count = |chunk: &[u8]| usize::from(chunk.iter().map(opens).sum::<u8>());
    if chunks.map(count).sum::<usize>() <= DEEPEST {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}
