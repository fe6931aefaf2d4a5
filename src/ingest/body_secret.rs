//! The member `secret` of payloads of Gogs up to 0.9: finds it, and takes it out leaving every
//! other byte as it was.

use bytes::Bytes;

use super::members;

/// What JSON allows between its parts.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// The value of the payload's member `secret`; the last one, if it has several.
pub(super) fn find(json: &[u8]) -> Option<String> {
    let json = std::str::from_utf8(json).ok()?;
    let mut secret = None;
    let walked = members::walk(json, |name, value| {
        if name == b"secret" {
            secret = members::text(value).map(|text| text.into_owned());
        }
    });
    walked.ok().and(secret)
}

/// The payload without any member `secret`.
pub(super) fn remove(json: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&json) else {
        return json;
    };
    let mut values = Vec::new();
    let walked = members::walk(text, |name, value| {
        if name == b"secret" {
            let start = value.get().as_ptr().addr() - text.as_ptr().addr();
            values.push(start..start + value.get().len());
        }
    });
    if walked.is_err() || values.is_empty() {
        return json;
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = 0;
    for value in values {
        // The name holds no quote however it is written, so the two before the value are its.
        let mut quotes = text[..value.start].rmatch_indices('"');
        let open = quotes.nth(1).map_or(rest, |(at, _)| at);
        kept.push_str(&text[rest..open]);
        let after = text[value.end..].trim_start_matches(BLANKS);
        if let Some(next) = after.strip_prefix(',') {
            rest = text.len() - next.trim_start_matches(BLANKS).len();
        } else {
            // It was the last one, so what stays must not end in a comma.
            let end = kept.trim_end_matches(BLANKS).trim_end_matches(',').len();
            kept.truncate(end);
            rest = value.end;
        }
    }
    kept.push_str(&text[rest..]);
    Bytes::from(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &'static str, secret: Option<&str>, without: &str) {
        assert_eq!(find(json.as_bytes()).as_deref(), secret, "{json}");
        assert_eq!(
            remove(Bytes::from_static(json.as_bytes())),
            without,
            "{json}"
        );
    }

    #[test]
    fn the_secret_is_found_and_taken_out_and_all_else_stays() {
        check(
            "{\n  \"secret\": \"s3\",\n  \"ref\": \"x\"\n}",
            Some("s3"),
            "{\n  \"ref\": \"x\"\n}",
        );
        check(r#"{"a":1,"secret":"s"}"#, Some("s"), r#"{"a":1}"#);
        check(r#"{"a":1 , "secret" : "s" }"#, Some("s"), r#"{"a":1  }"#);
        check(r#"{"secret":"s"}"#, Some("s"), "{}");
        check(r#"{"\u0073ecret":"\"\\"}"#, Some("\"\\"), "{}");
        check(
            r#"{"secret":"1","x":{"secret":"y"},"secret":"2"}"#,
            Some("2"),
            r#"{"x":{"secret":"y"}}"#,
        );
        check(r#"{"secret":{"deep":["s"]},"b":2}"#, None, r#"{"b":2}"#);
        check(r#"{"a":"secret"}"#, None, r#"{"a":"secret"}"#);
        check("not json", None, "not json");
    }
}
