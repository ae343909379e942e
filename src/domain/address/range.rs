//! Ranges of IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    network: IpAddr,
    prefix: u8,
}

impl Range {
    /// An IPv4 range, for tables.
    pub(super) const fn v4(network: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = network;
        Self {
            network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    /// An IPv6 range, for tables; `network` holds the first segments, the rest are zero.
    pub(super) const fn v6(network: [u16; 4], prefix: u8) -> Self {
        let [a, b, c, d] = network;
        Self {
            network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)),
            prefix,
        }
    }

    /// One address, for tables.
    pub(super) const fn only(address: IpAddr) -> Self {
        Self {
            network: address,
            prefix: width(address),
        }
    }

    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address. Bits behind the prefix are refused: whoever sets them meant
    /// another range than the one that would be opened.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = network.parse().ok()?;
        let width = width(network);
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => width,
        };
        let behind = bits(network).checked_shl(128 - u32::from(width.checked_sub(prefix)?));
        (behind.unwrap_or(0) == 0).then_some(Self { network, prefix })
    }

    /// Whether `address` is in it. IPv4 and IPv6 are never in one range, mapped or not.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let behind = u32::from(width(self.network).saturating_sub(self.prefix));
        width(self.network) == width(address)
            && (bits(self.network) ^ bits(address))
                .checked_shr(behind)
                .unwrap_or(0)
                == 0
    }

    /// Whether it is `address` and no other.
    pub(super) fn is_only(self, address: IpAddr) -> bool {
        self.network == address && self.prefix == width(address)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_holds_its_first_and_last_address_and_not_their_neighbours() {
        for (range, inside, outside) in [
            (
                "172.16.0.0/12",
                ["172.16.0.0", "172.31.255.255"],
                ["172.15.255.255", "172.32.0.0"],
            ),
            ("10.1.2.3", ["10.1.2.3", "10.1.2.3"], ["10.1.2.2", "10.1.2.4"]),
            (
                "0.0.0.0/0",
                ["0.0.0.0", "255.255.255.255"],
                ["::", "::ffff:1.2.3.4"],
            ),
            (
                "fc00::/7",
                ["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
                ["fbff::", "fe00::"],
            ),
            ("::/0", ["::", "ffff::"], ["0.0.0.0", "127.0.0.1"]),
            ("::1/128", ["::1", "::1"], ["::", "::2"]),
        ] {
            let parsed = Range::parse(range).unwrap();
            for address in inside {
                assert!(parsed.contains(address.parse().unwrap()), "{address} in {range}");
            }
            for address in outside {
                assert!(
                    !parsed.contains(address.parse().unwrap()),
                    "{address} not in {range}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_range_or_has_bits_behind_its_prefix_is_refused() {
        for text in [
            "",
            "/",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "010.0.0.0/8",
            "::/129",
            "fe80::1%eth0",
            "fd00::1/8",
            "1.0.0.0/0",
            "10.0.0.0/8/8",
            "example.com",
            "10.0.0.0/999",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_range_of_its_own_first_bits(address in any::<IpAddr>(), cut in 0_u32..=128) {
            let width = u32::from(width(address));
            let behind = cut.min(width);
            let network = match address {
                IpAddr::V4(v4) => IpAddr::V4(v4.to_bits().checked_shr(behind).and_then(|bits| bits.checked_shl(behind)).unwrap_or(0).into()),
                IpAddr::V6(v6) => IpAddr::V6(v6.to_bits().checked_shr(behind).and_then(|bits| bits.checked_shl(behind)).unwrap_or(0).into()),
            };
            let range = Range::parse(&format!("{network}/{}", width - behind)).unwrap();
            prop_assert!(range.contains(address));
            prop_assert_eq!(range.is_only(address), behind == 0);
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f.:/%+-]{0,24}") {
            prop_assert!(Range::parse(&text).is_none_or(|range| range.contains(range.network)));
        }
    }
}
