//! The member `secret` of payloads of Gogs up to 0.9: finds it, and takes it out leaving every
//! other byte as it was.

use bytes::Bytes;

use super::members;

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
    let mut json = json;
    while let Some(without) = remove_one(&json) {
        json = without;
    }
    json
}

fn remove_one(json: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(json).ok()?;
    let mut value = None;
    let walked = members::walk(text, |name, found| {
        if name == b"secret" {
            let start = found.get().as_ptr().addr() - text.as_ptr().addr();
            value = Some((start, start + found.get().len()));
        }
    });
    walked.ok()?;
    let (start, end) = value?;
    // The name holds no quote however it is written, so the two quotes before the value are its.
    let close = text[..start].rfind('"')?;
    let open = text[..close].rfind('"')?;
    let after = text[end..].trim_start_matches([' ', '\t', '\r', '\n']);
    let (before, after) = match after.strip_prefix(',') {
        Some(after) => (
            &text[..open],
            after.trim_start_matches([' ', '\t', '\r', '\n']),
        ),
        // It was the last one: what it leaves behind must not end in a comma.
        None => (
            text[..open].trim_end_matches([' ', '\t', '\r', '\n', ',']),
            &text[end..],
        ),
    };
    Some(Bytes::from([before, after].concat()))
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
        check(r#"{"a":1 , "secret" : "s" }"#, Some("s"), r#"{"a":1 }"#);
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
