//! Where may be sent to: judges addresses and URLs. Pure: looks nothing up and dials nothing.

use std::net::IpAddr;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

use crate::destination::{Reach, SecretUrl};

mod addresses;

/// `egress` in relay.yaml, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Egress {
    /// Where URLs that came over an API may lead besides public addresses.
    pub allow: Places,
    /// An HTTP proxy that every connection goes through, by CONNECT.
    pub proxy: Option<SecretUrl>,
    /// Where connections go past the proxy.
    pub no_proxy: Places,
    /// Trusted beside the machine's own root certificates.
    pub ca: Vec<CertificateDer<'static>>,
}

/// Why something may not be sent to. Tells nothing of the URL or the address but its sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the URL leads to a cloud's metadata address, where nothing is ever sent")]
    Metadata,
    /// `a private`, say.
    #[error(
        "the URL leads to {0} address, and one that came over an API may lead to public ones \
         alone: if it should, name its host or range under `egress.allow` in relay.yaml"
    )]
    NotPublic(&'static str),
    #[error("the URL is neither http nor https")]
    Scheme,
    #[error("the URL holds a user name or password")]
    Credentials,
}

impl Egress {
    /// Judges a URL by what it says itself: scheme, credentials, and its host if that is an
    /// address. What a name leads to is judged when it is dialled, by [`Egress::judge`].
    ///
    /// # Errors
    /// Why nothing may be sent there.
    pub fn judge_url(&self, reach: Reach, url: &url::Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        let bare = url.username().is_empty() && url.password().is_none();
        if reach == Reach::Stored && !bare {
            return Err(Refusal::Credentials);
        }
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.judge(reach, "", address.into()),
            Some(url::Host::Ipv6(address)) => self.judge(reach, "", address.into()),
            _ => Ok(()),
        }
    }

    /// Judges an address that the URL's host has; `host` as the URL parser writes it.
    ///
    /// # Errors
    /// Why it may not be dialled.
    pub fn judge(&self, reach: Reach, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        if addresses::is_metadata(address) {
            return Err(Refusal::Metadata);
        }
        match reach {
            Reach::Configured => Ok(()),
            Reach::Stored if self.allow.name(host) => Ok(()),
            Reach::Stored => self.judge_public(address),
        }
    }

    /// What an allowed IPv6 address carries within is judged as well, because a translator on the
    /// way would send it there.
    fn judge_public(&self, address: IpAddr) -> Result<(), Refusal> {
        let Some(sort) = addresses::not_public(address) else {
            return Ok(());
        };
        if !self.allow.hold(address) {
            return Err(Refusal::NotPublic(sort));
        }
        match address {
            IpAddr::V6(address) => match addresses::carried(address) {
                Some(inner) => self.judge_public(inner.into()),
                None => Ok(()),
            },
            IpAddr::V4(_) => Ok(()),
        }
    }
}

/// A list of hosts and ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(pub Vec<Place>);

impl Places {
    /// Whether the list names this host, as the URL parser writes it.
    pub fn name(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.0.iter().any(|place| match place {
            Place::Range(_) => false,
            Place::Host(named) => named == host,
            Place::Below(domain) => {
                let rest = host.strip_suffix(domain.as_str());
                rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        })
    }

    /// Whether a range of the list holds this address.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|place| match place {
            Place::Range(range) => range.contains(&address),
            Place::Host(_) | Place::Below(_) => false,
        })
    }
}

/// One entry of such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `10.0.0.0/8`, or `10.0.0.7` alone.
    Range(IpNet),
    /// `ci.lan`.
    Host(String),
    /// `*.lan`, without the `*.`: every host below `lan`.
    Below(String),
}

impl Place {
    /// Reads an entry as relay.yaml has it; `None` when it is neither a range nor a host.
    pub fn parse(text: &str) -> Option<Place> {
        if let Ok(range) = text.parse::<IpNet>() {
            // Every address is compared in its IPv4 form if it has one.
            let mapped =
                matches!(range.addr(), IpAddr::V6(first) if first.to_ipv4_mapped().is_some());
            return (!mapped).then_some(Place::Range(range));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Place::Range(address.to_canonical().into()));
        }
        match text.strip_prefix("*.") {
            Some(domain) => Some(Place::Below(host(domain)?)),
            None => Some(Place::Host(host(text)?)),
        }
    }

    /// Whether nothing but metadata addresses lies here.
    pub fn is_metadata(&self) -> bool {
        let Place::Range(range) = self else {
            return false;
        };
        range.prefix_len() == range.max_prefix_len() && addresses::is_metadata(range.addr())
    }
}

/// A host's name as the URL parser writes it. What that takes for an address is none, and neither
/// is a name with an empty part, which nothing ever matches.
fn host(text: &str) -> Option<String> {
    match url::Host::parse(text.trim_end_matches('.')).ok()? {
        url::Host::Domain(name) if !name.split('.').any(str::is_empty) && !name.contains('*') => {
            Some(name)
        }
        _ => None,
    }
}
