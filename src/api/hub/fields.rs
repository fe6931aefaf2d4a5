//! The fields of a request to the hub, in either of the two forms that clients send.

use std::borrow::Cow;

use bytes::Bytes;
use form_urlencoded::parse;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use multer::{Multipart, parse_boundary};

/// More fields than any request has that is meant.
const MOST: usize = 64;

/// Fields in their order.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The body is a form.
    pub(super) is_form: bool,
    pairs: Vec<(String, String)>,
}

impl Fields {
    /// Those of a body. There are none in one that is no form or broken.
    pub(super) async fn read(headers: &HeaderMap, body: &Bytes) -> Fields {
        let given = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let given = given.unwrap_or_default();
        if let Ok(boundary) = parse_boundary(given) {
            let pairs = multipart(body, boundary).await;
            return Fields {
                is_form: pairs.is_some(),
                pairs: pairs.unwrap_or_default(),
            };
        }
        let media = given.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Fields::default();
        }
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into(), value.into());
        Fields {
            is_form: true,
            pairs: parse(body).map(owned).take(MOST).collect(),
        }
    }

    /// The first value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of a field, if it is not empty.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of a field.
    pub(super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        let pairs = self.pairs.iter();
        pairs
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

async fn multipart(body: &Bytes, boundary: String) -> Option<Vec<(String, String)>> {
    let mut parts = Multipart::with_reader(&**body, boundary);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await.ok()? {
        if pairs.len() == MOST {
            break;
        }
        let name = part.name().unwrap_or_default().to_owned();
        pairs.push((name, part.text().await.ok()?));
    }
    Some(pairs)
}
