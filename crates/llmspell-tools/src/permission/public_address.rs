//! The addresses that belong to the public network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns whether this address reaches the same machine from anywhere on the internet. False for this machine, its
/// network, and the metadata services of clouds.
///
/// Source: the IANA registries of special-purpose addresses for
/// [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
/// [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) => is_public_6(address),
    }
}

fn is_public_4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let special = match a {
        // This network, private use, loopback; multicast and reserved addresses.
        0 | 10 | 127 | 224.. => true,
        // Carrier-grade NAT.
        100 => b & 0xc0 == 64,
        // Link-local: the metadata of most clouds.
        169 => b == 254,
        172 => b & 0xf0 == 16,
        // Protocol assignments, documentation, private use.
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)),
        // Benchmarks, documentation.
        198 => b & 0xfe == 18 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        // The metadata service of Azure, which no registry lists.
        168 => (b, c, d) == (63, 129, 16),
        _ => false,
    };
    !special
}

fn is_public_6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| is_public_4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        // An IPv4 address behind a translator counts as that IPv4 address.
        (0x64, 0xff9b) => [c, d, e, f] == [0; 4] && v4(g, h),
        (0x2002, high) => v4(high, c),
        // Teredo and other protocol addresses; documentation.
        (0x2001, ..0x200 | 0xdb8) => false,
        (0x3fff, ..0x1000) => false,
        // The rest is not allocated: loopback, mapped, unique local, link-local and multicast addresses.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_all_their_forms() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
