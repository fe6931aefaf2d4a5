//! What sort of address it is: a cloud's metadata, public or not, with another one inside or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Whether clouds keep their machines' credentials here, also when that is wrapped in IPv6.
/// Addresses are in their canonical form: IPv4, if they have one.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            METADATA_V6.contains(&address)
                || inside(address).any(|inner| METADATA_V4.contains(&inner))
        }
    }
}

/// AWS, Google, Azure and others; tasks and pods at AWS; Tencent; Scaleway; Alibaba; Azure's host;
/// Oracle.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS for machines and for pods; Google; Scaleway; `OpenStack`.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// The sort of an address that the internet does not route; `None` if it is public.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let mut ranges = NOT_PUBLIC_V4.iter();
            let found = ranges.find(|(range, _)| range.contains(&address));
            found.map(|(_, sort)| *sort)
        }
        IpAddr::V6(address) => {
            let mut ranges = NOT_PUBLIC_V6.iter();
            let found = ranges.find(|(range, _)| range.contains(&address));
            let assigned = PUBLIC_V6.contains(&address);
            found
                .map(|(_, sort)| *sort)
                .or((!assigned).then_some("a reserved"))
        }
    }
}

const NOT_PUBLIC_V4: [(Ipv4Net, &str); 16] = [
    (v4([0, 0, 0, 0], 8), "an unspecified"),
    (v4([10, 0, 0, 0], 8), "a private"),
    (v4([100, 64, 0, 0], 10), "a provider's inner"),
    (v4([127, 0, 0, 0], 8), "a loopback"),
    (v4([168, 63, 129, 16], 32), "a cloud's inner"),
    (v4([169, 254, 0, 0], 16), "a link-local"),
    (v4([172, 16, 0, 0], 12), "a private"),
    (v4([192, 0, 0, 0], 24), "a reserved"),
    (v4([192, 0, 2, 0], 24), "a documentation"),
    (v4([192, 88, 99, 0], 24), "a 6to4 relay's"),
    (v4([192, 168, 0, 0], 16), "a private"),
    (v4([198, 18, 0, 0], 15), "a benchmark"),
    (v4([198, 51, 100, 0], 24), "a documentation"),
    (v4([203, 0, 113, 0], 24), "a documentation"),
    (v4([224, 0, 0, 0], 4), "a multicast"),
    (v4([240, 0, 0, 0], 4), "a reserved"),
];

/// All that was ever given out for the internet; nothing outside is public.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0], 3);

const NOT_PUBLIC_V6: [(Ipv6Net, &str); 15] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        "an unspecified",
    ),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "a loopback"),
    (v6([0x64, 0xff9b], 96), "a translated (NAT64)"),
    (LOCAL_NAT64, "a translated (NAT64)"),
    (v6([0x100, 0], 64), "a discarded"),
    (v6([0x2001, 0], 32), "a tunnelled (Teredo)"),
    (v6([0x2001, 0xdb8], 32), "a documentation"),
    (v6([0x2001, 0], 23), "a reserved"),
    (v6([0x2002, 0], 16), "a tunnelled (6to4)"),
    (v6([0x3fff, 0], 20), "a documentation"),
    (v6([0x5f00, 0], 16), "a routing"),
    (v6([0xfc00, 0], 7), "a private"),
    (v6([0xfe80, 0], 10), "a link-local"),
    (v6([0xfec0, 0], 10), "a site-local"),
    (v6([0xff00, 0], 8), "a multicast"),
];

const LOCAL_NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6([a, b]: [u16; 2], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// The IPv4 address that a translator or tunnel would make of this one.
pub(super) fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // ::1 and :: are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Every IPv4 address that an IPv6 address may carry, however the network is set up.
fn inside(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bytes = address.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| bytes[place]));
    let is_local_nat64 = LOCAL_NAT64.contains(&address);
    let is_teredo = bytes.starts_with(&[0x20, 0x01, 0, 0]);
    let is_isatap =
        bytes[8..].starts_with(&[0, 0, 0x5e, 0xfe]) || bytes[8..].starts_with(&[2, 0, 0x5e, 0xfe]);
    // Where a prefix of 48, 56, 64 or 96 bits puts it; the byte at 8 is always skipped.
    let nat64 = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], LAST];
    let nat64 = nat64.map(|places| is_local_nat64.then(|| at(places)));
    let teredo = [
        is_teredo.then(|| at([4, 5, 6, 7])),
        // A client's own address is stored with every bit turned round.
        is_teredo.then(|| Ipv4Addr::from_bits(!at(LAST).to_bits())),
    ];
    let others = [carried(address), is_isatap.then(|| at(LAST))];
    nat64.into_iter().chain(teredo).chain(others).flatten()
}

const LAST: [usize; 4] = [12, 13, 14, 15];
