//! Cuts text to a limit without leaving half of anything behind.

use crate::plan::escape::Format;

/// Cuts `text` to at most `limit` UTF-16 units (the unit that satisfies what is known of both
/// services), the last of them `…`. Escapes, links and joined characters stay whole or go whole.
pub(super) fn cut(text: &mut String, limit: usize, format: Format) {
    // A UTF-8 byte is never less than a UTF-16 unit.
    if text.len() <= limit || length(text) <= limit {
        return;
    }
    let mut kept = keep(text, limit.saturating_sub(1), format);
    if text[..kept].matches("```").count() % 2 == 1 {
        kept = keep(text, limit.saturating_sub(5), format);
    }
    let open_fence = text[..kept].matches("```").count() % 2 == 1;
    text.truncate(kept);
    text.truncate(text.trim_end().len());
    if limit > 0 {
        text.push('…');
    }
    if open_fence && limit > 4 {
        text.push_str("\n```");
    }
}

/// How long a text is in UTF-16 units.
pub(super) fn length(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.chars().map(char::len_utf16).sum(),
    }
}

/// The end, in bytes, of the longest run of whole units that is not longer than `limit`.
fn keep(text: &str, limit: usize, format: Format) -> usize {
    let mut end = 0;
    let mut used = 0;
    while end < text.len() {
        let unit = unit(&text[end..], format);
        used += length(&text[end..end + unit]);
        if used > limit {
            break;
        }
        end += unit;
    }
    end
}

/// The length in bytes of what must stay together at the start of `text`.
fn unit(text: &str, format: Format) -> usize {
    let special = match (format, text.as_bytes()[0]) {
        (Format::Slack, b'&') => ["&amp;", "&lt;", "&gt;"]
            .iter()
            .find(|entity| text.starts_with(**entity))
            .map(|entity| entity.len()),
        (Format::Slack | Format::Discord | Format::DingTalk, b'<') => enclosed(text, ">"),
        (Format::Discord | Format::DingTalk, b'[') => link(text),
        (Format::Discord | Format::DingTalk, b'\\') => {
            text[1..].chars().next().map(|next| 1 + next.len_utf8())
        }
        _ => None,
    };
    special.unwrap_or_else(|| character(text))
}

/// What of the line could be one link: far enough for any real one, so that many openings without
/// an end do not make cutting slow.
fn ahead(text: &str) -> &str {
    const FARTHEST: usize = 4096;
    let near = &text[..text.floor_char_boundary(FARTHEST)];
    near.split('\n').next().unwrap_or_default()
}

fn enclosed(text: &str, end: &str) -> Option<usize> {
    let line = ahead(text);
    line.find(end).map(|at| at + end.len())
}

/// The length of the masked link that begins here.
fn link(text: &str) -> Option<usize> {
    let line = ahead(text);
    let middle = line.find("](")?;
    line[middle..].find(')').map(|at| middle + at + 1)
}

/// The length of the character that begins here, with all that joins it.
fn character(text: &str) -> usize {
    let mut characters = text.chars();
    let mut last = characters.next().unwrap_or_default();
    let mut end = last.len_utf8();
    let is_flag = |character| matches!(character, '\u{1f1e6}'..='\u{1f1ff}');
    let mut may_pair = is_flag(last);
    for next in characters {
        let joins = last == '\u{200d}' || is_joined(next) || (may_pair && is_flag(next));
        if !joins {
            break;
        }
        may_pair = false;
        end += next.len_utf8();
        last = next;
    }
    end.max(1)
}

fn is_joined(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, text: &str, limit: usize, expected: &str) {
        let mut text = text.to_owned();
        cut(&mut text, limit, format);
        assert_eq!(text, expected);
        assert!(length(&text) <= limit);
    }

    #[test]
    fn nothing_is_cut_in_half() {
        check(Format::Slack, "ab&amp;cd", 6, "ab…");
        check(Format::Slack, "ab&amp;cd", 9, "ab&amp;cd");
        check(Format::Slack, "see <https://h|label> now", 12, "see…");
        check(Format::Discord, "a\\*b", 3, "a…");
        check(Format::Discord, "to [label](https://h) x", 20, "to…");
        check(Format::Discord, "😀😀😀", 5, "😀😀…");
        check(Format::Discord, "e\u{301}e\u{301}e\u{301}", 4, "e\u{301}…");
        check(Format::Discord, "👩‍🚀👩‍🚀", 8, "👩‍🚀…");
    }

    #[test]
    fn a_code_block_that_was_cut_is_closed() {
        check(
            Format::Discord,
            "```\nabcdefghijkl\n```",
            14,
            "```\nabcde…\n```",
        );
    }
}
