//! How often somebody may call the API, in memory that does not grow: a table of fixed size for each question, a place for
//! each caller by a keyed hash. Two callers may share a place and then share its rate; nobody can choose whose, because the
//! key is random.
//!
//! A place holds one time: when the bucket would be full again (the generic cell rate algorithm). The webhook asks nothing
//! of this.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::settings::RateLimits;

/// Places of a table: with 100 callers at once, 1 in 40 shares its place. Five tables of 8 bytes a place are 160 KiB.
const PLACES: usize = 4_096;

/// How often, and how much at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// What one call takes, in microseconds.
    each: u64,
    /// What can be owed, in microseconds.
    burst: u64,
}

impl Rate {
    fn new(per_second: u32, burst: u32) -> Rate {
        let each = 1_000_000 / u64::from(per_second.max(1));
        Rate {
            each,
            burst: each.saturating_mul(u64::from(burst)),
        }
    }
}

#[derive(Debug)]
struct Table {
    places: Box<[AtomicU64]>,
    rate: Option<Rate>,
}

/// Whole seconds to wait; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) u64);

impl Wait {
    fn of(micros: u64) -> Wait {
        Wait(micros.div_ceil(1_000_000).max(1))
    }
}

impl Table {
    fn new(rate: Option<Rate>) -> Table {
        Table {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            rate,
        }
    }

    fn place(&self, hash: u64) -> Option<&AtomicU64> {
        let places = u64::try_from(self.places.len()).ok()?;
        self.places.get(usize::try_from(hash % places).ok()?)
    }

    /// How long there is nothing left.
    fn owes(&self, hash: u64, now: u64) -> Result<(), Wait> {
        let (Some(rate), Some(place)) = (self.rate, self.place(hash)) else {
            return Ok(());
        };
        let full = place.load(Ordering::Relaxed);
        let latest = now.saturating_add(rate.burst);
        match full.max(now).saturating_add(rate.each).checked_sub(latest) {
            Some(over) if over > 0 => Err(Wait::of(over)),
            _ => Ok(()),
        }
    }

    /// Takes one, if there is one left.
    fn take(&self, hash: u64, now: u64) -> Result<(), Wait> {
        self.owes(hash, now)?;
        if let (Some(rate), Some(place)) = (self.rate, self.place(hash)) {
            // At most as many as calls at once come through together, and then they are owed.
            let later = |full: u64| Some(full.max(now).saturating_add(rate.each));
            let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        }
        Ok(())
    }
}

/// Who called how often.
#[derive(Debug)]
pub(crate) struct Rates {
    key: RandomState,
    started: Instant,
    sources: Table,
    principals: Table,
    wrong: Table,
    refused: Table,
    recorded: Table,
}

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Rates {
        let rate = |per_second: Option<u32>| per_second.map(|rate| Rate::new(rate, rate.saturating_mul(2)));
        Rates {
            key: RandomState::new(),
            started: Instant::now(),
            sources: Table::new(rate(limits.per_source)),
            principals: Table::new(rate(limits.per_principal)),
            wrong: Table::new(limits.wrong_credentials.map(|burst| Rate::new(1, burst))),
            refused: Table::new(limits.refused_calls.map(|burst| Rate::new(1, burst))),
            recorded: Table::new(limits.recorded_calls.map(|burst| Rate::new(1, burst))),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn hash(&self, of: impl Hash) -> u64 {
        self.key.hash_one(of)
    }

    /// A request from this address: not too many, and not after too many wrong credentials.
    pub(crate) fn source(&self, address: IpAddr) -> Result<(), Wait> {
        let (hash, now) = (self.hash(network(address)), self.now());
        self.wrong.owes(hash, now)?;
        self.sources.take(hash, now)
    }

    /// A wrong credential from this address.
    pub(crate) fn wrong(&self, address: IpAddr) {
        // That there is nothing left is told to the next request.
        let _ = self.wrong.take(self.hash(network(address)), self.now());
    }

    /// A call of this principal: not too many, and not after too many that were refused.
    pub(crate) fn principal(&self, name: &str) -> Result<(), Wait> {
        let (hash, now) = (self.hash(name), self.now());
        self.refused.owes(hash, now)?;
        self.principals.take(hash, now)
    }

    /// A call of this principal that will be on record: not so many that nothing else would be there any more.
    pub(crate) fn recorded(&self, name: &str) -> Result<(), Wait> {
        self.recorded.take(self.hash(name), self.now())
    }

    /// A call of this principal was refused that is on record all the same: nobody shall fill the log with what he may not do.
    pub(crate) fn refused(&self, name: &str) {
        let _ = self.refused.take(self.hash(name), self.now());
    }
}

/// What one caller has for sure: an address, and of IPv6 the 64 bits that a network is given.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0, 0, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            [a, b, c, d, e, f, g, h]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let table = Table::new(Some(Rate::new(10, 20)));
        for call in 0..20 {
            assert_eq!(table.take(7, 0), Ok(()), "{call}");
        }
        assert_eq!(table.take(7, 0), Err(Wait(1)));
        assert_eq!(table.take(7, 99_999), Err(Wait(1)));
        assert_eq!(table.take(7, 100_000), Ok(()));
        assert_eq!(table.take(7, 100_000), Err(Wait(1)));
        assert_eq!(table.take(8, 0), Ok(()), "another place");
        // What is not used is not saved up.
        for call in 0..20 {
            assert_eq!(table.take(7, 1_000_000_000), Ok(()), "{call}");
        }
        assert_eq!(table.take(7, 1_000_000_000), Err(Wait(1)));
        assert_eq!(Table::new(None).take(7, 0), Ok(()));
    }

    #[test]
    fn wrong_credentials_shut_out_a_source_and_nobody_else() {
        let rates = Rates::new(RateLimits {
            per_source: None,
            per_principal: None,
            wrong_credentials: Some(10),
            refused_calls: Some(3),
            recorded_calls: Some(2),
        });
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..10 {
            assert_eq!(rates.source(one), Ok(()));
            rates.wrong(one);
        }
        assert_eq!(rates.source(one), Err(Wait(1)));
        assert_eq!(rates.source("::ffff:192.0.2.1".parse().unwrap()), Err(Wait(1)));
        assert_eq!(rates.source(other), Ok(()));
        for _ in 0..3 {
            assert_eq!(rates.principal("one"), Ok(()));
            rates.refused("one");
        }
        assert_eq!(rates.principal("one"), Err(Wait(1)));
        assert_eq!(rates.principal("other"), Ok(()));
        let recorded = ["one", "one", "one", "other"].map(|name| rates.recorded(name).is_ok());
        assert_eq!(recorded, [true, true, false, true]);
        for _ in 0..1_000_000 {
            rates.wrong(one);
        }
        // More of them do not lengthen it.
        assert_eq!(rates.source(one), Err(Wait(1)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
