//! Takes the JSON text out of an `application/x-www-form-urlencoded` body. Keeps bytes as they
//! are: whether they are text is for `decode` to judge, after the signature over them.

use bytes::Bytes;

/// Why a form has no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("the form has no field named payload")]
    NoPayload,
    #[error("the form has more than one field named payload")]
    TwoPayloads,
    #[error("the form is not url-encoded")]
    NotEncoded,
}

/// The one field `payload` of a form, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    encoded: &'a [u8],
    decoded_len: usize,
}

impl<'a> Payload<'a> {
    /// Finds the field. It may stand anywhere among others.
    ///
    /// # Errors
    /// There is not exactly one, or a `%` in a name or in it is not followed by two hex digits.
    pub fn find(form: &'a [u8]) -> Result<Payload<'a>, FormError> {
        let mut found = None;
        for field in form.split(|&byte| byte == b'&') {
            let end = field.iter().position(|&byte| byte == b'=');
            let (name, value) = field.split_at(end.unwrap_or(field.len()));
            decoded_len(name)?;
            if !decoded(name).eq(b"payload".iter().copied()) {
                continue;
            }
            let encoded = value.get(1..).unwrap_or_default();
            let payload = Payload {
                encoded,
                decoded_len: decoded_len(encoded)?,
            };
            if found.replace(payload).is_some() {
                return Err(FormError::TwoPayloads);
            }
        }
        found.ok_or(FormError::NoPayload)
    }

    /// How long [`decode`](Payload::decode)'s answer is, in bytes.
    pub fn decoded_len(&self) -> usize {
        self.decoded_len
    }

    /// Writes the JSON text that was encoded into the start of `into`, which must have room for
    /// [`decoded_len`](Payload::decoded_len) bytes.
    pub fn decode_into(&self, into: &mut [u8]) {
        for (to, from) in into.iter_mut().zip(decoded(self.encoded)) {
            *to = from;
        }
    }

    /// The JSON text that was encoded.
    pub fn decode(&self) -> Bytes {
        let mut json = vec![0; self.decoded_len];
        self.decode_into(&mut json);
        Bytes::from(json)
    }
}

fn decoded_len(encoded: &[u8]) -> Result<usize, FormError> {
    let mut escapes = 0;
    let mut rest = encoded;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let [_, high, low, after @ ..] = &rest[at..] else {
            return Err(FormError::NotEncoded);
        };
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            return Err(FormError::NotEncoded);
        }
        escapes += 1;
        rest = after;
    }
    Ok(encoded.len() - 2 * escapes)
}

/// Decodes what `decoded_len` has found sound.
fn decoded(encoded: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = encoded.iter();
    std::iter::from_fn(move || {
        Some(match bytes.next()? {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()) << 4 | hex_digit(bytes.next()),
            plain => *plain,
        })
    })
}

fn hex_digit(digit: Option<&u8>) -> u8 {
    match digit {
        Some(digit @ b'0'..=b'9') => digit - b'0',
        Some(digit) => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(form: &str) -> Result<Bytes, FormError> {
        Payload::find(form.as_bytes()).map(|payload| payload.decode())
    }

    #[test]
    fn a_payload_is_found_among_other_fields_and_decoded() {
        assert_eq!(payload("payload=%7B%7d").unwrap(), "{}");
        assert_eq!(payload("a=1&&payload=+x%2B%26%3d=&b").unwrap(), " x+&==");
        assert_eq!(payload("%70ayload=x").unwrap(), "x");
        assert_eq!(payload("payload").unwrap(), "");
        assert_eq!(payload("payload=%ff").unwrap(), &b"\xff"[..]);
    }

    #[test]
    fn a_form_without_exactly_one_sound_payload_is_refused() {
        assert_eq!(payload(""), Err(FormError::NoPayload));
        assert_eq!(payload("{}"), Err(FormError::NoPayload));
        assert_eq!(payload("Payload=1"), Err(FormError::NoPayload));
        assert_eq!(payload("payload=1&payload=1"), Err(FormError::TwoPayloads));
        for broken in ["payload=%", "payload=%7", "payload=%zz", "payload=%+1"] {
            assert_eq!(payload(broken), Err(FormError::NotEncoded), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_encoded_comes_back(bytes: Vec<u8>) {
            let mut form = String::from("payload=");
            form.extend(form_urlencoded::byte_serialize(&bytes));
            let found = Payload::find(form.as_bytes()).unwrap();
            prop_assert_eq!(found.decoded_len(), bytes.len());
            prop_assert_eq!(found.decode(), bytes);
        }
    }
}
