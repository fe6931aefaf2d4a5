//! Writes untrusted text so that a service shows it and does nothing else with it.
//!
//! Besides JSON's own escapes this leaves [`MARK`] before each character that the service would
//! take for formatting. What the mark becomes is decided where the place in the message is known:
//! in `fit`, a backslash or an invisible space where formatting works, nothing where it does not.

use std::borrow::Cow;
use std::fmt::Write;

use super::neutral::{
    dingtalk_raw, discord_raw, is_bidi, is_reserved, markdown_plain, slack_entities, slack_plain,
    starts_like_url,
};

/// Stands before a character that must not act as formatting; a noncharacter, so that no real
/// text holds it. It is taken out of everything that comes from outside.
pub(super) const MARK: char = '\u{fdd0}';

/// Invisible, and enough to keep `@` and `everyone` apart.
pub(super) const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Neither service takes a longer one.
const LONGEST_URL: usize = 2048;

/// Whose rules the text of a template follows: one for each folder of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Format {
    Slack,
    Discord,
    DingTalk,
    Gogs,
}

impl Format {
    pub(super) const ALL: [Format; 4] = [
        Format::Slack,
        Format::Discord,
        Format::DingTalk,
        Format::Gogs,
    ];

    /// As the folder is named.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Format::Slack => "slack",
            Format::Discord => "discord",
            Format::DingTalk => "dingtalk",
            Format::Gogs => "gogs",
        }
    }

    /// `{{x}}`: shown as it stands. No formatting, no mention, no link.
    pub(super) fn plain(self, text: &str) -> String {
        if text.bytes().all(|byte| self.is_harmless(byte)) {
            return bounded(text).to_owned();
        }
        match self {
            Format::Slack => json(slack_plain(bounded(text))),
            Format::Discord | Format::DingTalk => json(markdown_plain(bounded(text))),
            Format::Gogs => json(text.to_owned()),
        }
    }

    /// `{{raw x}}`: keeps the service's formatting, but neither mentions nor masked links.
    pub(super) fn raw(self, text: &str) -> String {
        json(self.raw_text(text))
    }

    /// Whether a byte means nothing to JSON or the service wherever it stands.
    fn is_harmless(self, byte: u8) -> bool {
        match self {
            Format::Slack => {
                matches!(byte, b' '..=b'~')
                    && !matches!(byte, b'"' | b'\\' | b'&' | b'<' | b'>')
                    && !matches!(byte, b'*' | b'_' | b'~' | b'`' | b'@')
            }
            Format::Discord | Format::DingTalk => {
                byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b',' | b'/')
            }
            Format::Gogs => false,
        }
    }

    fn raw_text(self, text: &str) -> String {
        if text.bytes().all(|byte| self.is_harmless(byte)) {
            return bounded(text).to_owned();
        }
        match self {
            Format::Slack => slack_entities(bounded(text)),
            Format::Discord => discord_raw(bounded(text)),
            Format::DingTalk => dingtalk_raw(bounded(text)),
            Format::Gogs => text.to_owned(),
        }
    }

    /// `{{link label url}}`. A URL that is not http or https leaves the label alone.
    pub(super) fn link(self, label: &str, url: &str, style: Label) -> String {
        let url = self.url(url);
        let shown = if label.trim().is_empty() { &url } else { label };
        let mut one_line = Cow::Borrowed(bounded(shown));
        if one_line.contains(['\n', '\r']) {
            one_line = one_line.replace(['\n', '\r'], " ").into();
        }
        let label = match style {
            Label::Plain => self.label(&one_line),
            Label::Raw => self.raw_text(&one_line),
            Label::Code => self.label(&one_line.replace(['`', '[', ']', '\\'], "")),
        };
        if url.is_empty() {
            return json(label);
        }
        let code = if style == Label::Code { "`" } else { "" };
        match self {
            Format::Slack => json([code, "<", &url, "|", &label, ">", code].concat()),
            Format::Discord => json(["[", code, &label, code, "](", &url, ")"].concat()),
            // It knows no code.
            Format::DingTalk => json(["[", &label, "](", &url, ")"].concat()),
            Format::Gogs => json(label),
        }
    }

    fn label(self, text: &str) -> String {
        if text.bytes().all(|byte| self.is_harmless(byte)) {
            return text.to_owned();
        }
        match self {
            Format::Slack => slack_plain(text),
            // Discord shows a link as bare source when its label looks like another URL.
            Format::Discord => markdown_plain(&text.replace("://", ":\u{2060}//")),
            Format::DingTalk => markdown_plain(text),
            Format::Gogs => text.to_owned(),
        }
    }

    /// The URL so that it cannot end the link early; empty if it is none that anybody would take.
    fn url(self, url: &str) -> String {
        let url = url.trim();
        if !starts_like_url(url) || url.len() > LONGEST_URL {
            return String::new();
        }
        let is_clean = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:?#=%".contains(&byte);
        if url.bytes().all(is_clean) {
            return url.to_owned();
        }
        let mut safe = String::with_capacity(url.len());
        for character in url.chars() {
            let breaks = match character {
                '<' | '>' | '"' | '|' | '\\' | '`' | '^' | '{' | '}' => true,
                '(' | ')' => matches!(self, Format::Discord | Format::DingTalk),
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
pub(super) fn json(text: String) -> String {
    if !text
        .bytes()
        .any(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\'))
    {
        return text;
    }
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
    fn the_end_of_a_raw_text_joins_nothing_that_stands_behind_it() {
        for (end, kept) in [
            ("a <", "a <"),
            ("a \\", "a \\"),
            ("[x]", "[x]"),
            ("[x](", "[x]"),
            ("[x](htt", "[x]"),
        ] {
            let raw = dingtalk_raw(end);
            assert_eq!(raw.replacen('\u{200b}', "", 1), end);
            assert!(raw.starts_with(&format!("{kept}\u{200b}")), "{raw:?}");
        }
    }

    #[test]
    fn what_is_taken_out_of_a_raw_text_hides_nothing() {
        assert_eq!(discord_raw("<\u{fdd0}@1>"), "<\u{200b}@1>");
        assert_eq!(
            discord_raw("[x]\u{fdd1}(https://e)"),
            "[x]\u{200b}(https://e)"
        );
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
