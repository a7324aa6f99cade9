//! Where everything that the API made is kept: a file of the data directory, or a database that several servers share.

use std::fmt;
use std::time::Duration;

use binauthz_store::{Address, InvalidAddress};

use super::InvalidSettings;

/// What stands for the file.
const FILE: &str = "sqlite";
const STALENESS: &str = "storeMaxStalenessSeconds";

/// Where it is kept.
#[derive(Debug, Clone, Default)]
pub enum Database {
    /// SQLite in the data directory, of this server alone.
    #[default]
    File,
    /// PostgreSQL.
    Shared(Box<Address>),
}

impl Database {
    pub(super) fn new(text: Option<&str>) -> Result<Database, InvalidAddress> {
        match text {
            None | Some(FILE) => Ok(Database::File),
            Some(url) => Address::new(url).map(|address| Database::Shared(Box::new(address))),
        }
    }
}

/// Without the password.
impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File => formatter.write_str(FILE),
            Database::Shared(address) => address.fmt(formatter),
        }
    }
}

/// How long a server that does not reach its database goes on deciding from what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staleness(u32);

impl Staleness {
    const DEFAULT: u32 = 300;
    /// Less than a failover takes would deny because of one.
    const LEAST: u32 = 5;
    const MOST: u32 = 86_400;

    pub(super) fn new(seconds: Option<u32>) -> Result<Staleness, InvalidSettings> {
        let value = seconds.unwrap_or(Self::DEFAULT);
        if (Self::LEAST..=Self::MOST).contains(&value) {
            return Ok(Staleness(value));
        }
        Err(InvalidSettings::OutOfRange {
            key: STALENESS,
            value,
            least: Self::LEAST,
            most: Self::MOST,
        })
    }

    /// As a time.
    pub fn limit(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl fmt::Display for Staleness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_default_and_everything_else_is_an_address() {
        for text in [None, Some("sqlite")] {
            assert_eq!(Database::new(text).unwrap().to_string(), "sqlite");
        }
        let shared = Database::new(Some("postgres://a:geheim@db/b")).unwrap();
        assert_eq!(shared.to_string(), "postgres://a@db/b");
        for wrong in ["", "SQLite", "data.db", "mysql://a@db/b"] {
            assert!(Database::new(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn staleness_has_a_range() {
        assert_eq!(Staleness::new(None).unwrap().limit(), Duration::from_secs(300));
        assert_eq!(Staleness::new(Some(5)).unwrap().limit(), Duration::from_secs(5));
        for wrong in [0, 4, 86_401] {
            let error = Staleness::new(Some(wrong)).unwrap_err().to_string();
            assert!(
                error.contains("storeMaxStalenessSeconds") && error.contains("5 to 86400"),
                "{error}"
            );
        }
    }
}
