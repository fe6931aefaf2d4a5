//! Topics: one a repository and event, at `/{owner}/{repository}/events/{event}`. Pure.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::hook::Repository;

/// A longer URL is no topic's, in bytes.
const LONGEST: usize = 700;

/// What is encoded within a part of a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'*');

/// What may be subscribed to.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    pub repository: Repository,
    /// An event's name, or `*` for all.
    pub event: String,
    pub suffix: Suffix,
}

/// How the end of a topic's path says what its content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// GitHub's clients get a form, WebSub's readers JSON.
    None,
    /// `.json`
    Json,
    /// `.txt`
    Text,
}

impl Suffix {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Suffix::None => "",
            Suffix::Json => ".json",
            Suffix::Text => ".txt",
        }
    }
}

impl Topic {
    /// The topic of a repository of `source` at this path. Its event can be any name.
    pub fn at(source: &Arc<str>, path: &str) -> Option<Topic> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut next = || {
            let part = percent_decode_str(parts.next()?).decode_utf8().ok()?;
            Some(part.into_owned())
        };
        let (owner, name, events, last) = (next()?, next()?, next()?, next()?);
        if events != "events" || last.is_empty() || next().is_some() {
            return None;
        }
        let suffixes = [Suffix::Json, Suffix::Text];
        let cut = |suffix: Suffix| Some((last.strip_suffix(suffix.as_str())?, suffix));
        let cut = suffixes.into_iter().find_map(cut);
        let (event, suffix) = cut.unwrap_or((&last, Suffix::None));
        Some(Topic {
            repository: Repository::named(source, &owner, &name)?,
            event: event.to_owned(),
            suffix,
        })
    }

    /// The topic that a URL names, if it is one of ours: its host is that of `public_url`, or one
    /// of `hosts`.
    pub fn of_url(
        source: &Arc<str>,
        text: &str,
        public_url: &Url,
        hosts: &[&str],
    ) -> Option<Topic> {
        // It is told again in headers, as it was spelled.
        let odd = |byte: u8| !byte.is_ascii_graphic() || b"<>\"\\".contains(&byte);
        if text.len() > LONGEST || text.bytes().any(odd) {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        let is_bare = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_plain || !is_bare {
            return None;
        }
        let host = url.host_str()?;
        let path = match Some(host) == public_url.host_str() {
            true => {
                let base = public_url.path().trim_end_matches('/');
                url.path().strip_prefix(base).unwrap_or(url.path())
            }
            false if hosts.contains(&host) => url.path(),
            false => return None,
        };
        Topic::at(source, path)
    }

    /// The path with a suffix, encoded.
    pub fn path(&self, suffix: Suffix) -> String {
        let parts = self.repository.name.split('/').chain(["events"]);
        let encoded = |part| utf8_percent_encode(part, ENCODED);
        let mut path: String = parts.map(|part| format!("/{}", encoded(part))).collect();
        path.push_str(&format!("/{}{}", encoded(&self.event), suffix.as_str()));
        path
    }

    /// Whether a path can be a topic's.
    pub fn is_path(path: &str) -> bool {
        path.split('/').nth(3) == Some("events")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_url(text: &str) -> Option<(String, String, Suffix)> {
        let public_url = Url::parse("https://hooks.example.org/relay/").unwrap();
        let topic = Topic::of_url(&"gogs".into(), text, &public_url, &["github.com"])?;
        Some((topic.repository.name, topic.event, topic.suffix))
    }

    #[test]
    fn a_topic_is_told_by_its_path_below_our_own_url_or_a_known_host() {
        let topic = |event: &str, suffix| {
            let (repository, event) = ("Orbit/Lander".to_owned(), event.to_owned());
            Some((repository, event, suffix))
        };
        for (text, found) in [
            (
                "https://hooks.example.org/relay/Orbit/Lander/events/push",
                topic("push", Suffix::None),
            ),
            (
                "http://hooks.example.org:8025/Orbit/Lander/events/push.json",
                topic("push", Suffix::Json),
            ),
            (
                "https://GitHub.com/Orbit/Lander/events/issue_comment.txt",
                topic("issue_comment", Suffix::Text),
            ),
            (
                "https://github.com/Orbit/Lander/events/*",
                topic("*", Suffix::None),
            ),
        ] {
            assert_eq!(of_url(text), found, "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_topic() {
        for text in [
            "",
            "push",
            "https://elsewhere.example.org/orbit/lander/events/push",
            "https://github.com/orbit/lander/events/",
            "https://github.com/orbit/lander/events",
            "https://github.com/orbit/lander/events/push/more",
            "https://github.com/orbit/lander/hooks/push",
            "https://github.com//lander/events/push",
            "https://github.com/orbit%2Flander/x/events/push",
            "https://github.com/orbit/lander/events/push?a=b",
            "https://github.com/orbit/lander/events/push#a",
            "https://ana:pw@github.com/orbit/lander/events/push",
            "ftp://github.com/orbit/lander/events/push",
            "https://github.com/orbit/lander/events/pu\r\nsh",
            "https://github.com/orbit/lander>/events/push",
        ] {
            assert_eq!(of_url(text), None, "{text}");
        }
    }
}
