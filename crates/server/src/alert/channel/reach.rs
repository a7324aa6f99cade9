//! Where notices may go. Whoever may make a channel chooses an address, and this server stands inside networks that they
//! perhaps do not: what is not public is refused unless the operator named it.
//!
//! What counts is the address that is connected to, and not what a name meant when somebody looked: names are resolved once,
//! by the client itself, and what is refused is taken out of the answer.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Networks and hosts that notices may go to, beside what is public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(Vec<Place>);

/// What the operator may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Addresses that begin with so many bits of this one.
    Network(IpAddr, u8),
    /// A host by its name, wherever that leads.
    Host(String),
}

/// The address is one of a network that nobody named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its address is none of the public internet, and `channelsMayReach` does not name it")]
pub struct OutOfReach;

impl Reach {
    /// What is public, and these.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Reach {
        Reach(places)
    }

    /// What is public, and this machine.
    #[must_use]
    pub fn with_this_machine(mut self) -> Reach {
        let machine = [
            Place::Network(Ipv4Addr::LOCALHOST.into(), 8),
            Place::Network(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        for place in machine {
            if !self.0.contains(&place) {
                self.0.push(place);
            }
        }
        self
    }

    /// Refuses a URL whose host is an address out of reach. A name is judged by where it leads.
    pub(super) fn check(&self, url: &Url) -> Result<(), OutOfReach> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) if !self.allows(address) => Err(OutOfReach),
            _ => Ok(()),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_within = |place: &Place| match place {
            Place::Network(network, bits) => begins_alike(address, *network, *bits),
            Place::Host(_) => false,
        };
        is_public(address) || self.0.iter().any(is_within)
    }

    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let is_it = |place: &Place| matches!(place, Place::Host(name) if name.eq_ignore_ascii_case(host));
        self.0.iter().any(is_it)
    }

    /// What of a name's addresses may be connected to.
    fn of(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
        if self.names(host) {
            return Ok(found);
        }
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.allows(address.ip()))
            .collect();
        match allowed.is_empty() {
            true => Err(OutOfReach),
            false => Ok(allowed),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            // The client puts the port of the URL in the place of this one.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(reach.of(name.as_str(), found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is of the public internet, by the registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let special: [(Ipv4Addr, u8); 15] = [
                (Ipv4Addr::new(0, 0, 0, 0), 8),
                (Ipv4Addr::new(10, 0, 0, 0), 8),
                (Ipv4Addr::new(100, 64, 0, 0), 10),
                (Ipv4Addr::new(127, 0, 0, 0), 8),
                (Ipv4Addr::new(169, 254, 0, 0), 16),
                (Ipv4Addr::new(172, 16, 0, 0), 12),
                (Ipv4Addr::new(192, 0, 0, 0), 24),
                (Ipv4Addr::new(192, 0, 2, 0), 24),
                (Ipv4Addr::new(192, 88, 99, 0), 24),
                (Ipv4Addr::new(192, 168, 0, 0), 16),
                (Ipv4Addr::new(198, 18, 0, 0), 15),
                (Ipv4Addr::new(198, 51, 100, 0), 24),
                (Ipv4Addr::new(203, 0, 113, 0), 24),
                (Ipv4Addr::new(224, 0, 0, 0), 4),
                (Ipv4Addr::new(240, 0, 0, 0), 4),
            ];
            let is_of =
                |(network, bits): &(Ipv4Addr, u8)| begins_alike(address.into(), (*network).into(), *bits);
            !special.iter().any(is_of)
        }
        IpAddr::V6(address) => {
            // An address of IPv4 behind a translator.
            if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                return is_public(Ipv4Addr::new(a, b, c, d).into());
            }
            let of = |first: [u16; 2], bits| {
                let [a, b] = first;
                begins_alike(address.into(), Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).into(), bits)
            };
            // Global unicast, without protocol assignments, documentation and tunnels to addresses of IPv4.
            let special = [
                ([0x2001, 0], 23),
                ([0x2001, 0xdb8], 32),
                ([0x2002, 0], 16),
                ([0x3fff, 0], 20),
            ];
            of([0x2000, 0], 3) && !special.into_iter().any(|(first, bits)| of(first, bits))
        }
    }
}

/// Whether two addresses of one kind have the same first bits.
fn begins_alike(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let shift = |width: u32| width.saturating_sub(bits.into());
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits())
                .checked_shr(shift(32))
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits())
                .checked_shr(shift(128))
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

/// A network as `ADDRESS/BITS`, an address, or a host name.
impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Place, &'static str> {
        const EXPECTED: &str = "expected a network such as 10.1.0.0/16, an address, or a host name";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            // What ends with a number is an address to whoever connects, in a form that is none here.
            let is_name = text
                .rsplit('.')
                .next()
                .is_some_and(|last| last.contains(|letter: char| letter.is_ascii_alphabetic()));
            let is_host =
                is_name && text.len() <= 253 && text.bytes().all(is_plain) && !text.starts_with("0x");
            return is_host.then(|| Place::Host(text.to_owned())).ok_or(EXPECTED);
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse::<u8>().map_err(|_| EXPECTED)?,
            None => width,
        };
        let is_network = (1..=width).contains(&bits);
        is_network
            .then_some(Place::Network(address, bits))
            .ok_or(EXPECTED)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Network(address, bits) => write!(formatter, "{address}/{bits}"),
            Place::Host(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.0.iter().map(Place::to_string).collect();
        write!(formatter, "[{}]", places.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(places: &[&str]) -> Reach {
        Reach::new(places.iter().map(|place| place.parse().unwrap()).collect())
    }

    #[test]
    fn what_is_not_public_is_out_of_reach_however_it_is_written() {
        let check = |host: &str| reach(&[]).check(&format!("http://{host}/x").parse().unwrap());
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.1.2.3",
            "255.255.255.255",
            "203.0.113.7",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "[2001::1]",
            "[3fff::1]",
            "[100::1]",
        ] {
            assert_eq!(check(host), Err(OutOfReach), "{host}");
        }
        for host in [
            "1.1.1.1",
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "[2606:4700::1111]",
            "[64:ff9b::808:808]",
            "[2001:4860::8888]",
            "hooks.example.com",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_name_leads_to_what_is_in_reach_of_its_addresses() {
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), 0);
        let all = vec![at("10.1.2.3"), at("8.8.8.8"), at("::1")];
        assert_eq!(reach(&[]).of("h.example", all.clone()), Ok(vec![at("8.8.8.8")]));
        let private = vec![at("10.1.2.3"), at("::1")];
        assert_eq!(reach(&[]).of("h.example", private.clone()), Err(OutOfReach));
        assert_eq!(
            reach(&["10.1.0.0/16"]).of("h.example", private.clone()),
            Ok(vec![at("10.1.2.3")])
        );
        assert_eq!(
            reach(&["10.2.0.0/16"]).of("h.example", private.clone()),
            Err(OutOfReach)
        );
        for host in ["h.example", "H.Example", "h.example."] {
            assert_eq!(
                reach(&["h.example"]).of(host, private.clone()),
                Ok(private.clone()),
                "{host}"
            );
        }
        for host in ["x.h.example", "h.example.org", "xh.example"] {
            assert_eq!(
                reach(&["h.example"]).of(host, private.clone()),
                Err(OutOfReach),
                "{host}"
            );
        }
        assert!(
            reach(&[])
                .with_this_machine()
                .of("localhost", vec![at("127.0.0.1")])
                .is_ok()
        );
    }

    #[test]
    fn a_place_is_a_network_an_address_or_a_host() {
        for (text, shown) in [
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("hooks.internal", "hooks.internal"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown);
            assert_eq!(shown.parse::<Place>(), text.parse::<Place>());
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/0",
            "::/129",
            "10.0.0.0/x",
            "10.0.0",
            "127.1",
            "2130706433",
            "a b",
            "http://a",
            "a/8",
            "*.internal",
            "a:80",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
