//! Where the relay's hook of a source leads, and by what such a hook is known among others.

use url::Url;

/// The fragment of a hook's URL, which is never sent, names its secret by a mark: `#secret-3f9ac`.
const PREFIX: &str = "secret-";

/// The address that a source's hooks have, and those that they had before.
#[derive(Clone, Debug)]
pub struct Address {
    /// With the mark.
    url: Url,
    former: Vec<Url>,
}

/// What a URL says of the secret that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// It is the one that is wanted.
    Right,
    /// It is another one.
    Other,
    /// Nothing.
    Not,
}

impl Address {
    /// `mark` is that of the secret to be used; `former` are earlier public URLs of the relay.
    pub fn new(public_url: &Url, source: &str, mark: Option<&str>, former: &[Url]) -> Address {
        let mut url = hook(public_url, source);
        let fragment = mark.map(|mark| format!("{PREFIX}{mark}"));
        url.set_fragment(fragment.as_deref());
        let former = former.iter().map(|base| hook(base, source)).collect();
        Address { url, former }
    }

    /// As a hook in Gogs has it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a hook with this URL is the relay's own: it leads to the same path of the same
    /// host and port, or to a former one. Scheme, query, fragment and needless slashes do not
    /// count, for they are what can be wrong with it.
    pub(super) fn owns(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else {
            return false;
        };
        let mut known = std::iter::once(&self.url).chain(&self.former);
        known.any(|own| is_same_place(own, &url))
    }

    /// What the URL of a hook that is the relay's own says of its secret.
    pub(super) fn marked(&self, url: &str) -> Marked {
        let fragment = url.split_once('#').map(|(_, fragment)| fragment);
        match fragment {
            same if same == self.url.fragment() => Marked::Right,
            Some(other) if other.starts_with(PREFIX) => Marked::Other,
            _ => Marked::Not,
        }
    }
}

fn hook(base: &Url, source: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    let path = base.path().trim_end_matches('/');
    url.set_path(&format!("{path}/hooks/{source}"));
    url
}

/// Ports that a URL leaves out are alike, so that a move from http to https is no move.
fn is_same_place(one: &Url, other: &Url) -> bool {
    let parts = |url: &Url| {
        let parts = url.path().split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    let is_web = matches!(other.scheme(), "http" | "https");
    is_web && one.host() == other.host() && one.port() == other.port() && parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        let former = [Url::parse("http://old.lan:8025").unwrap()];
        let public = Url::parse("https://relay.example/in/").unwrap();
        Address::new(&public, "gogs", Some("3f9ac"), &former)
    }

    #[test]
    fn own_hooks_are_known_by_host_port_and_path_alone() {
        for own in [
            "https://relay.example/in/hooks/gogs#secret-3f9ac",
            "http://relay.example/in/hooks/gogs",
            "https://RELAY.example:443/in//hooks/gogs/?x=1",
            "https://name:word@relay.example/in/hooks/gogs",
            "http://old.lan:8025/hooks/gogs#secret-00000",
        ] {
            assert!(address().owns(own), "{own}");
        }
        for foreign in [
            "https://relay.example/in/hooks/gogs2",
            "https://relay.example/hooks/gogs",
            "https://relay.example:8443/in/hooks/gogs",
            "https://other.example/in/hooks/gogs",
            "ftp://relay.example/in/hooks/gogs",
            "relay.example/in/hooks/gogs",
            "",
        ] {
            assert!(!address().owns(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_fragment_tells_the_secret() {
        let address = address();
        assert_eq!(
            address.url().as_str(),
            "https://relay.example/in/hooks/gogs#secret-3f9ac"
        );
        let marked = |fragment: &str| address.marked(&format!("http://x/{fragment}"));
        assert_eq!(marked("#secret-3f9ac"), Marked::Right);
        assert_eq!(marked("#secret-00000"), Marked::Other);
        assert_eq!(marked("#top"), Marked::Not);
        assert_eq!(marked(""), Marked::Not);
        let unsigned = Address::new(&Url::parse("http://x").unwrap(), "gogs", None, &[]);
        assert_eq!(unsigned.marked("http://x/hooks/gogs"), Marked::Right);
    }
}
