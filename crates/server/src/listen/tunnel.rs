//! A proxy that leads nowhere but here: `CONNECT NAME:443` for one of our own names, and then TLS on the same connection.
//!
//! So a client reaches this server under somebody else's name by an environment variable alone. Whoever resolves the
//! names to this listener by other means speaks TLS from the first byte.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest head of a CONNECT: a name, and the few headers that clients send with it.
const MAX_HEAD: usize = 4 * 1024;
/// The first byte of a TLS handshake record.
const HANDSHAKE: u8 = 0x16;

/// Whether a name is one of ours, and so may be connected to.
pub type Names = fn(&str) -> bool;

/// Why a connection gets no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTunnel {
    #[error("refused with {status}")]
    Refused { status: &'static str },
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Answers the CONNECT of a connection, if it begins with one; afterwards the connection is at the beginning of TLS. How
/// long this may take is the caller's to say.
pub(super) async fn enter(stream: &mut TcpStream, names: Names) -> Result<(), NoTunnel> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if first == [HANDSHAKE] {
        return Ok(());
    }
    match read_head(stream)
        .await?
        .as_deref()
        .map_or(Err(Refusal::TooLong), |head| judge(head, names))
    {
        Ok(()) => {
            stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
            Ok(())
        }
        Err(refusal) => {
            let (status, message) = refusal.words();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
                 allow: CONNECT\r\nconnection: close\r\n\r\n{message}",
                message.len()
            );
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            Err(NoTunnel::Refused { status })
        }
    }
}

/// The head up to and with its empty line, and not a byte more: what follows is TLS. None if it is too long.
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut seen = [0; MAX_HEAD];
    loop {
        let there = stream.peek(&mut seen).await?;
        let there = seen.get(..there).unwrap_or_default();
        if there.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The end may lie across what was taken before and what is there now.
        let overlap = head.len().saturating_sub(3);
        let joined = [head.get(overlap..).unwrap_or_default(), there].concat();
        let end = joined
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map(|at| overlap + at + 4 - head.len());
        let take = end.unwrap_or(there.len());
        if head.len() + take > MAX_HEAD {
            return Ok(None);
        }
        let mut taken = vec![0; take];
        stream.read_exact(&mut taken).await?;
        head.extend(taken);
        if end.is_some() {
            return Ok(Some(head));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Not the head of an HTTP/1 request.
    Malformed,
    TooLong,
    /// Something else than CONNECT.
    Method,
    /// A name or a port that is not ours; what was asked for.
    Elsewhere(String),
}

impl Refusal {
    fn words(&self) -> (&'static str, String) {
        match self {
            Refusal::Malformed => (
                "400 Bad Request",
                "expected `CONNECT NAME:443 HTTP/1.1`, or TLS\n".to_owned(),
            ),
            Refusal::TooLong => (
                "431 Request Header Fields Too Large",
                format!("the head of the request is longer than {MAX_HEAD} bytes\n"),
            ),
            Refusal::Method => (
                "405 Method Not Allowed",
                "this is no general proxy: it takes `CONNECT` alone\n".to_owned(),
            ),
            Refusal::Elsewhere(target) => (
                "403 Forbidden",
                format!(
                    "`{target}` is not reached through this server: it leads to itself alone, under the names it answers \
                     for and port 443. Put other hosts into NO_PROXY\n"
                ),
            ),
        }
    }
}

fn judge(head: &[u8], names: Names) -> Result<(), Refusal> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Refusal::Malformed)?;
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.0" | "HTTP/1.1"] = words.as_slice() else {
        return Err(Refusal::Malformed);
    };
    if *method != "CONNECT" {
        return Err(Refusal::Method);
    }
    match target.rsplit_once(':') {
        Some((name, "443")) if names(&name.to_ascii_lowercase()) => Ok(()),
        _ => Err(Refusal::Elsewhere(
            target.chars().take(255).flat_map(char::escape_debug).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(name: &str) -> bool {
        name == "logging.googleapis.com"
    }

    #[test]
    fn only_a_connect_to_one_of_our_names_is_let_in() {
        for line in [
            "CONNECT logging.googleapis.com:443 HTTP/1.1",
            "CONNECT logging.googleapis.com:443 HTTP/1.0",
            "CONNECT Logging.GoogleAPIs.com:443 HTTP/1.1",
        ] {
            assert_eq!(
                judge(format!("{line}\r\n\r\n").as_bytes(), ours),
                Ok(()),
                "{line}"
            );
        }
        for (line, status) in [
            ("CONNECT storage.googleapis.com:443 HTTP/1.1", "403"),
            ("CONNECT logging.googleapis.com:80 HTTP/1.1", "403"),
            ("CONNECT logging.googleapis.com:0443 HTTP/1.1", "403"),
            ("CONNECT logging.googleapis.com HTTP/1.1", "403"),
            ("CONNECT logging.googleapis.com.:443 HTTP/1.1", "403"),
            ("CONNECT evil@logging.googleapis.com:443 HTTP/1.1", "403"),
            ("CONNECT 127.0.0.1:443 HTTP/1.1", "403"),
            ("CONNECT [::1]:443 HTTP/1.1", "403"),
            ("CONNECT :443 HTTP/1.1", "403"),
            ("GET http://logging.googleapis.com/ HTTP/1.1", "405"),
            ("connect logging.googleapis.com:443 HTTP/1.1", "405"),
            ("CONNECT logging.googleapis.com:443 HTTP/2", "400"),
            ("CONNECT logging.googleapis.com:443  HTTP/1.1", "400"),
            ("CONNECT", "400"),
            ("", "400"),
        ] {
            let refusal = judge(format!("{line}\r\n\r\n").as_bytes(), ours).unwrap_err();
            assert!(refusal.words().0.starts_with(status), "{line}: {refusal:?}");
        }
        assert_eq!(judge(b"\xff\r\n\r\n", ours), Err(Refusal::Malformed));
    }

    #[test]
    fn what_is_said_back_cannot_write_to_a_terminal() {
        let refusal = judge(b"CONNECT a\x1b[31m:443 HTTP/1.1\r\n\r\n", ours).unwrap_err();
        assert!(!refusal.words().1.contains('\x1b'));
    }

    proptest::proptest! {
        #[test]
        fn nothing_else_is_let_in(head in "(CONNECT|connect|GET| |:443|:80|logging.googleapis.com|HTTP/1.1|HTTP/1.0|x|\r|\n){0,12}") {
            if judge(head.as_bytes(), ours).is_ok() {
                let line = head.split('\r').next().unwrap_or_default();
                proptest::prop_assert!(line.starts_with("CONNECT logging.googleapis.com:443 HTTP/1."), "{}", head);
            }
        }
    }
}
