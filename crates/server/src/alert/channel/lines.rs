//! What the mail library talks over: the other side's lines come one at a time, counted, and with nothing in them that the
//! library stumbles over.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MAX_ANSWER;

/// How many lines the other side may say, in all: eight replies, of which that to EHLO has some twenty. The library reads a
/// reply from its beginning again for each line that comes, so 64 KiB in lines of ten bytes would cost it 20 million looks.
const MAX_LINES: usize = 256;

/// What bytes go through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that the library holds while we put TLS under it. One line goes to one read, so that the library never
/// keeps bytes from before TLS which it would then take for something said under it.
#[derive(Clone)]
pub(super) struct Lines {
    state: Arc<Mutex<State>>,
}

struct State {
    /// None while TLS begins, and when it could not.
    stream: Option<Box<dyn Stream>>,
    /// What was read and is not handed on.
    heard: Vec<u8>,
    /// What is left of the line that is being handed on.
    line: Vec<u8>,
    bytes_left: usize,
    lines_left: usize,
}

impl Lines {
    pub(super) fn new(stream: impl Stream + 'static) -> Lines {
        let state = State {
            stream: Some(Box::new(stream)),
            heard: Vec::new(),
            line: Vec::new(),
            bytes_left: MAX_ANSWER,
            lines_left: MAX_LINES,
        };
        Lines {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The bare connection, to be replaced by a protected one; none if something was said that nobody has read.
    pub(super) fn detach(&self) -> Option<Box<dyn Stream>> {
        let mut state = self.state();
        let is_quiet = state.heard.is_empty() && state.line.is_empty();
        state.stream.take().filter(|_| is_quiet)
    }

    pub(super) fn attach(&self, stream: impl Stream + 'static) {
        self.state().stream = Some(Box::new(stream));
    }

    /// Only the library and we hold it, one after the other: nobody waits.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_stream<T>(
        &self,
        work: impl FnOnce(Pin<&mut dyn Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.state()
            .stream()
            .map_or_else(|error| Poll::Ready(Err(error)), work)
    }
}

impl State {
    fn stream(&mut self) -> io::Result<Pin<&mut dyn Stream>> {
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(stream.as_mut())),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits for the next line.
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let end = memchr(b'\n', &self.heard);
            let is_spent = if end.is_some() {
                self.lines_left
            } else {
                self.bytes_left
            } == 0;
            if is_spent {
                return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
            }
            if let Some(end) = end {
                let rest = self.heard.split_off(end + 1);
                self.line = legible(&std::mem::replace(&mut self.heard, rest));
                self.lines_left -= 1;
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; 1_024];
            let room = chunk.len().min(self.bytes_left);
            let mut buffer = ReadBuf::new(&mut chunk[..room]);
            ready!(self.stream()?.poll_read(context, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.heard.extend_from_slice(read);
            self.bytes_left -= read.len();
        }
    }
}

/// A line as the library reads it. Of a reply only the number and the keywords of EHLO count, which have no case; the library
/// knows them in capitals, refuses a number without a text, a line that ends in LF alone and text that is not UTF-8, and
/// panics on one that is nothing but blanks.
fn legible(line: &[u8]) -> Vec<u8> {
    let readable = |byte: &u8| match byte.is_ascii_graphic() {
        true => byte.to_ascii_uppercase(),
        false => b' ',
    };
    let mut line: Vec<u8> = line.iter().map(readable).collect();
    line.truncate(line.trim_ascii_end().len());
    // `250` and `250-` get a text.
    line.extend_from_slice(match line.len() {
        3 => b" -",
        4 => b"-",
        _ => b"",
    });
    line.extend_from_slice(b"\r\n");
    line
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Lines")
    }
}

impl AsyncRead for Lines {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.line.is_empty() {
            ready!(state.poll_line(context))?;
        }
        let part = state.line.len().min(buffer.remaining());
        let rest = state.line.split_off(part);
        buffer.put_slice(&std::mem::replace(&mut state.line, rest));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with_stream(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_shutdown(context))
    }
}

impl AsyncTokioStream for Lines {
    /// Nobody asks.
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lettre::transport::smtp::client::AsyncSmtpConnection;
    use lettre::transport::smtp::extension::{ClientId, Extension};
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What the library makes of a greeting and a reply to EHLO: whether STARTTLS is offered.
    fn opened(bytes: &[u8]) -> Result<bool, lettre::transport::smtp::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut theirs, ours) = tokio::io::duplex(bytes.len() + 1_024);
            theirs.write_all(bytes).await.unwrap();
            // Half of the connection stays: what is said here is not refused.
            theirs.shutdown().await.unwrap();
            let hello = ClientId::Ipv4(Ipv4Addr::LOCALHOST);
            let talk =
                AsyncSmtpConnection::connect_with_transport(Box::new(Lines::new(ours)), &hello).await?;
            Ok(talk.server_info().supports_feature(Extension::StartTls))
        })
    }

    #[test]
    fn what_a_mail_server_may_say_is_legible() {
        for (said, is_offered) in [
            ("220 here\r\n250 here\r\n", false),
            ("220 here\r\n250-here\r\n250 STARTTLS\r\n", true),
            ("220 here\r\n250-here\r\n250-StartTls\r\n250 SIZE 9\r\n", true),
            ("220\r\n250\r\n", false),
            ("220-\r\n220 \r\n250-\r\n250 STARTTLS\r\n", true),
            ("220 here\n250-here\n250 STARTTLS\n", true),
            (
                "220-a\r\n220-b\r\n220\r\n250-here\r\n250-\r\n250-  \t \x0b\r\n250 STARTTLS\r\n",
                true,
            ),
            ("220 gr\u{fc}\u{df}e\r\n250-here\r\n250 XSTARTTLS\r\n", false),
        ] {
            assert_eq!(opened(said.as_bytes()).unwrap(), is_offered, "{said:?}");
        }
        assert!(opened(b"220 \xff\xfe\r\n250 here\r\n").is_ok());
        for said in [
            "",
            "220 here",
            "220 here\r\n",
            "220 here\r\n250-here\r\n",
            "22\r\n250 here\r\n",
            "abc x\r\n250 here\r\n",
            "+20 x\r\n250 here\r\n",
            "220_x\r\n250 here\r\n",
            "\u{ff12}20 x\r\n250 here\r\n",
            "220-a\r\n221 b\r\n250 here\r\n",
        ] {
            assert!(opened(said.as_bytes()).is_err(), "{said:?}");
        }
    }

    #[tokio::test]
    async fn one_read_is_one_line_and_their_number_has_an_end() {
        let (mut theirs, ours) = tokio::io::duplex(1 << 16);
        theirs
            .write_all("250-a\r\n".repeat(MAX_LINES + 1).as_bytes())
            .await
            .unwrap();
        let mut lines = Lines::new(ours);
        let mut buffer = [0; 4_096];
        for _ in 0..MAX_LINES {
            let read = lines.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..read], b"250-A\r\n");
        }
        for _ in 0..2 {
            let error = lines.read(&mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        }
        // Without an end of line.
        let (mut theirs, ours) = tokio::io::duplex(2 * MAX_ANSWER);
        theirs.write_all(&vec![b'2'; MAX_ANSWER]).await.unwrap();
        let error = Lines::new(ours).read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        // A line that does not fit comes in parts.
        let (mut theirs, ours) = tokio::io::duplex(64);
        theirs.write_all(b"250 abc\r\n").await.unwrap();
        let mut lines = Lines::new(ours);
        let mut text = [0; 9];
        for part in text.chunks_mut(2) {
            lines.read_exact(part).await.unwrap();
        }
        assert_eq!(&text, b"250 ABC\r\n");
    }

    #[tokio::test]
    async fn what_nobody_read_forbids_tls() {
        let (mut theirs, ours) = tokio::io::duplex(64);
        theirs.write_all(b"220 go\r\n250 evil\r\n").await.unwrap();
        let mut lines = Lines::new(ours);
        let mut buffer = [0; 64];
        assert_eq!(lines.read(&mut buffer).await.unwrap(), 8);
        assert!(lines.detach().is_none());
        let error = lines.write(b"QUIT\r\n").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);

        let (mut theirs, ours) = tokio::io::duplex(64);
        theirs.write_all(b"220 go\r\n").await.unwrap();
        let mut lines = Lines::new(ours);
        assert_eq!(lines.read(&mut buffer).await.unwrap(), 8);
        let bare = lines.detach().unwrap();
        lines.attach(bare);
        lines.write_all(b"EHLO\r\n").await.unwrap();
        assert_eq!(theirs.read(&mut buffer).await.unwrap(), 6);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_library_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = opened(&bytes);
        }

        #[test]
        fn nothing_like_a_reply_makes_the_library_panic(text in "(220 x\r\n)?((250|220|4|-| |\t|\x0b|\u{85}|\u{a0}|x|AUTH|\r|\r\n|\n){0,30})") {
            let _ = opened(text.as_bytes());
        }
    }
}
