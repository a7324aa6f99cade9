//! One message by SMTP (RFC 5321), with limits: what the other side says is counted, and a reply that is not one ends it.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{LONGEST_WAIT, MAX_ANSWER, SendError};
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
    from: String,
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
                from: smtp.from.clone(),
                name,
                tls: TlsConnector::from(Arc::new(tls(smtp.authorities.as_ref())?)),
            }),
        })
    }

    /// Whom mail is from.
    pub(super) fn from(&self) -> &str {
        &self.inner.from
    }

    /// Hands over one message, whose lines end in CRLF and of which none begins with a dot.
    pub(super) async fn send(&self, to: &str, message: &str) -> Result<(), SendError> {
        match tokio::time::timeout(LONGEST_WAIT, self.inner.deliver(to, message)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::Later(format!(
                "the mail server did not take it within {} s",
                LONGEST_WAIT.as_secs()
            ))),
        }
    }
}

impl Inner {
    async fn deliver(&self, to: &str, message: &str) -> Result<(), SendError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|_| SendError::Later("cannot connect to the mail server".to_owned()))?;
        let local = stream.local_addr().map_err(|_| broken())?.ip();
        let hello = if local.is_ipv6() {
            format!("EHLO [IPv6:{local}]")
        } else {
            format!("EHLO [{local}]")
        };
        match self.security {
            Security::None => {
                let mut talk = Talk::new(stream);
                talk.expect(220, "the greeting").await?;
                self.hand_over(&mut talk, &hello, (to, message)).await
            }
            Security::Tls => {
                let mut talk = Talk::new(self.secure(stream).await?);
                talk.expect(220, "the greeting").await?;
                self.hand_over(&mut talk, &hello, (to, message)).await
            }
            Security::Starttls => {
                let mut talk = Talk::new(stream);
                talk.expect(220, "the greeting").await?;
                let offers = talk.ask(&hello, 250, "EHLO").await?;
                if !offers.has("STARTTLS") {
                    return Err(SendError::Later(
                        "the mail server does not offer STARTTLS, and nothing is said without it".to_owned(),
                    ));
                }
                talk.ask("STARTTLS", 220, "STARTTLS").await?;
                let mut talk = Talk::new(self.secure(talk.into_stream()?).await?);
                self.hand_over(&mut talk, &hello, (to, message)).await
            }
        }
    }

    async fn secure(
        &self,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, SendError> {
        let secured = self.tls.connect(self.name.clone(), stream).await;
        secured.map_err(|_| {
            SendError::Later("no TLS with the mail server: is its certificate trusted?".to_owned())
        })
    }

    /// From the greeting on, over whatever protects the connection.
    async fn hand_over<S>(
        &self,
        talk: &mut Talk<S>,
        hello: &str,
        (to, message): (&str, &str),
    ) -> Result<(), SendError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        talk.ask(hello, 250, "EHLO").await?;
        if let Some((username, password)) = &self.login {
            let said = Zeroizing::new(format!("\0{username}\0{}", password.as_str()));
            let said = Zeroizing::new(format!("AUTH PLAIN {}", STANDARD.encode(said.as_bytes())));
            talk.ask(&said, 235, "the login").await?;
        }
        talk.ask(&format!("MAIL FROM:<{}>", self.from), 250, "the sender")
            .await?;
        talk.ask(&format!("RCPT TO:<{to}>"), 250, "the address").await?;
        talk.ask("DATA", 354, "DATA").await?;
        talk.ask(&format!("{message}\r\n."), 250, "the message").await?;
        // It has been taken; whether the farewell arrives does not matter.
        let _ = talk.say("QUIT").await;
        Ok(())
    }
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
    let unusable = |error: &dyn std::fmt::Display| MailerError::File {
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

/// A conversation: one line there, one reply back.
struct Talk<S> {
    stream: S,
    /// What was read beyond the last reply.
    ahead: Vec<u8>,
    /// How much more the other side may say.
    left: usize,
}

/// The lines of a reply, without their numbers.
struct Offers(Vec<String>);

impl Offers {
    fn has(&self, keyword: &str) -> bool {
        self.0.iter().any(|line| {
            line.split(' ')
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S) -> Talk<S> {
        Talk {
            stream,
            ahead: Vec::new(),
            left: MAX_ANSWER,
        }
    }

    /// The connection itself. What was said before TLS and not asked for would be taken for something said under it.
    fn into_stream(self) -> Result<S, SendError> {
        if self.ahead.is_empty() {
            Ok(self.stream)
        } else {
            Err(SendError::Later(
                "the mail server spoke before TLS had begun".to_owned(),
            ))
        }
    }

    async fn ask(&mut self, line: &str, code: u16, what: &str) -> Result<Offers, SendError> {
        self.say(line).await?;
        self.expect(code, what).await
    }

    async fn say(&mut self, line: &str) -> Result<(), SendError> {
        let line = Zeroizing::new(format!("{line}\r\n"));
        let write = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        write.await.map_err(|_| broken())
    }

    /// A reply with this code, or one of its kin (251 is as good as 250).
    async fn expect(&mut self, code: u16, what: &str) -> Result<Offers, SendError> {
        let (number, lines) = self.reply().await?;
        let why = format!("the mail server answered {number} to {what}");
        match number {
            _ if number / 10 == code / 10 => Ok(Offers(lines)),
            500..=599 => Err(SendError::Never(why)),
            _ => Err(SendError::Later(why)),
        }
    }

    async fn reply(&mut self) -> Result<(u16, Vec<String>), SendError> {
        let strange = || SendError::Later("what answered is not a mail server".to_owned());
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let (number, rest) = line.split_at_checked(3).ok_or_else(strange)?;
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let number: u16 = number.parse().ok().filter(|_| is_number).ok_or_else(strange)?;
            match rest.split_at_checked(1) {
                None => return Ok((number, lines)),
                Some((" ", text)) => {
                    lines.push(text.to_owned());
                    return Ok((number, lines));
                }
                Some(("-", text)) => lines.push(text.to_owned()),
                Some(_) => return Err(strange()),
            }
        }
    }

    async fn line(&mut self) -> Result<String, SendError> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let mut chunk = [0; 1_024];
            let read = self.stream.read(&mut chunk).await.map_err(|_| broken())?;
            if read == 0 {
                return Err(broken());
            }
            self.left = self
                .left
                .checked_sub(read)
                .ok_or_else(|| SendError::Later("the mail server says too much".to_owned()))?;
            self.ahead
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(bytes: &[u8]) -> Result<(u16, Vec<String>), SendError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut theirs, ours) = tokio::io::duplex(bytes.len().max(1));
            theirs.write_all(bytes).await.unwrap();
            drop(theirs);
            Talk::new(ours).reply().await
        })
    }

    #[test]
    fn a_reply_is_numbers_and_lines() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        for (bytes, expected) in [
            ("250 ok\r\n", (250, lines(&["ok"]))),
            ("250\r\n", (250, lines(&[]))),
            ("250-a\r\n250-b\r\n250 c\r\n", (250, lines(&["a", "b", "c"]))),
            ("250 ok\n250 more\n", (250, lines(&["ok"]))),
        ] {
            assert_eq!(reply(bytes.as_bytes()), Ok(expected), "{bytes:?}");
        }
        for bytes in [
            "",
            "250 ok",
            "250-a\r\n",
            "25\r\n",
            "abc x\r\n",
            "+50 x\r\n",
            "250_x\r\n",
            "\u{ff12}50 x\r\n",
        ] {
            assert!(
                matches!(reply(bytes.as_bytes()), Err(SendError::Later(_))),
                "{bytes:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = reply(&bytes);
        }

        #[test]
        fn nearly_a_reply_is_read_or_refused(text in "(2|5|50|-| |x|\r\n|\n){0,30}") {
            if let Ok((number, _)) = reply(text.as_bytes()) {
                prop_assert!(number < 1_000);
            }
        }
    }
}
