//! Walks the members of one JSON object without parsing their values. Accepts every text that
//! RFC 8259 allows, lone surrogates in escapes among it, which are no Rust strings.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Longer texts and names than any that routing looks at are passed over unread, so that a body
/// never takes its own size again in memory; in bytes, as written.
const LONGEST: usize = 8 * 1024;

/// Calls `each` with the name and the unparsed value of every member, in order.
///
/// # Errors
/// The text is not one JSON object.
pub(super) fn walk<'a>(
    json: &'a str,
    mut each: impl FnMut(&[u8], &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let walk = Walk(|name: &[u8], value| {
        each(name, value);
        ControlFlow::Continue(())
    });
    deserializer.deserialize_map(walk)?;
    deserializer.end()
}

/// The same for a value within, until `each` says that it has seen enough. A value that is no
/// object has no members.
pub(super) fn of<'a>(
    value: &'a RawValue,
    mut each: impl FnMut(&[u8], &'a RawValue) -> ControlFlow<()>,
) {
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    let walk = Walk(|name: &[u8], value| each(name, value));
    // It has been read once as JSON, so all that can be wrong with it is that it is no object, or
    // goes on after enough was seen.
    deserializer.deserialize_map(walk).unwrap_or_default();
}

/// What the value is as text: a string decoded, with U+FFFD for what is no character; anything
/// else, or a string over 8 KiB, is `None`.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = value.get();
    if quoted.len() > LONGEST {
        return None;
    }
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let Name(bytes) = serde_json::from_str(quoted).ok()?;
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Walk<F>(F);

impl<'de, F: FnMut(&[u8], &'de RawValue) -> ControlFlow<()>> Visitor<'de> for Walk<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            if (self.0)(&name, members.next_value()?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A string as bytes: `serde_json` refuses lone surrogates in strings, but not in byte strings.
struct Name<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        deserializer.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(bytes[..bytes.len().min(LONGEST)].to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order_with_lone_surrogates_and_repeats() {
        let mut seen = Vec::new();
        let json = r#" {"a":"x\ud800y" , "\udfff": {"\ud800":[1e999]}, "a":null} "#;
        walk(json, |name, value| {
            seen.push((String::from_utf8_lossy(name).into_owned(), text(value)));
        })
        .unwrap();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[0].0, "a");
        assert_eq!(seen[0].1.as_deref(), Some("x\u{fffd}\u{fffd}\u{fffd}y"));
        assert_eq!(seen[1].1, None);
        assert_eq!((seen[2].0.as_str(), &seen[2].1), ("a", &None));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for json in ["", "[]", "{", "{}{}", "{\"a\"}", "{\"a\":\"\u{1}\"}", "{,}"] {
            assert!(walk(json, |_, _| {}).is_err(), "{json}");
        }
    }
}
