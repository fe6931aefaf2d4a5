//! What the hub's readers are as destinations.

use secrecy::SecretString;

use super::{SecretUrl, exposed};
use crate::hook::Form;

/// A reader that subscribed to a topic of the hub.
#[derive(Clone, Debug)]
pub struct WebSub {
    pub url: SecretUrl,
    pub secret: Option<SecretString>,
    /// The URL of the topic, which each request tells.
    pub topic: String,
    pub form: Form,
}

impl PartialEq for WebSub {
    fn eq(&self, other: &WebSub) -> bool {
        let WebSub {
            url,
            secret,
            topic,
            form,
        } = self;
        *url == other.url
            && exposed(secret.as_ref()) == exposed(other.secret.as_ref())
            && *topic == other.topic
            && *form == other.form
    }
}

/// The hash that a subscriber's deliveries are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Method {
    /// As relay.yaml and `X-Hub-Signature` name it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Sha1 => "sha1",
            Method::Sha256 => "sha256",
            Method::Sha384 => "sha384",
            Method::Sha512 => "sha512",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Method> {
        let all = [Method::Sha1, Method::Sha256, Method::Sha384, Method::Sha512];
        all.into_iter().find(|method| method.name() == text)
    }
}
