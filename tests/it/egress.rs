//! Where may be sent to: every range and spelling, names that change what they lead to, the proxy,
//! and further root certificates.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::config::{self, Environment};
use gogs_relay::delivery::Reason;
use gogs_relay::destination::{ContentType, Gogs, Kind, Reach, SecretUrl, Trust};
use gogs_relay::send::dial::{LookUp, Resolve};
use gogs_relay::send::egress::{Egress, Place, Places, Refusal};
use gogs_relay::send::transport::{ANSWER, Answer, Failure, Request, Transport};
use gogs_relay::standin::{FakeGogs, Script, StandIn};
use hyper::Method;
use hyper::header::HeaderMap;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::world::{World, destination};

const LIMIT: Duration = Duration::from_secs(15);

/// Every sort of address that is not public: first and last of each range, and how it is named.
const NOT_PUBLIC: [(&str, &str, &str); 32] = [
    ("0.0.0.0", "0.255.255.255", "unspecified"),
    ("10.0.0.0", "10.255.255.255", "private"),
    ("100.64.0.0", "100.127.255.255", "provider"),
    ("127.0.0.0", "127.255.255.255", "loopback"),
    ("169.254.0.0", "169.254.255.255", "link-local"),
    ("172.16.0.0", "172.31.255.255", "private"),
    ("192.0.0.0", "192.0.0.255", "reserved"),
    ("192.0.2.0", "192.0.2.255", "documentation"),
    ("192.88.99.0", "192.88.99.255", "6to4"),
    ("192.168.0.0", "192.168.255.255", "private"),
    ("198.18.0.0", "198.19.255.255", "benchmark"),
    ("198.51.100.0", "198.51.100.255", "documentation"),
    ("203.0.113.0", "203.0.113.255", "documentation"),
    ("224.0.0.0", "239.255.255.255", "multicast"),
    ("240.0.0.0", "255.255.255.255", "reserved"),
    ("::", "::", "unspecified"),
    ("::1", "::1", "loopback"),
    ("::2", "::fffe:ffff:ffff", "reserved"),
    ("64:ff9b::", "64:ff9b::ffff:ffff", "NAT64"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
    ("100::", "100::ffff:ffff:ffff:ffff", "discarded"),
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"),
    (
        "2001:1::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "reserved",
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
    ),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
    ),
    (
        "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "routing",
    ),
    (
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "private",
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "link-local",
    ),
    (
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "site-local",
    ),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "multicast",
    ),
    (
        "4000::",
        "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "reserved",
    ),
];

/// The last before and the first after every range, where those are public.
const PUBLIC: [&str; 33] = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2000::",
    "2001:200::",
    "2001:db7:ffff::",
    "2001:db9::",
    "2003::",
    "2606:2800:220:1::1",
    "3ffe:ffff::",
];

/// The addresses that hold clouds' credentials, in every wrapping.
const METADATA: [&str; 30] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.0.23",
    "169.254.42.42",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "fe80::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::100.100.100.200",
    "64:ff9b:1::169.254.169.254",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
    "64:ff9b:1:7:8:9:a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2002:a83f:8110:1:2:3:4:5",
    "2001:0:a9fe:a9fe::1",
    "2001:0:808:808:8000:1:5601:5601",
    "2606:4700::5efe:a9fe:a9fe",
    "2606:4700::200:5efe:a9fe:a9fe",
    "::ffff:a9fe:aa17",
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn places(texts: &[&str]) -> Places {
    let parse = |text: &&str| Place::parse(text).unwrap_or_else(|| panic!("{text}"));
    Places(texts.iter().map(parse).collect())
}

fn allowing(texts: &[&str]) -> Egress {
    Egress {
        allow: places(texts),
        ..Egress::default()
    }
}

#[test]
fn every_range_that_is_not_public_is_closed_to_stored_urls_from_end_to_end() {
    let egress = Egress::default();
    for (first, last, sort) in NOT_PUBLIC {
        for text in [first, last] {
            let judged = egress.judge(Reach::Stored, "host.test", ip(text));
            let Err(refusal @ Refusal::NotPublic(_)) = judged else {
                panic!("{text}: {judged:?}");
            };
            let words = refusal.to_string();
            assert!(words.contains(sort), "{text}: {words}");
            assert!(words.contains("egress.allow"), "{text}: {words}");
            assert!(!words.contains(text) || text.len() < 4, "{text}: {words}");
            let configured = egress.judge(Reach::Configured, "host.test", ip(text));
            assert_eq!(configured, Ok(()), "{text}");
        }
    }
    for text in PUBLIC {
        for reach in [Reach::Stored, Reach::Configured] {
            assert_eq!(egress.judge(reach, "host.test", ip(text)), Ok(()), "{text}");
        }
    }
    figure!(
        "{} ranges closed, {} neighbours open",
        NOT_PUBLIC.len(),
        PUBLIC.len()
    );
}

#[test]
fn metadata_addresses_are_closed_to_everybody_however_they_are_wrapped_and_whatever_is_allowed() {
    let everything = allowing(&["0.0.0.0/0", "::/0", "metadata.test"]);
    for text in METADATA {
        for reach in [Reach::Configured, Reach::Stored] {
            let judged = everything.judge(reach, "metadata.test", ip(text));
            assert_eq!(judged, Err(Refusal::Metadata), "{text}");
        }
    }
    for text in [
        "169.254.169.253",
        "fd00:ec2::255",
        "64:ff9b::169.254.169.253",
        "127.0.0.1",
    ] {
        assert_eq!(
            everything.judge(Reach::Stored, "x", ip(text)),
            Ok(()),
            "{text}"
        );
    }
}

#[test]
fn what_is_allowed_by_range_or_name_is_open_and_nothing_beside_it() {
    let egress = allowing(&[
        "10.0.0.0/8",
        "192.168.7.9",
        "fd12::/16",
        "ci.lan",
        "*.builds.lan",
    ]);
    let open = |host: &str, text: &str| egress.judge(Reach::Stored, host, ip(text)).is_ok();
    for text in ["10.1.2.3", "::ffff:10.1.2.3", "192.168.7.9", "fd12::7"] {
        assert!(open("any.test", text), "{text}");
    }
    for text in [
        "11.0.0.0",
        "192.168.7.8",
        "fd13::7",
        "127.0.0.1",
        "64:ff9b::10.1.2.3",
    ] {
        assert_eq!(open("any.test", text), text == "11.0.0.0", "{text}");
    }
    for (host, named) in [
        ("ci.lan", true),
        ("ci.lan.", true),
        ("xci.lan", false),
        ("sub.ci.lan", false),
        ("a.builds.lan", true),
        ("a.b.builds.lan", true),
        ("builds.lan", false),
        (".builds.lan", false),
        ("abuilds.lan", false),
        ("ci.lan.evil.test", false),
    ] {
        assert_eq!(open(host, "127.0.0.1"), named, "{host}");
    }
}

#[test]
fn an_allowed_translator_opens_only_what_it_translates_to_an_open_address() {
    let egress = allowing(&["64:ff9b::/96", "2002::/16", "10.0.0.0/8"]);
    for (text, open) in [
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b::10.0.0.7", true),
        ("64:ff9b::192.168.0.1", false),
        ("64:ff9b::127.0.0.1", false),
        ("2002:808:808::1", true),
        ("2002:7f00:1::1", false),
    ] {
        assert_eq!(
            egress.judge(Reach::Stored, "x", ip(text)).is_ok(),
            open,
            "{text}"
        );
    }
}

/// Spellings that the URL parser, or whoever looks names up, takes for loopback addresses and others.
const SPELLINGS: [&str; 41] = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0x7f.1/",
    "http://0x7F.0.0.1/",
    "http://0X7f000001/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.01/",
    "http://0177.0x0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.1:8080/",
    "http://127.0.0.1:443/",
    "https://127.0.0.1/",
    "HTTP://127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http:127.0.0.1/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://①②⑦.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.%31/",
    "http://1\u{ad}27.0.0.1/",
    "http://\t127.0.0\n.1/",
    "http://0/",
    "http://0x0/",
    "http://00000/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000::0001]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0::FFFF:7f00:0001]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://0xa9fea9fe/",
    "http://[::ffff:0:127.0.0.1]/",
];

/// Not one of these is a URL at all.
const NO_URLS: [&str; 8] = [
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://127.0.0.1.1/",
    "http://256.1/",
    "http://0x100000000/",
    "http://[::ffff:127.0.0.1.]/",
    "http://09.1/",
    "http://[127.0.0.1]/",
];

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_sent_to_neither_directly_nor_through_a_proxy() {
    let proxy = Proxy::start(Mood::Connects(SocketAddr::from(([127, 0, 0, 1], 9)))).await;
    let resolver = Answers::new([]);
    let direct = transport(Egress::default(), &resolver);
    let proxied = transport(proxy.egress(), &resolver);
    for text in SPELLINGS {
        for transport in [&direct, &proxied] {
            let failure = post(transport, text, Reach::Stored).await.err();
            let forbidden = matches!(failure, Some(Failure::Forbidden(_)));
            assert!(forbidden, "{text}: {failure:?}");
        }
    }
    for text in NO_URLS {
        assert!(url::Url::parse(text).is_err(), "{text}");
    }
    assert_eq!(
        resolver.asked(),
        Vec::<String>::new(),
        "no address is looked up"
    );
    assert_eq!(
        proxy.heads(),
        Vec::<String>::new(),
        "the proxy hears of none"
    );
    figure!(
        "{} spellings refused, {} are no URLs",
        SPELLINGS.len(),
        NO_URLS.len()
    );
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_for_every_range_directly_and_through_a_proxy() {
    let proxy = Proxy::start(Mood::Connects(SocketAddr::from(([127, 0, 0, 1], 9)))).await;
    for (first, last, _) in NOT_PUBLIC {
        for text in [first, last] {
            for egress in [Egress::default(), proxy.egress()] {
                let resolver = Answers::new([vec![ip(text)]]);
                let transport = transport(egress, &resolver);
                let failure = post(&transport, "https://inside.test/", Reach::Stored).await;
                let failure = failure.err();
                let private = matches!(failure, Some(Failure::Forbidden(Refusal::NotPublic(_))));
                assert!(private, "{text}: {failure:?}");
                assert_eq!(resolver.asked(), ["inside.test"]);
            }
        }
    }
    for text in METADATA {
        for reach in [Reach::Configured, Reach::Stored] {
            for egress in [Egress::default(), proxy.egress()] {
                let transport = transport(egress, &Answers::new([vec![ip(text)]]));
                let failure = post(&transport, "http://inside.test/", reach).await.err();
                assert_eq!(
                    failure,
                    Some(Failure::Forbidden(Refusal::Metadata)),
                    "{text}"
                );
            }
        }
    }
    assert_eq!(
        proxy.heads(),
        Vec::<String>::new(),
        "the proxy hears of none"
    );
}

#[tokio::test]
async fn a_name_is_looked_up_once_a_connection_and_what_was_judged_is_dialled() {
    let standin = receiver().await;
    // 127.0.0.1 alone is open; the second look-up leads to another loopback address.
    let resolver = Answers::new([vec![ip("127.0.0.1")], vec![ip("127.0.0.2")]]);
    let transport = transport(allowing(&["127.0.0.1"]), &resolver);
    let url = format!("http://rebinding.test:{}/hook", standin.address().port());
    assert_eq!(answered(&transport, &url).await, 200);
    assert_eq!(resolver.asked().len(), 1, "one look-up for check and dial");
    assert_eq!(answered(&transport, &url).await, 200);
    assert_eq!(resolver.asked().len(), 1, "the connection is used again");
    standin.rule(|_| Some(Script::status(200).header("connection", "close")));
    assert_eq!(answered(&transport, &url).await, 200);
    let failure = post(&transport, &url, Reach::Stored).await.err();
    assert_eq!(
        failure,
        Some(Failure::Forbidden(Refusal::NotPublic("a loopback"))),
        "a new connection is judged anew"
    );
    assert_eq!(resolver.asked().len(), 2);
    assert_eq!(standin.received().len(), 3);
    assert!(
        standin.received()[0]
            .header("host")
            .starts_with("rebinding.test:")
    );
}

#[tokio::test]
async fn of_a_mixed_answer_only_open_addresses_are_dialled() {
    let standin = receiver().await;
    let other = TcpListener::bind(("127.0.0.2", standin.address().port())).await;
    let other = other.expect("127.0.0.2 is free");
    let mixed = vec![
        ip("127.0.0.2"),
        ip("::1"),
        ip("169.254.169.254"),
        ip("127.0.0.1"),
    ];
    let transport = transport(allowing(&["127.0.0.1"]), &Answers::new([mixed]));
    let url = format!("http://mixed.test:{}/hook", standin.address().port());
    assert_eq!(answered(&transport, &url).await, 200);
    let nobody = Clock::system()
        .timeout(Duration::ZERO, other.accept())
        .await;
    assert!(nobody.is_err(), "127.0.0.2 was dialled");
}

#[tokio::test]
async fn a_connection_of_relay_yaml_is_not_there_for_a_stored_url() {
    let standin = receiver().await;
    let transport = transport(Egress::default(), &Answers::new([vec![ip("127.0.0.1")]]));
    let url = format!("http://both.test:{}/hook", standin.address().port());
    for _ in 0..2 {
        let answer = post(&transport, &url, Reach::Configured).await;
        assert_eq!(answer.ok().map(|answer| answer.status), Some(200));
        let failure = post(&transport, &url, Reach::Stored).await.err();
        assert!(
            matches!(failure, Some(Failure::Forbidden(_))),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_stored_url_has_no_credentials_and_none_has_another_scheme() {
    let transport = transport(allowing(&["127.0.0.1"]), &Answers::new([]));
    for url in [
        "http://mira@127.0.0.1/",
        "http://:p@127.0.0.1/",
        "http://mira:p@8.8.8.8/",
    ] {
        let failure = post(&transport, url, Reach::Stored).await.err();
        assert_eq!(
            failure,
            Some(Failure::Forbidden(Refusal::Credentials)),
            "{url}"
        );
    }
    for url in [
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "ws://8.8.8.8/",
    ] {
        for reach in [Reach::Stored, Reach::Configured] {
            let failure = post(&transport, url, reach).await.err();
            assert_eq!(failure, Some(Failure::Forbidden(Refusal::Scheme)), "{url}");
        }
    }
}

#[tokio::test]
async fn through_a_proxy_the_judged_address_is_asked_for_and_never_the_name() {
    let standin = receiver().await;
    let proxy = Proxy::start(Mood::Connects(standin.address())).await;
    let resolver = Answers::new([
        vec![ip("10.0.0.7"), ip("93.184.216.34")],
        vec![ip("2606:2800:220:1::1")],
        vec![ip("10.0.0.7")],
    ]);
    let transport = transport(proxy.egress(), &resolver);
    let close = |_: &_| Some(Script::status(200).header("connection", "close"));
    standin.rule(close);
    assert_eq!(answered(&transport, "http://hooks.test/hook").await, 200);
    assert_eq!(
        answered(&transport, "http://hooks.test:8080/hook").await,
        200
    );
    let failure = post(&transport, "http://hooks.test/hook", Reach::Stored)
        .await
        .err();
    assert!(
        matches!(failure, Some(Failure::Forbidden(_))),
        "{failure:?}"
    );
    assert_eq!(resolver.asked().len(), 3, "one look-up a connection");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(
        heads[0].starts_with("CONNECT 93.184.216.34:80 HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[1].starts_with("CONNECT [2606:2800:220:1::1]:8080 HTTP/1.1\r\n"),
        "{heads:?}"
    );
    for head in &heads {
        assert!(!head.contains("hooks.test"), "{head}");
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
    }
    let received = standin.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("host"), "hooks.test");
    assert_eq!(
        received[0].target, "/hook",
        "what goes through the tunnel is as without a proxy"
    );
}

#[tokio::test]
async fn the_proxy_gets_the_credentials_of_its_url_and_the_receiver_does_not() {
    let standin = receiver().await;
    let proxy = Proxy::start(Mood::Connects(standin.address())).await;
    let egress = proxy.egress_at("http://mira:p%40ss@");
    let transport = transport(egress, &Answers::new([]));
    assert_eq!(answered(&transport, "http://93.184.216.34/hook").await, 200);
    let head = proxy.heads().remove(0).to_lowercase();
    assert!(
        head.contains("proxy-authorization: basic bwlyytpwqhnz\r\n"),
        "{head}"
    );
    assert_eq!(standin.received()[0].header("proxy-authorization"), "");
}

#[tokio::test]
async fn what_no_proxy_names_goes_past_the_proxy() {
    let standin = receiver().await;
    let proxy = Proxy::start(Mood::Refuses("HTTP/1.1 403 Forbidden\r\n\r\n")).await;
    let port = standin.address().port();
    for (no_proxy, host) in [
        ("127.0.0.0/8", "by-address.test"),
        ("by-name.test", "by-name.test"),
        ("*.below.test", "one.below.test"),
    ] {
        let mut egress = proxy.egress();
        egress.no_proxy = places(&[no_proxy]);
        let transport = transport(egress, &Answers::new([vec![ip("127.0.0.1")]]));
        let url = format!("http://{host}:{port}/hook");
        let answer = post(&transport, &url, Reach::Configured).await;
        assert_eq!(answer.ok().map(|answer| answer.status), Some(200), "{host}");
        let failure = post(&transport, &url, Reach::Stored).await.err();
        assert!(
            matches!(failure, Some(Failure::Forbidden(_))),
            "still judged: {failure:?}"
        );
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_that_cannot_be_asked_is_tried_again_later_and_said_to_be_it() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unheard = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    for (proxy, want) in [
        (unheard.as_str(), "cannot be reached"),
        ("http://169.254.169.254", "metadata"),
        ("http://proxy.invalid", "name was not found"),
    ] {
        assert_in_trouble(SecretUrl::parse(proxy).unwrap(), want).await;
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_tried_again_later_and_said_to_be_it() {
    for (answer, want) in [
        ("HTTP/1.1 407 Log In\r\n\r\n", "other credentials"),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 400000\r\n\r\nNo.",
            "answered 403 to CONNECT",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
            "answered 302",
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", "does not speak HTTP"),
        ("", "does not speak HTTP"),
        (
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "does not speak HTTP",
        ),
    ] {
        let proxy = Proxy::start(Mood::Refuses(answer)).await;
        assert_in_trouble(proxy.egress().proxy.unwrap(), want).await;
    }
}

async fn assert_in_trouble(proxy: SecretUrl, want: &str) {
    let egress = Egress {
        proxy: Some(proxy),
        ..Egress::default()
    };
    let transport = transport(egress, &Answers::new([]));
    let failure = post(&transport, "http://93.184.216.34/hook", Reach::Stored)
        .await
        .err();
    let Some(Failure::Trouble { reason, words }) = failure else {
        panic!("{want}: {failure:?}");
    };
    assert_eq!(reason, Reason::Refused, "{words}");
    assert!(words.contains("proxy") && words.contains(want), "{words}");
}

#[tokio::test]
async fn new_rules_hold_at_once_and_for_connections_that_are_open_too() {
    let standin = receiver().await;
    let transport = transport(Egress::default(), &Answers::new([]));
    for (rules, open) in [
        (Egress::default(), false),
        (allowing(&["127.0.0.0/8"]), true),
        (allowing(&["10.0.0.0/8"]), false),
    ] {
        transport.obey(&rules);
        for _ in 0..2 {
            let answer = post(&transport, &standin.url(), Reach::Stored).await;
            assert_eq!(answer.is_ok(), open, "{rules:?}");
        }
    }
    assert_eq!(standin.received().len(), 2);
}

#[test]
fn a_changed_egress_is_taken_over_by_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.yaml");
    let load = |egress: &str| {
        let text = format!(
            "sources: {{ gogs: {{ secret: s }} }}\ndestinations: {{ screen: {{ console: }} }}\n{egress}"
        );
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path, &Environment::new(), &|_| vec!["default".to_owned()]);
        loaded.unwrap().config
    };
    let (running, next) = (load(""), load("egress: { allow: [ci.lan] }\n"));
    let (next, changes) = next.taken_over_by(&running);
    assert_eq!(changes.changed, ["egress"]);
    assert_eq!(changes.needs_restart, Vec::<String>::new());
    assert_eq!(next.egress.allow, places(&["ci.lan"]));
}

#[tokio::test]
async fn a_root_certificate_of_relay_yaml_is_trusted_directly_and_through_a_proxy() {
    let server = tls_server(Times::Once).await;
    let proxy = Proxy::start(Mood::Connects(server)).await;
    let ca: Vec<_> = CertificateDer::pem_file_iter("tests/fixtures/tls/ca.pem")
        .unwrap()
        .collect();
    let ca: Vec<_> = ca.into_iter().map(Result::unwrap).collect();
    let answer = Answers::new([vec![ip("127.0.0.1")]]);
    let url = format!("https://ci.test:{}/", server.port());
    for mut egress in [allowing(&["ci.test", "other.test"]), proxy.egress()] {
        egress.allow = places(&["ci.test", "other.test"]);
        let distrusting = transport(egress.clone(), &answer);
        let failure = post(&distrusting, &url, Reach::Stored).await.err();
        let Some(Failure::Trouble { reason, words }) = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(reason, Reason::Tls, "{words}");
        egress.ca = ca.clone();
        let trusting = transport(egress, &answer);
        for reach in [Reach::Stored, Reach::Configured] {
            let answer = post(&trusting, &url, reach).await;
            assert_eq!(answer.ok().map(|answer| answer.status), Some(204));
        }
        let other = url.replace("ci.test", "other.test");
        let failure = post(&trusting, &other, Reach::Stored).await.err();
        let mismatch = matches!(
            &failure,
            Some(Failure::Trouble {
                reason: Reason::Tls,
                ..
            })
        );
        assert!(mismatch, "a certificate for another name: {failure:?}");
    }
    assert!(
        proxy
            .heads()
            .iter()
            .all(|head| head.starts_with("CONNECT 127.0.0.1:"))
    );
}

#[tokio::test]
async fn an_unverified_server_is_reached_by_those_alone_who_asked_for_it() {
    let server = tls_server(Times::Many).await;
    let transport = transport(
        allowing(&["other.test"]),
        &Answers::new([vec![ip("127.0.0.1")]]),
    );
    let url = format!("https://other.test:{}/", server.port());
    for reach in [Reach::Stored, Reach::Configured] {
        let answer = post_to(&transport, &url, reach, Trust::Anyone).await;
        assert_eq!(answer.ok().map(|answer| answer.status), Some(204));
        // The connection is open, and is not for those who want to know whose it is.
        let failure = post(&transport, &url, reach).await.err();
        let Some(Failure::Trouble { reason, words }) = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(reason, Reason::Tls, "{words}");
        let again = post_to(&transport, &url, reach, Trust::Anyone).await;
        assert_eq!(again.ok().map(|answer| answer.status), Some(204));
    }
    let inside = format!("https://127.0.0.2:{}/", server.port());
    let failure = post_to(&transport, &inside, Reach::Stored, Trust::Anyone).await;
    assert!(
        matches!(failure.err(), Some(Failure::Forbidden(_))),
        "an unverified server must be a permitted one all the same"
    );
}

/// How a part of an IPv4 address may be written.
fn number(value: u32) -> impl Strategy<Value = String> {
    (0..6u8, 0..4usize).prop_map(move |(base, zeros)| match base {
        0 => format!("0{}{value:o}", "0".repeat(zeros)),
        1 => format!("0x{}{value:x}", "0".repeat(zeros)),
        2 => format!("0X{value:X}"),
        _ => value.to_string(),
    })
}

/// The address in one to four parts, each in a base of its own.
fn numeric(address: Ipv4Addr) -> impl Strategy<Value = String> {
    (1..5usize).prop_flat_map(move |count| {
        let octets = address.octets();
        let mut parts: Vec<u32> = octets[..count - 1]
            .iter()
            .map(|byte| u32::from(*byte))
            .collect();
        let rest = octets[count - 1..].iter();
        parts.push(rest.fold(0, |sum, byte| (sum << 8) | u32::from(*byte)));
        let parts: Vec<_> = parts.into_iter().map(number).collect();
        parts.prop_map(|parts| parts.join("."))
    })
}

/// Writes some characters so that a URL parser reads the same.
fn disguised(text: String) -> impl Strategy<Value = String> {
    prop::collection::vec(0..6u8, text.len()).prop_map(move |how| {
        let disguise = |(c, how): (char, u8)| match (how, c) {
            (0, '.') => "。".to_owned(),
            (1, '.') => "．".to_owned(),
            (2, '.') => "%2E".to_owned(),
            (0, c) if c.is_ascii_digit() => char::from_u32(u32::from(c) - 0x30 + 0xff10)
                .unwrap()
                .to_string(),
            (1, c) if c.is_ascii_alphanumeric() => format!("%{:02x}", u32::from(c)),
            (2, c) => format!("{c}\u{ad}"),
            (_, c) => c.to_string(),
        };
        text.chars().zip(how).map(disguise).collect()
    })
}

fn in_ipv6(address: Ipv4Addr) -> impl Strategy<Value = String> {
    let [a, b, c, d] = address.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    prop::sample::select(vec![
        format!("[::ffff:{address}]"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{high:04X}:{low:04x}]"),
        format!("[::{address}]"),
        format!("[::ffff:0:{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[0064:FF9B:0:0:0:0:{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:{high:x}:{low:x}::]"),
        format!("[2001::{:x}:{:x}]", !high, !low),
    ])
}

fn inner_address() -> impl Strategy<Value = Ipv4Addr> {
    let ranges: Vec<(u32, u32)> = NOT_PUBLIC
        .iter()
        .filter_map(|(first, last, _)| {
            let first: Ipv4Addr = first.parse().ok()?;
            Some((first.to_bits(), last.parse::<Ipv4Addr>().ok()?.to_bits()))
        })
        .collect();
    prop::sample::select(ranges)
        .prop_flat_map(|(first, last)| first..=last)
        .prop_map(Ipv4Addr::from_bits)
}

fn spelling() -> impl Strategy<Value = String> {
    inner_address().prop_flat_map(|address| {
        let numeric = (numeric(address), prop::bool::ANY)
            .prop_map(|(text, dot)| if dot { format!("{text}.") } else { text })
            .prop_flat_map(disguised);
        prop_oneof![3 => numeric, 1 => in_ipv6(address)]
    })
}

#[test]
fn no_spelling_of_an_inner_address_passes_for_a_stored_url() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(4096));
    let port = prop::option::of(1..=u16::MAX);
    let judged = Cell::new(0);
    let ran = runner.run(
        &(spelling(), prop::bool::ANY, port),
        |(host, https, port)| {
            let scheme = if https { "https" } else { "http" };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let Ok(url) = url::Url::parse(&format!("{scheme}://{host}{port}/hook")) else {
                return Ok(());
            };
            judged.set(judged.get() + 1);
            let verdict = Egress::default().judge_url(Reach::Stored, &url);
            prop_assert!(verdict.is_err(), "{host} as {url}");
            Ok(())
        },
    );
    ran.unwrap();
    figure!("{} of 4096 spellings were URLs, and refused", judged.get());
    assert!(judged.get() > 3000, "{} were URLs", judged.get());
}

#[tokio::test]
async fn a_stored_url_that_leads_inside_holds_its_lane_and_keeps_everything() {
    let time = World::clock();
    let kind = Kind::Gogs(Gogs {
        url: SecretUrl::parse("http://10.0.0.7/hook").unwrap(),
        secret: None,
        content_type: ContentType::Json,
    });
    let mut destination = destination("hook", kind);
    destination.reach = Reach::Stored;
    let world = World::start(&time, vec![destination]);
    world.push(0..3, &["hook"]).await;
    world.held("hook", Reason::Forbidden).await;
    let lane = world.lane("hook");
    let words = lane.held.unwrap().words;
    assert!(words.contains("a private address"), "{words}");
    assert!(words.contains("egress.allow"), "{words}");
    assert!(!words.contains("10.0.0.7"), "{words}");
    assert_eq!(lane.waiting, 3);
    world.finish().await;
}

/// A resolver with an answer for each look-up; the last stands for all after it, and without any
/// no name is known.
struct Answers {
    left: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    fn new<const N: usize>(answers: [Vec<IpAddr>; N]) -> Arc<Answers> {
        Arc::new(Answers {
            left: Mutex::new(answers.into()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Answers {
    fn look_up(&self, host: String) -> LookUp {
        self.asked.lock().unwrap().push(host);
        let mut left = self.left.lock().unwrap();
        let answer = match left.len() {
            0 | 1 => left.front().cloned(),
            _ => left.pop_front(),
        };
        Box::pin(async move { answer.ok_or(ErrorKind::NotFound.into()) })
    }
}

fn transport(egress: Egress, resolver: &Arc<Answers>) -> Transport {
    Transport::within(egress, resolver.clone(), Clock::system())
}

async fn post(transport: &Transport, url: &str, reach: Reach) -> Result<Answer, Failure> {
    post_to(transport, url, reach, Trust::Verified).await
}

async fn post_to(
    transport: &Transport,
    url: &str,
    reach: Reach,
    trust: Trust,
) -> Result<Answer, Failure> {
    let url = url::Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let request = Request {
        method: Method::POST,
        url: &url,
        reach,
        trust,
        headers: HeaderMap::new(),
        body: "{}".into(),
        most: ANSWER,
    };
    transport.call(request, LIMIT).await
}

async fn answered(transport: &Transport, url: &str) -> u16 {
    match post(transport, url, Reach::Stored).await {
        Ok(answer) => answer.status,
        Err(failure) => panic!("{url}: {failure:?}"),
    }
}

/// A receiver that takes everything.
async fn receiver() -> StandIn {
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    standin.rule(|_| Some(Script::status(200)));
    standin
}

/// What a proxy does with a request.
#[derive(Clone, Copy)]
enum Mood {
    /// Connects to this address, whatever it is asked for.
    Connects(SocketAddr),
    /// Answers this, and closes.
    Refuses(&'static str),
}

/// A proxy that remembers what it was asked.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(mood: Mood) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
        };
        let (heads, tasks) = (proxy.heads.clone(), TaskTracker::new());
        tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(Proxy::serve(stream, mood, heads.clone()));
            }
        });
        proxy
    }

    async fn serve(mut stream: TcpStream, mood: Mood, heads: Arc<Mutex<Vec<String>>>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        heads.lock().unwrap().push(String::from_utf8(head).unwrap());
        match mood {
            Mood::Refuses(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Mood::Connects(to) => {
                let mut behind = TcpStream::connect(to).await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await
                    .unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
            }
        }
    }

    fn egress(&self) -> Egress {
        self.egress_at("http://")
    }

    fn egress_at(&self, before: &str) -> Egress {
        Egress {
            proxy: Some(SecretUrl::parse(&format!("{before}{}", self.address)).unwrap()),
            ..Egress::default()
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// How often a connection is answered.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    Many,
}

/// A server for ci.test under the test root that answers with 204.
async fn tls_server(times: Times) -> SocketAddr {
    let chain = CertificateDer::from_pem_file("tests/fixtures/tls/server.pem").unwrap();
    let key = PrivateKeyDer::from_pem_file("tests/fixtures/tls/server.key").unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tasks.spawn(async move {
                // Who does not trust us ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut asked = [0; 1024];
                if times == Times::Many {
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                        stream.write_all(answer).await.unwrap();
                    }
                    return;
                }
                stream.read_exact(&mut asked[..1]).await.unwrap();
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.unwrap();
            });
        }
    });
    address
}
