//! What the settings that are no secret look like, each with the words for when one does not.

use std::net::SocketAddr;
use std::time::Duration;

use super::units;
use crate::destination::{ContentType, Method, Pace, Window};
use crate::plan::Pattern;
use crate::queue::Redelivery;
use crate::send::egress::Place;

/// How a text becomes a value.
pub(super) struct Shape<T> {
    /// `a time`: goes after “should be”.
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
    /// Every text there is, when they are few.
    pub(super) choices: &'static [&'static str],
    pub(super) parse: fn(&str) -> Option<T>,
}

pub(super) const TIME: Shape<Duration> = Shape {
    what: "a time",
    hint: "a whole number with ms, s, m, h or d, for example 250ms, 10s or 3d",
    choices: &[],
    parse: units::time,
};

pub(super) const TIME_ABOVE_ZERO: Shape<Duration> = Shape {
    what: "a time above zero",
    parse: |text| units::time(text).filter(|time| !time.is_zero()),
    ..TIME
};

pub(super) const SIZE: Shape<u64> = Shape {
    what: "a size",
    hint: "a whole number with B, KiB, MiB or GiB, for example 32KiB",
    choices: &[],
    parse: units::size,
};

/// Of something in memory.
pub(super) const SIZE_ABOVE_ZERO: Shape<usize> = Shape {
    what: "a size above zero",
    hint: SIZE.hint,
    choices: &[],
    parse: |text| {
        usize::try_from(units::size(text)?)
            .ok()
            .filter(|size| *size > 0)
    },
};

/// hyper takes no smaller buffer.
pub(super) const SIZE_OF_HEADERS: Shape<usize> = Shape {
    what: "a size from 8KiB to 1MiB",
    hint: "for example 32KiB",
    choices: &[],
    parse: |text| {
        let size = usize::try_from(units::size(text)?).ok()?;
        (8 << 10..=1 << 20).contains(&size).then_some(size)
    },
};

pub(super) const COUNT: Shape<u64> = Shape {
    what: "a whole number above zero",
    hint: "for example 1000",
    choices: &[],
    parse: |text| units::digits(text).filter(|count| *count > 0),
};

/// Of things that are under way at once.
pub(super) const COUNT_AT_ONCE: Shape<usize> = Shape {
    what: "a whole number from 1 to 65535",
    hint: COUNT.hint,
    choices: &[],
    parse: |text| {
        let count = text.parse::<u16>().ok()?;
        (count > 0).then_some(usize::from(count))
    },
};

pub(super) const FACTOR: Shape<f64> = Shape {
    what: "a number from 1 to 100",
    hint: "each further wait is this many times the last, for example 2",
    choices: &[],
    parse: |text| {
        text.parse()
            .ok()
            .filter(|factor| (1.0..=100.0).contains(factor))
    },
};

pub(super) const SHARE: Shape<f64> = Shape {
    what: "a number from 0 to 1",
    hint: "for example 0.2, which lengthens or shortens each wait by up to a fifth",
    choices: &[],
    parse: |text| {
        text.parse()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
    },
};

pub(super) const RATE: Shape<Window> = Shape {
    what: "a count in a time",
    hint: "a number, a slash and a time, for example 1/s or 5/2s; or `unlimited` alone",
    choices: &[],
    parse: units::rate,
};

/// One rate, or none at all.
pub(super) const PACE: Shape<Pace> = Shape {
    what: RATE.what,
    hint: RATE.hint,
    choices: &["unlimited"],
    parse: |text| match text {
        "unlimited" => Some(Pace::Unlimited),
        _ => Some(Pace::Windows(vec![units::rate(text)?])),
    },
};

pub(super) const ADDRESS: Shape<SocketAddr> = Shape {
    what: "an IP address and a port",
    hint: "for example 127.0.0.1:8025, or 0.0.0.0:8025 for every IPv4 address of this machine",
    choices: &[],
    parse: |text| text.parse().ok(),
};

pub(super) const HOST: Shape<String> = Shape {
    what: "the name of a host, without a port",
    hint: "for example relay.example.org",
    choices: &[],
    parse: |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        let host = text.trim_matches(['[', ']']);
        (!host.is_empty() && host.chars().all(fits)).then(|| text.to_ascii_lowercase())
    },
};

/// A host or a range of addresses.
pub(super) const PLACE: Shape<Place> = Shape {
    what: "a range of addresses or the name of a host, without a port",
    hint: "for example 10.0.0.0/8, 10.0.0.7, ci.lan, or \"*.lan\" for every host below lan",
    choices: &[],
    parse: Place::parse,
};

/// Of a source, a destination or a set of templates.
pub(super) const NAME: Shape<String> = Shape {
    what: "a name",
    hint: "lower-case letters, digits, - and _, at most 64, the first a letter or digit, no two _ in a row",
    choices: &[],
    parse: |text| is_name(text).then(|| text.to_owned()),
};

pub(super) const PATTERN: Shape<String> = Shape {
    what: "a pattern",
    hint: "* is any text up to a slash, ** any text, ! excludes; no regular expressions",
    choices: &[],
    parse: |text| {
        // Neither is in any name that Gogs allows, and both are in most regular expressions.
        let is_regex = text.contains(['\\', '^']);
        (!is_regex && Pattern::new(text).is_ok()).then(|| text.to_owned())
    },
};

pub(super) const TITLE: Shape<String> = Shape {
    what: "a short text",
    hint: "at most 64 characters, on one line",
    choices: &[],
    parse: |text| {
        let fits = !text.is_empty() && text.chars().count() <= 64 && !text.contains('\n');
        fits.then(|| text.to_owned())
    },
};

pub(super) const SWITCH: Shape<bool> = Shape {
    what: "`true` or `false`",
    hint: "in lower case, without quotes",
    choices: &["true", "false"],
    parse: |text| text.parse().ok(),
};

pub(super) const ALLOW: Shape<()> = Shape {
    what: "`allow`",
    hint: "write `allow`, or remove the line",
    choices: &["allow"],
    parse: |text| (text == "allow").then_some(()),
};

/// A time, or switched off.
pub(super) const TIME_OR_OFF: Shape<Option<Duration>> = Shape {
    what: "a time or `off`",
    hint: TIME.hint,
    choices: &["off"],
    parse: |text| match text {
        "off" => Some(None),
        _ => units::time(text).map(Some),
    },
};

pub(super) const REDELIVERY: Shape<Redelivery> = Shape {
    what: "`failed`, `all` or `none`",
    hint: "what a repeated delivery id sends again",
    choices: &["failed", "all", "none"],
    parse: |text| match text {
        "failed" => Some(Redelivery::Failed),
        "all" => Some(Redelivery::All),
        "none" => Some(Redelivery::None),
        _ => None,
    },
};

/// Whether strict.
pub(super) const ORDER: Shape<bool> = Shape {
    what: "`strict` or `loose`",
    hint: "`strict` keeps the order of events; `loose` sends several at once",
    choices: &["strict", "loose"],
    parse: |text| match text {
        "strict" => Some(true),
        "loose" => Some(false),
        _ => None,
    },
};

pub(super) const CONTENT_TYPE: Shape<ContentType> = Shape {
    what: "`json` or `form`",
    hint: "as the receiver expects it of a Gogs webhook",
    choices: &["json", "form"],
    parse: |text| match text {
        "json" => Some(ContentType::Json),
        "form" => Some(ContentType::Form),
        _ => None,
    },
};

pub(super) const SIGNATURE: Shape<Method> = Shape {
    what: "`sha1`, `sha256`, `sha384` or `sha512`",
    hint: "the method of `X-Hub-Signature`; every reader of today knows sha256, older ones sha1 alone",
    choices: &["sha1", "sha256", "sha384", "sha512"],
    parse: Method::parse,
};

pub(super) const COLOR: Shape<String> = Shape {
    what: "a colour",
    hint: "for example \"#1e88e5\" in quotes, or good, warning or danger",
    choices: &["good", "warning", "danger"],
    parse: |text| {
        let named = COLOR.choices.contains(&text);
        let hex = text.strip_prefix('#').is_some_and(|digits| {
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        (named || hex).then(|| text.to_owned())
    },
};

/// Discord's numeric id of a thread.
pub(super) const THREAD: Shape<String> = Shape {
    what: "the number of a thread",
    hint: "switch on Discord's developer mode, then “Copy Thread ID”",
    choices: &[],
    parse: |text| {
        let fits = (15..=20).contains(&text.len());
        (fits && units::digits(text).is_some()).then(|| text.to_owned())
    },
};

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(fits)
        && !text.contains("__")
}
