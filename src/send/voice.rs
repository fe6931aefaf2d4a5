//! How the hub speaks of itself and of its topics in what it sends. Pure.

use hyper::header::HeaderValue;
use url::Url;

use crate::destination::{ContentType, GitHub, Method};

/// What receivers are told of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// Where the outside reaches us.
    pub public_url: &'a Url,
    /// What deliveries to WebSub's readers are signed with.
    pub signature: Method,
}

impl Voice<'_> {
    /// The value of `Link` for a topic: its hub and itself. `None` when a header cannot carry it.
    pub fn link(&self, topic: &str) -> Option<HeaderValue> {
        link(self.public_url.as_str(), topic)
    }

    /// The URL of the topic that a GitHub hook gets with an event of this name.
    pub fn topic(&self, to: &GitHub, event: &str) -> Option<String> {
        let (owner, name) = to.repository.split_once('/')?;
        let suffix = match to.content_type {
            ContentType::Json => ".json",
            ContentType::Form => "",
        };
        let mut url = self.public_url.clone();
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        path.extend([owner, name, "events", &format!("{event}{suffix}")]);
        drop(path);
        Some(url.into())
    }
}

/// The same for a hub that is found below `base`.
pub fn link(base: &str, topic: &str) -> Option<HeaderValue> {
    let base = base.trim_end_matches('/');
    let value = format!("<{base}/hub>; rel=\"hub\", <{topic}>; rel=\"self\"");
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::SecretUrl;

    #[test]
    fn a_topic_is_told_below_the_public_url_in_the_form_that_the_hook_gets() {
        let public_url = Url::parse("https://hooks.example.org/relay/").unwrap();
        let voice = Voice {
            public_url: &public_url,
            signature: Method::Sha256,
        };
        let mut to = GitHub {
            url: SecretUrl::parse("http://127.0.0.1:9/hook").unwrap(),
            secret: None,
            content_type: ContentType::Json,
            insecure_ssl: false,
            hook: 1,
            repository: "ana/my boat".to_owned(),
        };
        let base = "https://hooks.example.org/relay";
        let topic = voice.topic(&to, "push").unwrap();
        assert_eq!(topic, format!("{base}/ana/my%20boat/events/push.json"));
        to.content_type = ContentType::Form;
        let topic = voice.topic(&to, "push").unwrap();
        assert_eq!(topic, format!("{base}/ana/my%20boat/events/push"));
        assert_eq!(
            voice.link(&topic).unwrap(),
            format!("<{base}/hub>; rel=\"hub\", <{topic}>; rel=\"self\"")
        );
    }
}
