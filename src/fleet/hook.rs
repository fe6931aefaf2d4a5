//! A hook as Gogs' API shows it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// A hook of a repository. Gogs never shows its secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct RemoteHook {
    pub id: u64,
    /// `gogs`, `slack`, `discord` or `dingtalk`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `url` and `content_type`, and for Slack `channel`, `username`, `icon_url` and `color`.
    #[serde(default)]
    config: BTreeMap<String, String>,
    /// In Gogs' order; none at all is possible.
    #[serde(default)]
    pub events: Vec<String>,
    pub active: bool,
}

impl RemoteHook {
    /// Where it posts to, which for chat services is a password.
    pub fn url(&self) -> &str {
        self.setting("url").unwrap_or_default()
    }

    /// An entry of its configuration, unless it is empty.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let value = self.config.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for RemoteHook {
    /// Without its configuration: URLs of chat services are passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHook")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("events", &self.events)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}
