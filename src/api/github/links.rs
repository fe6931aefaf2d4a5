//! Under which address the caller knows us, and the links to other pages. Pure.

use std::net::IpAddr;

use form_urlencoded::{Serializer, parse};
use hyper::HeaderMap;
use hyper::header::HOST;

/// What links to us begin with: `http://relay.test`.
///
/// The host is the one that the caller used, since that is one it can reach; unless that is a
/// loopback address and `public_url` is none, for then a proxy stands between.
pub(in crate::api) fn base(headers: &HeaderMap, public: &url::Url) -> String {
    let of_public = public.as_str().trim_end_matches('/').to_owned();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let used = host.and_then(|host| url::Url::parse(&format!("http://{host}/")).ok());
    let Some(used) = used else {
        return of_public;
    };
    let is_public = used.host() == public.host() && port_in(host) == public.port();
    if is_public || (is_loopback(&used) && !is_loopback(public)) {
        return of_public;
    }
    let forwarded = headers.get("x-forwarded-proto");
    let scheme = match forwarded.is_some_and(|scheme| scheme == "https") {
        true => "https",
        false => "http",
    };
    format!("{scheme}://{}", host.unwrap_or_default())
}

/// The port as it was written, if it was.
fn port_in(host: Option<&str>) -> Option<u16> {
    let (_, port) = host?.rsplit_once(':')?;
    port.parse().ok()
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// A number in the query: `default` when it is not there, `None` when it is none.
pub(super) fn number(query: &str, name: &str, default: u64) -> Option<u64> {
    match given(query, name) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    }
}

/// The first value of this name in the query.
pub(super) fn given(query: &str, name: &str) -> Option<String> {
    let mut pairs = parse(query.as_bytes());
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

/// The items on a page: 30 unless `per_page` says otherwise, and at most 100.
pub(super) fn per_page(query: &str) -> usize {
    let asked = number(query, "per_page", 30).filter(|asked| *asked > 0);
    asked.map_or(30, |asked| asked.min(100)) as usize
}

/// The value of `Link` for pages of the same list, `None` when there is no other.
///
/// Each page is told by its relation and by the one parameter that differs. All others stay as
/// they were asked.
pub(super) fn to_pages(
    url: &str,
    query: &str,
    name: &str,
    pages: &[(&str, String)],
) -> Option<String> {
    let link = |(relation, value): &(&str, String)| {
        let mut next = Serializer::new(String::new());
        let others = parse(query.as_bytes()).filter(|(key, _)| key != name);
        next.extend_pairs(others.filter(|(key, _)| !SECRET.contains(&&**key)));
        next.append_pair(name, value);
        format!("<{url}?{}>; rel=\"{relation}\"", next.finish())
    };
    let links: Vec<String> = pages.iter().map(link).collect();
    (!links.is_empty()).then(|| links.join(", "))
}

/// A token in the query is not repeated.
const SECRET: [&str; 2] = ["token", "access_token"];

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn base_of(host: &str, public: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        base(&headers, &url::Url::parse(public).unwrap())
    }

    #[test]
    fn links_lead_where_the_caller_came_from_unless_a_proxy_stands_between() {
        let far = "https://hooks.example.test/relay/";
        assert_eq!(base_of("10.0.0.7:8025", far), "http://10.0.0.7:8025");
        assert_eq!(
            base_of("hooks.example.test", far),
            "https://hooks.example.test/relay"
        );
        assert_eq!(
            base_of("127.0.0.1:8025", far),
            "https://hooks.example.test/relay"
        );
        let near = "http://127.0.0.1:8025/";
        assert_eq!(base_of("localhost:9", near), "http://localhost:9");
        assert_eq!(base_of("127.0.0.1:8025", near), "http://127.0.0.1:8025");
    }

    #[test]
    fn a_link_repeats_what_was_asked_but_for_its_own_parameter_and_tokens() {
        let pages = [("next", "v1_7".to_owned())];
        let query = "per_page=1&cursor=v1_9&status=failure&token=s3cret";
        assert_eq!(
            to_pages("http://relay.test/d", query, "cursor", &pages).unwrap(),
            r#"<http://relay.test/d?per_page=1&status=failure&cursor=v1_7>; rel="next""#
        );
        assert_eq!(to_pages("http://relay.test/d", query, "cursor", &[]), None);
    }

    #[test]
    fn pages_have_30_items_unless_asked_and_100_at_most() {
        for (query, want) in [
            ("", 30),
            ("per_page=7", 7),
            ("per_page=500", 100),
            ("per_page=0", 30),
        ] {
            assert_eq!(per_page(query), want, "{query}");
        }
    }
}
