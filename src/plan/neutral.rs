//! What each service would act on in a text, found and kept from acting. Knows nothing of JSON.

use super::escape::{MARK, ZERO_WIDTH_SPACE};

pub(super) fn slack_entities(text: &str) -> String {
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

pub(super) fn slack_plain(text: &str) -> String {
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

/// For services whose Markdown knows the backslash: Discord and DingTalk.
pub(super) fn markdown_plain(text: &str) -> String {
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
    let text = text.replace(is_reserved, "");
    let mut written = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let after = &text[at + character.len_utf8()..];
        if at == 0 && character == '(' && starts_like_target(after) {
            written.push(ZERO_WIDTH_SPACE);
        }
        written.push(character);
        let breaks = match character {
            // What stands behind the end is not known here, and could be completed or unescaped.
            '\\' => after.is_empty(),
            '<' => after.is_empty() || after.starts_with(['@', '#']),
            ']' => after.strip_prefix('(').is_some_and(starts_like_target),
            _ => false,
        };
        if breaks {
            written.push(ZERO_WIDTH_SPACE);
        }
    }
    written
}

/// The same for DingTalk, which takes HTML and named links as well.
pub(super) fn dingtalk_raw(text: &str) -> String {
    let kept = discord_raw(text);
    let mut written = String::with_capacity(kept.len());
    for (at, character) in kept.char_indices() {
        written.push(character);
        let after = &kept[at + character.len_utf8()..];
        let breaks = match character {
            '<' => {
                after.starts_with(|next: char| next.is_ascii_alphabetic() || "/!?".contains(next))
            }
            ']' => after.is_empty() || after.starts_with([':', '[']),
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

/// Whether the text begins as an address of the web does.
pub(super) fn starts_like_url(text: &str) -> bool {
    let starts = |scheme: &str| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts("https://") || starts("http://")
}

/// Whether a link's target could begin here: `<`, then a scheme and a colon, or the end, behind
/// which the rest of one may stand.
fn starts_like_target(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\n', '<', MARK]);
    let scheme = text.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    scheme.is_none_or(|end| end > 0 && text[end..].starts_with(':'))
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
pub(super) fn is_reserved(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}')
}

/// Marks that reorder the text around them.
pub(super) fn is_bidi(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
