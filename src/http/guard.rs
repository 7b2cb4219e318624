//! Which addresses may be connected to. Templates and names are configured, but what they resolve to is not: an address
//! inside the house, or a cloud's metadata service, is refused before a connection is made.
//!
//! `reach` is pure. `Resolver` is given to the HTTP client, which never asks it about literal addresses: those are
//! checked with `check_literal`, after the url crate has read their many notations (`0x7f.1`, `2130706433`, `[::1]`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The public internet.
    Public,
    /// Private, loopback, link-local, unique-local, carrier-grade NAT, multicast, reserved: only for `private = true`.
    Private,
    /// A cloud's metadata service, which hands out credentials: never.
    Metadata,
}

/// An address that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// See [`Reach::Private`].
    #[error("{0} is a private address: set `private = true` on the system if that is meant")]
    Private(IpAddr),
    /// See [`Reach::Metadata`].
    #[error("{0} is a cloud's metadata service: never contacted")]
    Metadata(IpAddr),
}

/// Where `ip` leads. An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64 ...) leads at least as far as that.
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

// One line for each entry of the registry reads better than one pattern that folds them.
#[allow(clippy::unnested_or_patterns)]
fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, d] = ip.octets();
    match (a, b, c, d) {
        // AWS, Google, Azure, OpenStack; ECS and EKS; Alibaba; Oracle; Azure's wire server.
        (169, 254, 169, 254)
        | (169, 254, 170, 2 | 23)
        | (100, 100, 100, 200)
        | (192, 0, 0, 192)
        | (168, 63, 129, 16) => Reach::Metadata,
        // RFC 6890 and its registry, in order.
        (0 | 10 | 127, ..)
        | (100, 64..=127, ..)
        | (169, 254, ..)
        | (172, 16..=31, ..)
        | (192, 0, 0 | 2, _)
        | (192, 88, 99, _)
        | (192, 168, ..)
        | (198, 18 | 19, ..)
        | (198, 51, 100, _)
        | (203, 0, 113, _)
        | (224.., ..) => Reach::Private,
        _ => Reach::Public,
    }
}

// As above; and the order of the arms matters where one range lies in another.
#[allow(clippy::unnested_or_patterns, clippy::match_same_arms)]
fn reach_v6(ip: Ipv6Addr) -> Reach {
    let v4 =
        |high: u16, low: u16| reach_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        // fd00:ec2::254 (AWS), ::23 (EKS), fd20:ce::254 (Google), fe80::a9fe:a9fe (OpenStack).
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23]
        | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
        | [0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => Reach::Metadata,
        // Mapped (and the deprecated compatible) addresses are IPv4; `::` and `::1` are among the latter, in 0/8.
        [0, 0, 0, 0, 0, 0xffff, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] => v4(high, low).max(Reach::Private),
        // NAT64 (RFC 6052, 8215) and 6to4 (RFC 3056) lead to the address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, .., high, low] => v4(high, low).max(Reach::Private),
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo, ORCHID, documentation, discard-only; unique-local, link-local, site-local, multicast.
        [0x2001, 0..=0x1ff | 0xdb8, ..]
        | [0x100, ..]
        | [0x3fff, 0..=0xfff, ..]
        | [0xfc00..=0xfdff | 0xfe80..=0xffff, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

/// Whether `ip` may be connected to, by a system that says `private` or does not.
pub fn check(ip: IpAddr, private: bool) -> Result<(), Forbidden> {
    match reach(ip) {
        Reach::Metadata => Err(Forbidden::Metadata(ip)),
        Reach::Private if !private => Err(Forbidden::Private(ip)),
        Reach::Private | Reach::Public => Ok(()),
    }
}

/// Checks the host of a parsed URL if it is a literal address; a name is left to the [`Resolver`].
pub fn check_literal(url: &Url, private: bool) -> Result<(), Forbidden> {
    // The url crate has turned every notation of an address into the one that parses here.
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(ip) => check(ip, private),
        Err(_) => Ok(()),
    }
}

/// Resolves names with the system's resolver, and refuses a name any of whose addresses is forbidden.
#[derive(Debug, Clone, Copy)]
pub struct Resolver {
    /// Private addresses are meant.
    pub private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                check(address.ip(), private)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_lead_where_the_registries_say() {
        for (reach_of, addresses) in [
            (
                Reach::Public,
                &[
                    "1.1.1.1",
                    "93.184.216.34",
                    "172.32.0.1",
                    "100.128.0.1",
                    "2606:4700::1111",
                    "64:ff9b::101:101",
                    "2002:101:101::",
                    "::ffff:1.1.1.1",
                ][..],
            ),
            (
                Reach::Private,
                &[
                    "0.0.0.0",
                    "10.1.2.3",
                    "127.0.0.1",
                    "127.255.0.1",
                    "100.64.0.1",
                    "169.254.1.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "192.0.2.1",
                    "198.18.0.1",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "::1",
                    "fe80::1",
                    "fc00::1",
                    "fdff::1",
                    "fec0::1",
                    "ff02::1",
                    "2001:db8::1",
                    "::ffff:127.0.0.1",
                    "::ffff:10.0.0.1",
                    "::7f00:1",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                    "2001:0:1::1",
                ],
            ),
            (
                Reach::Metadata,
                &[
                    "169.254.169.254",
                    "169.254.170.2",
                    "100.100.100.200",
                    "192.0.0.192",
                    "168.63.129.16",
                    "fd00:ec2::254",
                    "fe80::a9fe:a9fe",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2002:a9fe:a9fe::",
                    "::a9fe:a9fe",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(
                    reach(address.parse().expect(address)),
                    reach_of,
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn every_notation_of_a_literal_address_is_seen_through() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "１２７.0.0.1",
            "[::1]",
            "[::ffff:7f00:1]",
            "[0:0::1]",
            "0",
            "127.0.0.1.",
        ] {
            let url = Url::parse(&format!("http://{host}/")).expect(host);
            assert!(
                matches!(check_literal(&url, false), Err(Forbidden::Private(_))),
                "{host}"
            );
            assert_eq!(check_literal(&url, true), Ok(()), "{host}");
        }
        for host in [
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "[fd00:ec2::254]",
            "[::ffff:a9fe:a9fe]",
        ] {
            let url = Url::parse(&format!("http://{host}/latest/")).expect(host);
            assert!(
                matches!(check_literal(&url, true), Err(Forbidden::Metadata(_))),
                "{host}"
            );
        }
        let name = Url::parse("https://crm.example/").expect("a name");
        assert_eq!(check_literal(&name, false), Ok(()));
    }

    #[tokio::test]
    async fn a_name_is_checked_by_what_it_resolves_to() {
        let resolve = |private| async move {
            let name = "localhost".parse().expect("a name");
            Resolver { private }
                .resolve(name)
                .await
                .map(Iterator::count)
        };
        let error = resolve(false).await.expect_err("loopback");
        assert!(error.downcast_ref::<Forbidden>().is_some(), "{error}");
        assert!(resolve(true).await.expect("meant") > 0);
    }

    proptest! {
        #[test]
        fn an_address_inside_another_is_never_freer(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for wrapped in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert!(reach(wrapped.into()) >= reach(v4.into()), "{wrapped}");
            }
        }
    }
}
