//! Where the database is, and how it is reached: a URL, strict where the usual readers of such URLs are lenient.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::Tls;

/// The longest file of a password.
const MAX_PASSWORD: u64 = 1_024;
/// What need not be said.
const DEFAULT_PORT: u16 = 5432;
/// For each address that a host name has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that does not acknowledge is given up after this: without it the system waits a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Why an address of a database cannot be used. The text never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAddress {
    /// It is no URL of PostgreSQL.
    #[error("expected `postgres://USER@HOST/DATABASE`: {0}")]
    Url(&'static str),
    /// What follows the `?` cannot be read.
    #[error("`{name}` cannot be set in the address of the database: {why}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A way of TLS that proves nothing.
    #[error(
        "`sslmode={0}` does not prove who the database is: expected `verify-full` (the default), or `disable` on a trusted network"
    )]
    SslMode(String),
    /// A file that it names.
    #[error("`{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where a PostgreSQL database is.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    /// Nothing on a unix socket, or where the operator said so.
    pub(super) tls: Option<Tls>,
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let port = |place: usize| match ports {
            [one] => Some(*one),
            many => many.get(place).copied(),
        };
        let hosts: Vec<String> = (0..)
            .zip(self.config.get_hosts())
            .map(|(place, host)| match (host, port(place)) {
                (Host::Tcp(name), Some(port)) if port != DEFAULT_PORT => format!("{name}:{port}"),
                (Host::Tcp(name), _) => name.clone(),
                (Host::Unix(path), _) => path.display().to_string(),
            })
            .collect();
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(formatter, "postgres://{user}@{}/{database}", hosts.join(","))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What we read of the parameters ourselves.
#[derive(Default)]
struct Own {
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
    passwordfile: Option<PathBuf>,
}

impl Address {
    /// Reads `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST…]/DATABASE[?PARAMETER=VALUE&…]`, and the files that it names.
    ///
    /// Over TCP it speaks TLS and checks the certificate and the name in it, unless `sslmode=disable`. `sslrootcert` names the
    /// authorities trusted in place of the system's; `passwordfile` a file that holds the password.
    ///
    /// # Errors
    /// [`InvalidAddress`], which names what is wrong.
    pub fn new(url: &str) -> Result<Address, InvalidAddress> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(InvalidAddress::Url("it does not begin like this"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (own, rest) = sorted(query)?;
        let whole = if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{rest}")
        };
        // The library's own text could hold a part of the URL.
        let mut config: Config = whole
            .parse()
            .map_err(|_| InvalidAddress::Url("it cannot be read"))?;
        let is_empty = |text: Option<&str>| text.is_none_or(str::is_empty);
        for (is_missing, why) in [
            (config.get_hosts().is_empty(), "there is no host in it"),
            (is_empty(config.get_user()), "there is no user in it"),
            (is_empty(config.get_dbname()), "there is no database in it"),
        ] {
            if is_missing {
                return Err(InvalidAddress::Url(why));
            }
        }
        if let Some(path) = &own.passwordfile {
            config.password(password(path)?);
        }
        let tls = tls(&config, &own)?;
        config
            .ssl_mode(if tls.is_some() {
                SslMode::Require
            } else {
                SslMode::Disable
            })
            .application_name("binauthz")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(UNACKNOWLEDGED)
            // Of several hosts the one that writes, also after a failover.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Address { config, tls })
    }
}

/// Parameters that are ours, and those of the library. Whatever would weaken what is promised is refused.
fn sorted(query: &str) -> Result<(Own, String), InvalidAddress> {
    let (mut own, mut rest) = (Own::default(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let refused = |why| InvalidAddress::Parameter {
            name: name.to_owned(),
            why,
        };
        match name {
            "sslmode" => own.sslmode = Some(value.to_owned()),
            "sslrootcert" | "passwordfile" => {
                if value.contains('%') || !value.starts_with('/') {
                    return Err(refused("expected the absolute path of a file, written as it is"));
                }
                let path = Some(PathBuf::from(value));
                if name == "sslrootcert" {
                    own.sslrootcert = path;
                } else {
                    own.passwordfile = path;
                }
            }
            "host" | "port" | "hostaddr" | "dbname" | "user" => rest.push(pair),
            "password" => return Err(refused("it belongs before the `@`, or into a `passwordfile`")),
            _ => {
                return Err(refused(
                    "expected `sslmode`, `sslrootcert`, `passwordfile`, `host` or `port`",
                ));
            }
        }
    }
    Ok((own, rest.join("&")))
}

fn tls(config: &Config, own: &Own) -> Result<Option<Tls>, InvalidAddress> {
    let is_local = config
        .get_hosts()
        .iter()
        .all(|host| matches!(host, Host::Unix(_)));
    match own.sslmode.as_deref() {
        None if is_local => Ok(None),
        Some("disable") => Ok(None),
        Some("verify-full") if is_local => Err(InvalidAddress::Parameter {
            name: "sslmode".to_owned(),
            why: "there is no TLS on a unix socket",
        }),
        None | Some("verify-full") => Tls::new(own.sslrootcert.as_deref()).map(Some),
        Some(other) => Err(InvalidAddress::SslMode(other.chars().take(32).collect())),
    }
}

/// One line, without its end.
fn password(path: &Path) -> Result<String, InvalidAddress> {
    use std::io::Read as _;
    let failed = |problem: String| InvalidAddress::File {
        path: path.to_owned(),
        problem,
    };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    file.take(MAX_PASSWORD + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || text.len() as u64 > MAX_PASSWORD || line.contains(char::is_control) {
        return Err(failed(format!(
            "expected a password: one line of at most {MAX_PASSWORD} bytes"
        )));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address =
            Address::new("postgres://alice:geheim@db.example:5433,other/binauthz?sslmode=disable").unwrap();
        assert_eq!(
            address.to_string(),
            "postgres://alice@db.example:5433,other/binauthz"
        );
        assert!(!format!("{address:?}").contains("geheim"));
    }

    #[test]
    fn tls_is_the_default_over_tcp_and_there_is_none_on_a_socket() {
        for (url, expected) in [
            ("postgres://a@db/b", true),
            ("postgresql://a@db/b?sslmode=verify-full", true),
            ("postgres://a@db/b?sslmode=disable", false),
            ("postgres://a@%2Frun%2Fpostgresql/b", false),
            ("postgres://a@/b?host=/run/postgresql", false),
        ] {
            assert_eq!(Address::new(url).unwrap().tls.is_some(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        for (url, expected) in [
            ("mysql://a:geheim@db/b", "postgres://USER@HOST/DATABASE"),
            ("postgres://a:geheim@db:port/b", "cannot be read"),
            ("postgres://:geheim@db/b", "no user"),
            ("postgres://a:geheim@db", "no database"),
            ("postgres://a:geheim@/b", "no host"),
            ("postgres://a:geheim@db/b?sslmode=require", "sslmode=require"),
            ("postgres://a:geheim@db/b?sslmode=prefer", "verify-full"),
            ("postgres://a:geheim@db/b?sslmode=", "verify-full"),
            ("postgres://a:geheim@%2Frun/b?sslmode=verify-full", "unix socket"),
            ("postgres://a:geheim@db/b?sslrootcert=ca.pem", "absolute path"),
            (
                "postgres://a:geheim@db/b?sslrootcert=/no/such.pem",
                "/no/such.pem",
            ),
            ("postgres://a@db/b?passwordfile=/no/such", "/no/such"),
            ("postgres://a@db/b?password=geheim", "before the `@`"),
            (
                "postgres://a:geheim@db/b?options=-csynchronous_commit%3Doff",
                "options",
            ),
            (
                "postgres://a:geheim@db/b?target_session_attrs=any",
                "target_session_attrs",
            ),
        ] {
            let error = Address::new(url).unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("geheim"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn a_password_is_one_line_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Address::new(&format!(
                "postgres://a@db/b?sslmode=disable&passwordfile={}",
                path.display()
            ))
            .map(|address| address.config.get_password().map(<[u8]>::to_vec))
        };
        assert_eq!(read("geheim\n").unwrap().unwrap(), b"geheim");
        for wrong in ["", "\n", "a\nb\n", &"x".repeat(2_000)] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
