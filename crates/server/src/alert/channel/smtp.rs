//! One message to one mail server, by the mail library, with limits.

use std::error::Error as _;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use lettre::Address;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::Response;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::lines::Lines;
use super::{LONGEST_WAIT, SendError};
use crate::settings::{Security, Smtp};

/// The longest password file.
const MAX_PASSWORD: usize = 1_024;

/// Why there is no way to send mail.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// A file that the settings name.
    #[error("`{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The host is no name that a certificate could have.
    #[error("`smtp.host` is `{0}`, which no certificate can be for")]
    Host(String),
    /// The sender is no address.
    #[error("`smtp.from` is `{0}`, expected one address such as `binauthz@example.com`")]
    From(String),
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Hands mail to the one server that the settings name.
#[derive(Clone)]
pub struct Mailer {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    port: u16,
    security: Security,
    login: Option<(String, Zeroizing<String>)>,
    from: Address,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mailer")
    }
}

impl Mailer {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// [`MailerError`] naming what is wrong.
    pub fn new(smtp: &Smtp) -> Result<Mailer, MailerError> {
        let name =
            ServerName::try_from(smtp.host.clone()).map_err(|_| MailerError::Host(smtp.host.clone()))?;
        let from = smtp.from.parse();
        let login = match &smtp.login {
            Some((username, file)) => Some((username.clone(), password(file)?)),
            None => None,
        };
        Ok(Mailer {
            inner: Arc::new(Inner {
                host: smtp.host.clone(),
                port: smtp.port,
                security: smtp.security,
                login,
                from: from.map_err(|_| MailerError::From(smtp.from.clone()))?,
                name,
                tls: TlsConnector::from(Arc::new(tls(smtp.authorities.as_ref())?)),
            }),
        })
    }

    /// Whom mail is from.
    pub(super) fn from(&self) -> &Address {
        &self.inner.from
    }

    /// Hands over one message.
    pub(super) async fn send(&self, to: &Address, message: &[u8]) -> Result<(), SendError> {
        let deadline = Instant::now() + LONGEST_WAIT;
        let Ok(outcome) = timeout_at(deadline, self.inner.deliver(to, message)).await else {
            return Err(SendError::Later(format!(
                "the mail server did not take it within {} s",
                LONGEST_WAIT.as_secs()
            )));
        };
        // It has been taken; whether the farewell arrives does not matter.
        let _ = timeout_at(deadline, outcome?.command(Quit)).await;
        Ok(())
    }
}

impl Inner {
    /// Up to the point where the message was taken. Each step is asked for by itself: the library's own round of them says
    /// goodbye to a server that refused one, and waits for an answer, before it tells; and it would send the message to a
    /// server that answers 250 to DATA.
    async fn deliver(&self, to: &Address, message: &[u8]) -> Result<AsyncSmtpConnection, SendError> {
        let (mut talk, offers) = self.connect().await?;
        if let Some((username, password)) = &self.login {
            if !offers.supports_auth_mechanism(Mechanism::Plain) {
                return Err(SendError::Later(
                    "the mail server does not offer AUTH PLAIN, and no other login is used".to_owned(),
                ));
            }
            let credentials = Credentials::new(username.clone(), password.to_string());
            let login = Auth::new(Mechanism::Plain, credentials, None);
            let login = login.map_err(|error| failed(&error, "the login"))?;
            ask(&mut talk, login, 235, "the login").await?;
        }
        let sender = Mail::new(Some(self.from.clone()), Vec::new());
        ask(&mut talk, sender, 250, "the sender").await?;
        ask(&mut talk, Rcpt::new(to.clone(), Vec::new()), 250, "the address").await?;
        ask(&mut talk, Data, 354, "DATA").await?;
        expect(talk.message(message).await, 250, "the message")?;
        Ok(talk)
    }

    /// A connection as protected as the settings want it, and what is offered there.
    async fn connect(&self) -> Result<(AsyncSmtpConnection, ServerInfo), SendError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|_| SendError::Later("cannot connect to the mail server".to_owned()))?;
        let hello = match stream.local_addr().map_err(|_| broken())?.ip() {
            IpAddr::V4(address) => ClientId::Ipv4(address),
            IpAddr::V6(address) => ClientId::Ipv6(address),
        };
        let lines = Lines::new(stream);
        if self.security == Security::Tls {
            self.secure(&lines).await?;
        }
        let talk = AsyncSmtpConnection::connect_with_transport(Box::new(lines.clone()), &hello).await;
        let mut talk = talk.map_err(|error| failed(&error, "the greeting"))?;
        let mut offers = talk.server_info().clone();
        if self.security == Security::Starttls {
            if !offers.supports_feature(Extension::StartTls) {
                return Err(SendError::Later(
                    "the mail server does not offer STARTTLS, and nothing is said without it".to_owned(),
                ));
            }
            ask(&mut talk, Starttls, 220, "STARTTLS").await?;
            self.secure(&lines).await?;
            // What was offered without TLS counts no more.
            let said = ask(&mut talk, Ehlo::new(hello), 250, "EHLO").await?;
            offers = ServerInfo::from_response(&said).map_err(|error| failed(&error, "EHLO"))?;
        }
        Ok((talk, offers))
    }

    /// Puts TLS under a connection.
    async fn secure(&self, lines: &Lines) -> Result<(), SendError> {
        // It would be taken for something said under TLS.
        let bare = lines
            .detach()
            .ok_or_else(|| SendError::Later("the mail server spoke before TLS had begun".to_owned()))?;
        let secured = self.tls.connect(self.name.clone(), bare).await;
        lines.attach(secured.map_err(|_| {
            SendError::Later("no TLS with the mail server: is its certificate trusted?".to_owned())
        })?);
        Ok(())
    }
}

async fn ask(
    talk: &mut AsyncSmtpConnection,
    command: impl Display,
    code: u16,
    what: &str,
) -> Result<Response, SendError> {
    expect(talk.command(command).await, code, what)
}

/// A reply with this code, or one of its kin (251 is as good as 250).
fn expect(outcome: Result<Response, smtp::Error>, code: u16, what: &str) -> Result<Response, SendError> {
    let said = outcome.map_err(|error| failed(&error, what))?;
    let number = u16::from(said.code());
    if number / 10 == code / 10 {
        Ok(said)
    } else {
        Err(SendError::Later(answered(number, what)))
    }
}

/// What an error of the library means. It may quote the other side, so nothing but the number is taken from it.
fn failed(error: &smtp::Error, what: &str) -> SendError {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match error.status() {
        Some(code) if error.is_permanent() => SendError::Never(answered(code.into(), what)),
        Some(code) => SendError::Later(answered(code.into(), what)),
        None if error.is_response() => SendError::Later("what answered is not a mail server".to_owned()),
        None if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::QuotaExceeded) => {
            SendError::Later("the mail server says too much".to_owned())
        }
        None => broken(),
    }
}

fn answered(number: u16, what: &str) -> String {
    format!("the mail server answered {number} to {what}")
}

fn broken() -> SendError {
    SendError::Later("the connection to the mail server broke".to_owned())
}

fn password(path: &PathBuf) -> Result<Zeroizing<String>, MailerError> {
    let failed = |problem: String| MailerError::File {
        path: path.clone(),
        problem,
    };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.len() > MAX_PASSWORD || line.contains(char::is_control) {
        return Err(failed(format!(
            "expected a password: one line of at most {MAX_PASSWORD} characters"
        )));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Trusts the system's authorities, or those of a file and no other.
fn tls(authorities: Option<&PathBuf>) -> Result<ClientConfig, MailerError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let Some(path) = authorities else {
        return Ok(builder.with_platform_verifier()?.with_no_client_auth());
    };
    let unusable = |error: &dyn Display| MailerError::File {
        path: path.clone(),
        problem: format!("expected PEM certificates of authorities: {error}"),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there is none"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
