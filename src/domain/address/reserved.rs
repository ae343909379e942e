//! What is not the public Internet: addresses and names that registries keep for other uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::range::Range;

/// This machine.
pub(super) const LOOPBACK: [Range; 2] = [
    Range::v4([127, 0, 0, 0], 8),
    Range::only(IpAddr::V6(Ipv6Addr::LOCALHOST)),
];

/// IPv4 without a public use.
const V4: [Range; 15] = [
    Range::v4([0, 0, 0, 0], 8),       // this network; 0.0.0.0 reaches this machine
    Range::v4([10, 0, 0, 0], 8),      // private
    Range::v4([100, 64, 0, 0], 10),   // between a provider and its customers (CGNAT)
    Range::v4([127, 0, 0, 0], 8),     // loopback
    Range::v4([169, 254, 0, 0], 16),  // link-local
    Range::v4([172, 16, 0, 0], 12),   // private
    Range::v4([192, 0, 0, 0], 24),    // protocol assignments
    Range::v4([192, 0, 2, 0], 24),    // documentation
    Range::v4([192, 88, 99, 0], 24),  // relays from 6to4, abandoned
    Range::v4([192, 168, 0, 0], 16),  // private
    Range::v4([198, 18, 0, 0], 15),   // benchmarking
    Range::v4([198, 51, 100, 0], 24), // documentation
    Range::v4([203, 0, 113, 0], 24),  // documentation
    Range::v4([224, 0, 0, 0], 4),     // multicast
    Range::v4([240, 0, 0, 0], 4),     // kept for later, and broadcast
];

/// IPv6 is refused but for this: loopback, unique-local, link-local, site-local, multicast, discard, and the prefixes
/// that carry an IPv4 address (mapped, compatible, NAT64) all lie outside of it, and so does what is not given out yet.
const V6_GLOBAL: Range = Range::v6([0x2000, 0, 0, 0], 3);

/// IPv6 inside [`V6_GLOBAL`] without a public use.
const V6: [Range; 4] = [
    Range::v6([0x2001, 0, 0, 0], 23), // protocol assignments: Teredo, benchmarking, ORCHID
    Range::v6([0x2001, 0xdb8, 0, 0], 32), // documentation
    Range::v6([0x2002, 0, 0, 0], 16), // 6to4: carries an IPv4 address
    Range::v6([0x3fff, 0, 0, 0], 20), // documentation
];

/// Where clouds tell a machine its credentials or its orders.
const METADATA: [IpAddr; 12] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), // nearly all
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),   // AWS containers
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),  // AWS Kubernetes
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),   // Scaleway
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure: a public address by its number
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), // AWS
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)), // AWS Kubernetes
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), // Google
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)), // Scaleway
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)), // OpenStack
];

/// Names of metadata services. They resolve inside their clouds only.
pub(super) const METADATA_NAMES: [&str; 7] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "instance-data",
];

/// Names under which, and at which, the public DNS holds nothing.
pub(super) const NAMES: [&str; 15] = [
    "alt",
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "svc",
    "test",
];

/// Whether the address belongs to the public Internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !V4.iter().any(|range| range.contains(address)),
        IpAddr::V6(_) => V6_GLOBAL.contains(address) && !V6.iter().any(|range| range.contains(address)),
    }
}

/// Whether the address, or the IPv4 address inside it, is a metadata service's.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(outer) => embedded(outer).map(IpAddr::V4),
    };
    METADATA.contains(&address) || inner.is_some_and(|inner| METADATA.contains(&inner))
}

/// The IPv4 address that a gateway would take out of an IPv6 one.
pub(super) fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // compatible, mapped, and translated by a stateless gateway; NAT64 under the world's prefix and a network's own;
        // 6to4
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        // Teredo hides it from translators by turning every bit
        [0x2001, 0, _, _, _, _, high, low] => Some(join(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn public_addresses_end_where_reserved_ranges_begin() {
        for address in [
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
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2001:ffff::",
            "2003::",
            "2606:4700:4700::1111",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.0",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.0.2.0",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.255",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::808:808",
            "100::1",
            "1fff::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:808:808::",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_metadata_service_is_known_through_every_gateway() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:1::5601:5601",
            "fd00:ec2::254",
            "168.63.129.16",
        ] {
            assert!(is_metadata(address.parse().unwrap()), "{address}");
        }
        assert!(!is_metadata("169.254.169.253".parse().unwrap()));
        assert!(!is_metadata("2606:4700::a9fe:a9fe".parse().unwrap()));
    }
}
