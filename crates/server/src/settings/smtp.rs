//! The mail server that notices are handed to.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use binauthz_wire::monitoring::channel::is_mail_address;
use serde::Deserialize;

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS before anything is said; a server that has it not is left.
    Starttls,
    /// None; to this machine alone.
    None,
}

impl Security {
    fn as_str(self) -> &'static str {
        match self {
            Security::Tls => "tls",
            Security::Starttls => "starttls",
            Security::None => "none",
        }
    }

    fn port(self) -> u16 {
        match self {
            Security::Tls => 465,
            Security::Starttls => 587,
            Security::None => 25,
        }
    }
}

/// The block `smtp` of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Block {
    host: String,
    port: Option<u16>,
    security: Option<Security>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    from: String,
    authorities: Option<PathBuf>,
}

/// A mail server, and who mail is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Whom to log in as, and the file that holds the password.
    pub login: Option<(String, PathBuf)>,
    /// The address that mail is from.
    pub from: String,
    /// The authorities of its certificate, where they are not the system's.
    pub authorities: Option<PathBuf>,
}

impl Smtp {
    /// Checks a block; the sentence says what is wrong with which member.
    pub(super) fn new(block: Block, dev: bool) -> Result<Smtp, String> {
        let is_host = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_host(&block.host) {
            return Err("`smtp.host` must be the name or the address of a mail server".to_owned());
        }
        if !is_mail_address(&block.from) {
            return Err(format!(
                "`smtp.from` is `{}`, expected one address such as `binauthz@example.com`",
                block.from.escape_debug()
            ));
        }
        let security = block.security.unwrap_or(Security::Tls);
        let is_loopback = block.host == "localhost"
            || block
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if security == Security::None && !(dev && is_loopback) {
            return Err(
                "`smtp.security` is `none`, which is for `--dev` and a mail server on loopback; expected `tls` or `starttls`"
                    .to_owned(),
            );
        }
        let login = match (block.username, block.password_file) {
            (None, None) => None,
            (Some(username), Some(file)) if !username.is_empty() && !username.contains(char::is_control) => {
                Some((username, file))
            }
            (Some(_), Some(_)) => {
                return Err("`smtp.username` must be a name without control characters".to_owned());
            }
            _ => {
                return Err(
                    "`smtp.username` and `smtp.passwordFile` are given together or not at all".to_owned(),
                );
            }
        };
        Ok(Smtp {
            port: block.port.unwrap_or_else(|| security.port()),
            host: block.host,
            security,
            login,
            from: block.from,
            authorities: block.authorities,
        })
    }
}

/// As it is written in the file; the password is not in it.
impl fmt::Display for Smtp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port, from) = (&self.host, self.port, &self.from);
        let security = self.security.as_str();
        let mut members =
            serde_json::json!({ "host": host, "port": port, "security": security, "from": from });
        if let Some((username, file)) = &self.login {
            members["username"] = username.as_str().into();
            members["passwordFile"] = file.display().to_string().into();
        }
        if let Some(file) = &self.authorities {
            members["authorities"] = file.display().to_string().into();
        }
        // JSON is YAML.
        write!(formatter, "{members}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, dev: bool) -> Result<Smtp, String> {
        Smtp::new(
            serde_saphyr::from_str(text).map_err(|error| error.to_string())?,
            dev,
        )
    }

    #[test]
    fn the_port_follows_from_the_protection() {
        let least = "{host: mail.example.com, from: a@example.com}";
        let smtp = read(least, false).unwrap();
        assert_eq!((smtp.port, smtp.security), (465, Security::Tls));
        let smtp = read("{host: m, from: a@b, security: starttls}", false).unwrap();
        assert_eq!(smtp.port, 587);
        let whole = "{host: m, port: 2525, security: starttls, from: a@b, username: u, passwordFile: f, authorities: c}";
        let smtp = read(whole, false).unwrap();
        assert_eq!(read(&smtp.to_string(), false), Ok(smtp));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, dev, expected) in [
            ("{from: a@b}", false, "host"),
            ("{host: '', from: a@b}", false, "smtp.host"),
            ("{host: 'a b', from: a@b}", false, "smtp.host"),
            ("{host: m, from: nobody}", false, "smtp.from"),
            (r#"{host: m, from: "a@b\r\nBcc: c@d"}"#, false, "smtp.from"),
            ("{host: m, from: a@b, username: u}", false, "together"),
            ("{host: m, from: a@b, passwordFile: f}", false, "together"),
            (
                "{host: m, from: a@b, username: \"a\\0b\", passwordFile: f}",
                false,
                "smtp.username",
            ),
            ("{host: m, from: a@b, security: none}", true, "smtp.security"),
            (
                "{host: 127.0.0.1, from: a@b, security: none}",
                false,
                "smtp.security",
            ),
            ("{host: m, from: a@b, security: maybe}", false, "maybe"),
            ("{host: m, from: a@b, password: x}", false, "password"),
        ] {
            let error = read(text, dev).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for host in ["127.0.0.1", "localhost", "'::1'"] {
            assert!(read(&format!("{{host: {host}, from: a@b, security: none}}"), true).is_ok());
        }
    }
}
