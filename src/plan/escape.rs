//! Writes untrusted text so that a service shows it and does nothing else with it.
//!
//! Besides JSON's own escapes this leaves [`MARK`] before each character that the service would
//! take for formatting. What the mark becomes is decided where the place in the message is known:
//! in `fit`, a backslash or an invisible space where formatting works, nothing where it does not.

use std::fmt::Write;

/// Stands before a character that must not act as formatting; a noncharacter, so that no real
/// text holds it. It is taken out of everything that comes from outside.
pub(super) const MARK: char = '\u{fdd0}';

/// Invisible, and enough to keep `@` and `everyone` apart.
pub(super) const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Whose rules the text of a template follows: one for each folder of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Format {
    Slack,
    Discord,
    Gogs,
}

impl Format {
    pub(super) const ALL: [Format; 3] = [Format::Slack, Format::Discord, Format::Gogs];

    /// As the folder is named.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Format::Slack => "slack",
            Format::Discord => "discord",
            Format::Gogs => "gogs",
        }
    }

    /// `{{x}}`: shown as it stands. No formatting, no mention, no link.
    pub(super) fn plain(self, text: &str) -> String {
        match self {
            Format::Slack => json(&slack_plain(bounded(text))),
            Format::Discord => json(&discord_plain(bounded(text))),
            Format::Gogs => json(text),
        }
    }

    /// `{{raw x}}`: keeps the service's formatting, but neither mentions nor masked links.
    pub(super) fn raw(self, text: &str) -> String {
        json(&self.raw_text(text))
    }

    fn raw_text(self, text: &str) -> String {
        match self {
            Format::Slack => slack_entities(bounded(text)),
            Format::Discord => discord_raw(bounded(text)),
            Format::Gogs => text.to_owned(),
        }
    }

    /// `{{link label url}}`. A URL that is not http or https leaves the label alone.
    pub(super) fn link(self, label: &str, url: &str, style: Label) -> String {
        let url = self.url(url);
        let shown = if label.trim().is_empty() { &url } else { label };
        let one_line = bounded(shown).replace(['\n', '\r'], " ");
        let label = match style {
            Label::Plain => self.label(&one_line),
            Label::Raw => self.raw_text(&one_line),
            Label::Code => self.label(&one_line.replace(['`', '[', ']', '\\'], "")),
        };
        if url.is_empty() {
            return json(&label);
        }
        let code = if style == Label::Code { "`" } else { "" };
        match self {
            Format::Slack => json(&format!("{code}<{url}|{label}>{code}")),
            Format::Discord => json(&format!("[{code}{label}{code}]({url})")),
            Format::Gogs => json(&label),
        }
    }

    fn label(self, text: &str) -> String {
        match self {
            Format::Slack => slack_plain(text),
            // Discord shows a link as bare source when its label looks like another URL.
            Format::Discord => discord_plain(&text.replace("://", ":\u{2060}//")),
            Format::Gogs => text.to_owned(),
        }
    }

    /// The URL so that it cannot end the link early; empty if it is not http or https.
    fn url(self, url: &str) -> String {
        let url = url.trim();
        if !starts_like_url(url) {
            return String::new();
        }
        let mut safe = String::with_capacity(url.len());
        for character in url.chars() {
            let breaks = match character {
                '<' | '>' | '"' | '|' | '\\' | '`' | '^' | '{' | '}' => true,
                '(' | ')' => self == Format::Discord,
                _ => {
                    character.is_whitespace()
                        || character.is_control()
                        || is_bidi(character)
                        || is_reserved(character)
                }
            };
            match character {
                '&' if self == Format::Slack => safe.push_str("&amp;"),
                _ if breaks => percent(&mut safe, character),
                _ => safe.push(character),
            }
        }
        safe
    }
}

/// As much of a text as any chat service could show, and a little more, so that it is seen to be
/// cut: a body of ten megabytes is not worth escaping whole.
fn bounded(text: &str) -> &str {
    const MOST: usize = 50_000;
    if text.len() <= MOST {
        return text;
    }
    let end = text
        .char_indices()
        .nth(MOST)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// How the label of a link is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Shown as it stands.
    Plain,
    /// With the service's formatting, as in `raw`.
    Raw,
    /// As code, for hashes.
    Code,
}

/// The text as the inside of a JSON string.
pub(super) fn json(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\u{0}'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ok = write!(written, "\\u{:04x}", u32::from(character));
            }
            _ => written.push(character),
        }
    }
    written
}

/// The reference's path as part of a URL: percent-encoded, slashes kept.
pub(super) fn path_of_reference(reference: &str) -> String {
    let mut path = String::with_capacity(reference.len());
    for character in reference.chars() {
        match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~' | '/' => path.push(character),
            _ => percent(&mut path, character),
        }
    }
    path
}

fn percent(written: &mut String, character: char) {
    if is_reserved(character) {
        return;
    }
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        let _ok = write!(written, "%{byte:02X}");
    }
}

fn slack_entities(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            _ if is_reserved(character) => {}
            _ => written.push(character),
        }
    }
    written
}

fn slack_plain(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    walk(
        text,
        "&amp;",
        &mut written,
        |written, character, before, after| {
            match character {
                '&' => written.push_str("&amp;"),
                '<' => written.push_str("&lt;"),
                '>' => written.push_str("&gt;"),
                // Slack formats a run that a mark opens at the start of a word.
                '*' | '_' | '~' | '`'
                    if !before.is_some_and(char::is_alphanumeric)
                        && after
                            .chars()
                            .next()
                            .is_some_and(|next| !next.is_whitespace()) =>
                {
                    written.push(character);
                    written.push(MARK);
                }
                '@' if names_everybody(after) => {
                    written.push('@');
                    written.push(ZERO_WIDTH_SPACE);
                }
                _ => written.push(character),
            }
        },
    );
    written
}

fn discord_plain(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    walk(
        text,
        "&",
        &mut written,
        |written, character, before, after| {
            let opens_line = before.is_none_or(|before| before == '\n');
            match character {
                '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '(' | ')' | '<' | '>' => {
                    written.push(MARK);
                }
                '#' | '-' | '+' if opens_line => written.push(MARK),
                '.' if before.is_some_and(|before| before.is_ascii_digit()) => written.push(MARK),
                _ => {}
            }
            written.push(character);
            if character == '@' && names_everybody(after) {
                written.push(ZERO_WIDTH_SPACE);
            }
        },
    );
    written
}

/// Keeps Markdown but for what reaches people or hides where a link goes.
pub(super) fn discord_raw(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if is_reserved(character) {
            continue;
        }
        let after = &text[at + character.len_utf8()..];
        if at == 0 && character == '(' && starts_like_target(after) {
            written.push(ZERO_WIDTH_SPACE);
        }
        written.push(character);
        let breaks = match character {
            '<' => after.starts_with(['@', '#']),
            ']' => after.strip_prefix('(').is_some_and(starts_like_target),
            _ => false,
        };
        if breaks {
            written.push(ZERO_WIDTH_SPACE);
        }
    }
    written
}

/// Goes over the text without what is invisible and harmful, and copies URLs as they stand but
/// for their ampersands: no service formats inside them, and an escape there would lead elsewhere.
fn walk(
    text: &str,
    ampersand: &str,
    written: &mut String,
    mut each: impl FnMut(&mut String, char, Option<char>, &str),
) {
    let mut before: Option<char> = None;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        if character == 'h' && starts_like_url(rest) && !before.is_some_and(char::is_alphanumeric) {
            let (url, behind) = rest.split_at(end_of_url(rest));
            written.push_str(&url.replace('&', ampersand));
            before = url.chars().next_back();
            rest = behind;
            continue;
        }
        let shown = match character {
            '\r' if after.starts_with('\n') => None,
            '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
            '\n' | '\t' => Some(character),
            _ if is_reserved(character) => None,
            _ if character.is_control() || is_bidi(character) => None,
            _ => Some(character),
        };
        if let Some(shown) = shown {
            each(written, shown, before, after);
            before = Some(shown);
        }
        rest = after;
    }
}

fn end_of_url(text: &str) -> usize {
    let ends = |(at, character): (usize, char)| match character {
        '@' => names_everybody(&text[at + 1..]),
        _ => !character.is_alphanumeric() && !"-._~:/?#!$&'*+,;=%".contains(character),
    };
    text.char_indices()
        .find(|found| ends(*found))
        .map_or(text.len(), |(at, _)| at)
}

fn starts_like_url(text: &str) -> bool {
    let starts = |scheme: &str| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts("https://") || starts("http://")
}

/// Whether a link's target could begin here: `<`, then a scheme and a colon.
fn starts_like_target(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\n', '<', MARK]);
    let scheme = text.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    scheme.is_some_and(|end| end > 0 && text[end..].starts_with(':'))
}

/// Whether what follows an `@` makes it reach a whole channel, on Discord, Slack or its kin.
fn names_everybody(after: &str) -> bool {
    ["everyone", "here", "channel", "all"].iter().any(|name| {
        after
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
            && !after[name.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
    })
}

/// The noncharacters that this program uses within itself.
fn is_reserved(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}')
}

/// Marks that reorder the text around them.
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slack(text: &str) -> String {
        Format::Slack.plain(text).replace(MARK, "^")
    }

    fn discord(text: &str) -> String {
        Format::Discord.plain(text).replace(MARK, "^")
    }

    #[test]
    fn slack_shows_control_sequences_and_formatting_as_text() {
        assert_eq!(
            slack("<!channel> & \"x\""),
            "&lt;!channel&gt; &amp; \\\"x\\\""
        );
        assert_eq!(slack("*b* snake_case _i_"), "*^b* snake_case _^i_");
        assert_eq!(
            slack("@channel a@here.b"),
            "@\u{200b}channel a@\u{200b}here.b"
        );
        assert_eq!(slack("a\u{1b}[31m\r\nb\u{202e}c"), "a[31m\\nbc");
        assert_eq!(slack("https://x/_a_?b&c"), "https://x/_a_?b&amp;c");
    }

    #[test]
    fn discord_shows_markdown_as_text() {
        assert_eq!(discord("[a](https://x_y)"), "^[a^]^(https://x_y^)");
        assert_eq!(discord("# a\n- b\n1. c #d"), "^# a\\n^- b\\n1^. c #d");
        assert_eq!(discord("<@1> \\"), "^<@1^> ^\\\\");
    }

    #[test]
    fn raw_keeps_formatting_but_neither_mentions_nor_masked_links() {
        let raw = discord_raw("**b** <@1> [x](y) [x](https://e) [x]( <https://e>)");
        let expected = "**b** <\u{200b}@1> [x](y) [x]\u{200b}(https://e) [x]\u{200b}( <https://e>)";
        assert_eq!(raw, expected);
        assert_eq!(Format::Slack.raw("*b* <!here>"), "*b* &lt;!here&gt;");
    }

    #[test]
    fn a_link_cannot_be_left_from_inside() {
        let slack = Format::Slack.link("a|<b>\nc", "https://h/x|y> z", Label::Plain);
        assert_eq!(slack, "<https://h/x%7Cy%3E%20z|a|&lt;b&gt; c>");
        let discord = Format::Discord.link("x](https://e)[y", "https://h/a)b", Label::Raw);
        assert_eq!(discord, "[x]\u{200b}(https://e)[y](https://h/a%29b)");
        assert_eq!(
            Format::Slack.link("x", "javascript:alert(1)", Label::Plain),
            "x"
        );
    }
}
