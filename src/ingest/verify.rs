//! Whether a request comes from someone who knows the source's secret. The only place that builds
//! a [`Verified`].

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac};
use hyper::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::Sha256;

use super::body_secret;
use super::form::Payload;
use crate::config::Source;
use crate::destination::ContentType;
use crate::queue::Repeats;

/// So many former secrets are remembered.
const MOST_OLD_KEYS: usize = 8;

/// A request whose sender is not known yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    pub headers: &'a HeaderMap,
    pub content_type: ContentType,
    /// The body as it came.
    pub raw: Bytes,
    /// The JSON text: the body itself, or the decoded `payload` of a form.
    pub json: Bytes,
}

/// A payload from someone who knows a secret of the source, or that came through a source that
/// asks for none. The headers beside it are not signed and prove nothing.
#[derive(Clone, Debug)]
pub struct Verified {
    source: Arc<str>,
    json: Bytes,
}

impl Verified {
    /// The source's name and the JSON text as it was signed, without the member `secret` where
    /// the source takes that.
    pub fn into_parts(self) -> (Arc<str>, Bytes) {
        (self.source, self.json)
    }
}

/// Why a request is not verified. Says which check failed, never what would have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("no signature")]
    Missing,
    #[error("the signature header is empty")]
    Empty,
    #[error("only a sha1 signature")]
    OnlySha1,
    #[error("the signature is over the form as a whole")]
    SignsForm,
    #[error("the signature is over the payload of a form")]
    SignsPayload,
    #[error("the signature is made with an old secret")]
    OldSecret,
    #[error("the signature matches none of the source's secrets")]
    Wrong,
}

/// What a source asks of a request.
#[derive(Debug)]
pub struct Gate {
    name: Arc<str>,
    keys: Vec<Key>,
    /// What the source's secrets were before; they open nothing, but explain a refusal.
    old_keys: Vec<Key>,
    unsigned: bool,
    sha1: bool,
    body_secret: bool,
    repeats: Repeats,
}

impl Gate {
    pub fn new(name: Arc<str>, source: &Source) -> Gate {
        Gate {
            name,
            keys: source.secrets.iter().filter_map(Key::new).collect(),
            old_keys: Vec::new(),
            unsigned: source.unsigned,
            sha1: source.sha1,
            body_secret: source.body_secret,
            repeats: Repeats {
                redelivery: source.redelivery,
                same_body: source.same_body,
            },
        }
    }

    /// From now on a signature made with a secret that only `before` had is called an old one.
    pub fn succeed(&mut self, before: &Gate) {
        self.old_keys.clear();
        for old in before.keys.iter().chain(&before.old_keys) {
            let mut known = self.keys.iter().chain(&self.old_keys);
            if self.old_keys.len() < MOST_OLD_KEYS && known.all(|key| key.own != old.own) {
                self.old_keys.push(old.clone());
            }
        }
    }

    /// The source's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How a repeated delivery is treated.
    pub fn repeats(&self) -> Repeats {
        self.repeats
    }

    /// Tries every signature against every secret; one match suffices.
    ///
    /// # Errors
    /// None matched, or there was none.
    pub fn verify(&self, request: &Unverified<'_>) -> Result<Verified, Mismatch> {
        let claims = Claims::read(request.headers, self.sha1);
        let known = self.unsigned
            || claims.match_any(&self.keys, &request.json, &request.raw)
            || (self.body_secret && self.knows_body_secret(&request.json));
        if !known {
            return Err(self.explain(&claims, request));
        }
        let json = if self.body_secret {
            body_secret::remove(request.json.clone())
        } else {
            request.json.clone()
        };
        Ok(Verified {
            source: self.name.clone(),
            json,
        })
    }

    fn knows_body_secret(&self, json: &[u8]) -> bool {
        let Some(claimed) = body_secret::find(json) else {
            return false;
        };
        self.keys.iter().any(|key| key.is(claimed.as_bytes()))
    }

    fn explain(&self, claims: &Claims<'_>, request: &Unverified<'_>) -> Mismatch {
        let Unverified { raw, json, .. } = request;
        if let Some(why) = claims.absent {
            return why;
        }
        if claims.match_any(&self.old_keys, json, raw) {
            return Mismatch::OldSecret;
        }
        match request.content_type {
            ContentType::Form if claims.match_any(&self.keys, raw, json) => Mismatch::SignsForm,
            ContentType::Json => match Payload::find(raw) {
                Ok(payload) if claims.match_any(&self.keys, &payload.decode(), raw) => {
                    Mismatch::SignsPayload
                }
                _ => Mismatch::Wrong,
            },
            ContentType::Form => Mismatch::Wrong,
        }
    }
}

/// The signatures that a request carries, in hex.
struct Claims<'a> {
    /// `X-Gogs-Signature`: over the JSON text.
    gogs: Option<&'a str>,
    /// `X-Hub-Signature-256`: over the body as it came.
    hub: Option<&'a str>,
    /// `X-Hub-Signature`, where the source takes sha1: over the body as it came.
    hub_sha1: Option<&'a str>,
    /// When there is none of them.
    absent: Option<Mismatch>,
}

impl<'a> Claims<'a> {
    fn read(headers: &'a HeaderMap, sha1: bool) -> Claims<'a> {
        let text = |name| {
            let value = headers.get(name)?.to_str().unwrap_or("?");
            Some(value.trim())
        };
        let gogs = text("x-gogs-signature");
        let hub = text("x-hub-signature-256");
        let hub_sha1 = text("x-hub-signature");
        let filled = |value: Option<&'a str>| value.filter(|value| !value.is_empty());
        let absent = match (filled(gogs), filled(hub), filled(hub_sha1)) {
            (None, None, Some(_)) if !sha1 => Some(Mismatch::OnlySha1),
            (None, None, None) if gogs.or(hub).or(hub_sha1).is_some() => Some(Mismatch::Empty),
            (None, None, None) => Some(Mismatch::Missing),
            _ => None,
        };
        Claims {
            gogs: filled(gogs),
            hub: filled(hub),
            hub_sha1: filled(hub_sha1).filter(|_| sha1),
            absent,
        }
    }

    /// Whether one of them is right under one of the keys, taken over these texts.
    fn match_any(&self, keys: &[Key], json: &[u8], raw: &[u8]) -> bool {
        keys.iter().any(|key| {
            self.gogs.is_some_and(|hex| key.signed_sha256(hex, json))
                || self.hub.is_some_and(|claim| {
                    let hex = claim.strip_prefix("sha256=");
                    hex.is_some_and(|hex| key.signed_sha256(hex, raw))
                })
                || self.hub_sha1.is_some_and(|claim| {
                    let hex = claim.strip_prefix("sha1=");
                    hex.is_some_and(|hex| key.signed_sha1(hex, raw))
                })
        })
    }
}

/// A secret, ready to check signatures with. Every comparison is [`Mac::verify_slice`], which
/// takes the same time whatever it finds.
#[derive(Clone)]
struct Key {
    sha256: Hmac<Sha256>,
    sha1: Hmac<Sha1>,
    /// The secret signed with itself, to compare secrets in constant time as well.
    own: Vec<u8>,
}

impl Key {
    /// `None` for an empty secret alone: HMAC takes a key of any other length.
    fn new(secret: &SecretString) -> Option<Key> {
        let secret = secret.expose_secret().as_bytes();
        if secret.is_empty() {
            return None;
        }
        let sha256 = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        let own = sha256.clone().chain_update(secret).finalize();
        Some(Key {
            sha256,
            sha1: Hmac::new_from_slice(secret).ok()?,
            own: own.into_bytes().to_vec(),
        })
    }

    fn signed_sha256(&self, hex: &str, message: &[u8]) -> bool {
        let mut signature = [0; 32];
        hex::decode_to_slice(hex, &mut signature).is_ok()
            && matches(self.sha256.clone(), message, &signature)
    }

    fn signed_sha1(&self, hex: &str, message: &[u8]) -> bool {
        let mut signature = [0; 20];
        hex::decode_to_slice(hex, &mut signature).is_ok()
            && matches(self.sha1.clone(), message, &signature)
    }

    fn is(&self, claimed: &[u8]) -> bool {
        matches(self.sha256.clone(), claimed, &self.own)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn matches(mac: impl Mac, message: &[u8], signature: &[u8]) -> bool {
    mac.chain_update(message).verify_slice(signature).is_ok()
}
