//! Mends JSON text that serde refuses: halves of surrogate pairs as `\ud800` escapes.

use std::borrow::Cow;

/// Replaces each lone surrogate escape (`\ud800` without its other half) by `\ufffd`, which has
/// the same length. Everything else stays byte for byte, so text without one is only borrowed.
pub fn mend_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    // Hardly any payload has one; looking for a text is many times faster than the walk below.
    if let Ok(text) = std::str::from_utf8(json)
        && !text.contains("\\ud")
        && !text.contains("\\uD")
    {
        return Cow::Borrowed(json);
    }
    let mut mended = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(offset) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += offset;
        let (lone, length) = match (unit(json, at), unit(json, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (false, 12),
            (Some(0xd800..=0xdfff), _) => (true, 6),
            (Some(_), _) => (false, 6),
            (None, _) => (false, 2),
        };
        if lone {
            mended.to_mut()[at + 2..at + 6].copy_from_slice(b"fffd");
        }
        at = (at + length).min(json.len());
    }
    mended
}

/// The UTF-16 unit that the escape at `at` stands for, if there is one.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::mend_surrogates;

    fn check(json: &str, mended: &str) {
        assert_eq!(mend_surrogates(json.as_bytes()), mended.as_bytes());
    }

    #[test]
    fn only_lone_halves_are_replaced() {
        check(r#""\ud83d\ude00 \ud800 x""#, r#""\ud83d\ude00 \ufffd x""#);
        check(
            r#""\udc00\ud800\ud83d\ude00""#,
            r#""\ufffd\ufffd\ud83d\ude00""#,
        );
        check(r#""\uD83D \uDC00""#, r#""\ufffd \ufffd""#);
        check(r#""\\ud800 \\\ud800""#, r#""\\ud800 \\\ufffd""#);
        check(r#""\ud8"#, r#""\ud8"#);
        check(r#""\"#, r#""\"#);
    }
}
