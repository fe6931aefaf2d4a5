//! Lines of relay.yaml as they may be shown: keys and harmless values stay, the rest is masked.

use std::collections::BTreeSet;
use std::ops::Range;

use super::document::{Document, Path, Role};
use super::problem::Mark;

/// What stands where something is not shown.
pub(super) const MASK: &str = "***";

/// Longer runs of letters and digits look like a token or a key.
const LONGEST_WORD: usize = 19;

/// Longer lines are not shown, in bytes: they help nobody, and one may have many problems.
const LONGEST_LINE: usize = 400;

/// A file whose lines can be shown.
pub(super) struct Excerpts<'a> {
    text: &'a str,
    document: &'a Document,
    /// The values that no secret belongs in.
    shown: &'a BTreeSet<Path>,
    lines: Vec<Range<usize>>,
}

impl<'a> Excerpts<'a> {
    pub(super) fn new(text: &'a str, document: &'a Document, shown: &'a BTreeSet<Path>) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            lines.push(start..start + line.trim_end_matches(['\n', '\r']).len());
            start += line.len();
        }
        Excerpts {
            text,
            document,
            shown,
            lines,
        }
    }

    /// The line of `mark`, masked so that its column still fits; `None` when nothing of it can be
    /// shown. Comments are left out.
    pub(super) fn line(&self, mark: Mark) -> Option<String> {
        let range = self.lines.get(mark.line.checked_sub(1)?)?.clone();
        let line = &self.text[range.clone()];
        if line.len() > LONGEST_LINE {
            return None;
        }
        if self.document.broken {
            return key_alone(line);
        }
        let mut excerpt = String::new();
        let mut at = range.start;
        let tokens = &self.document.tokens;
        let first = tokens.partition_point(|token| token.range.end <= range.start);
        let here = tokens[first..].iter();
        for token in here.take_while(|token| token.range.start < range.end) {
            let start = token.range.start.max(at);
            let end = token.range.end.min(range.end);
            if start >= end {
                continue;
            }
            excerpt.push_str(&between(&self.text[at..start]));
            let text = &self.text[start..end];
            let may_show = match &token.role {
                Role::Syntax => true,
                Role::Value(path) => self.shown.contains(path),
            };
            match may_show && start == token.range.start && is_harmless(text) {
                true => excerpt.push_str(text),
                false => excerpt.push_str(&mask(text, excerpt.chars().count() + 1 < mark.column)),
            }
            at = end;
        }
        excerpt.push_str(&between(&self.text[at..range.end]));
        let excerpt = excerpt.trim_end();
        (!excerpt.is_empty()).then(|| excerpt.to_owned())
    }
}

/// `"name"`, or a mask when it could be a secret in the wrong place.
pub(super) fn quoted(text: &str) -> String {
    match is_harmless(text) {
        true => format!("\"{text}\""),
        false => format!("\"{MASK}\""),
    }
}

/// Whether a text looks like a name, a pattern, a number or an address, and not like a secret.
pub(super) fn is_harmless(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || " \"'-_.,:*/!+#%[]<^$".contains(c);
    let longest = text
        .split(|c: char| !c.is_alphanumeric())
        .map(str::len)
        .max();
    text.len() <= 80
        && text.chars().all(fits)
        && longest.unwrap_or(0) <= LONGEST_WORD
        && !text.contains("//")
}

/// What stands in place of a hidden text. Before the column in question it is as long as the
/// text, so that the column fits (the column itself tells the length anyway).
fn mask(text: &str, before: bool) -> String {
    match before {
        true => "*".repeat(text.chars().count()),
        false => MASK.to_owned(),
    }
}

/// What stands between scalars: YAML's own signs; a comment ends it.
fn between(text: &str) -> String {
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    let sign = |c: char| match c {
        ' ' | '\t' | '{' | '}' | '[' | ']' | ',' | ':' | '-' | '?' | '|' | '>' => c,
        _ => '*',
    };
    text.chars().map(sign).collect()
}

/// Of a line that YAML could not make sense of: its key, when it plainly has one.
fn key_alone(line: &str) -> Option<String> {
    let (key, value) = line.split_once(':')?;
    let word = key.trim_start_matches([' ', '-']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if word.is_empty() || !word.chars().all(plain) || !is_harmless(word) {
        return None;
    }
    let looks_like_key = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match value.trim() {
        "" => Some(format!("{key}:")),
        _ if value.starts_with(' ') => Some(format!("{key}: {MASK}")),
        // No space after the colon is a common mistake, but it could also be half a secret.
        _ if looks_like_key && !value.starts_with('/') => Some(format!("{key}:{MASK}")),
        _ => None,
    }
}
