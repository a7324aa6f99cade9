//! The accept loop and the life of one connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::clients::{ClientAuthorities, Shown};
use super::limits::{Activity, Limits, Verdict, Watch};
use super::shutdown::Shutdown;
use super::tunnel::{self, Names};

/// A bound socket, with TLS or without.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    clients: Option<Arc<ClientAuthorities>>,
    tunnel: Option<Names>,
    limits: Limits,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The remote address.
    pub address: SocketAddr,
    /// The verified client certificate, where the listener asks for one.
    pub certificate: Option<Arc<Shown>>,
}

impl Listener {
    /// Binds `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// The operating system's, for example when the port is taken.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        limits: Limits,
    ) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            tls,
            clients: None,
            tunnel: None,
            limits,
        })
    }

    /// Takes `CONNECT NAME:443` before TLS, too, for these names and for no other.
    #[must_use]
    pub fn reached_by_tunnel(mut self, names: Names) -> Self {
        self.tunnel = Some(names);
        self
    }

    /// The same, with the authorities of the client certificates that its TLS settings take.
    #[must_use]
    pub fn with_clients_of(mut self, authorities: Option<Arc<ClientAuthorities>>) -> Self {
        self.clients = authorities;
        self
    }

    /// The address it really has.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves until the shutdown begins and the open connections have drained (or [`Limits::drain`] is over).
/// `make` gives each connection its service.
pub async fn serve<M, S, B>(listener: Listener, make: M, mut shutdown: Shutdown)
where
    M: Fn(&Peer) -> S + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let Listener {
        socket,
        tls,
        clients,
        tunnel,
        limits,
    } = listener;
    let shared = Arc::new(Shared {
        tls: tls.map(TlsAcceptor::from),
        clients,
        tunnel,
        http: http_builder(),
        limits,
    });
    let slots = Arc::new(Semaphore::new(shared.limits.connections));
    loop {
        let (stream, address, slot) = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = accept(&socket, &slots) => accepted,
        };
        let (shared, make, shutdown) = (Arc::clone(&shared), make.clone(), shutdown.clone());
        tokio::spawn(async move {
            let _slot = slot;
            shared.connection(stream, address, make, shutdown).await;
        });
    }
    drop(socket);
    // All slots back means all connections are done.
    let all = u32::try_from(shared.limits.connections).unwrap_or(u32::MAX);
    if timeout(shared.limits.drain, slots.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!("connections were still open when the drain time was over");
    }
}

/// The next connection and its slot. Accept errors belong to one connection or to the process running out of
/// descriptors; neither may end the loop.
async fn accept(socket: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, SocketAddr, Slot) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            std::future::pending().await
        };
        match socket.accept().await {
            Ok((stream, address)) => return (stream, address, slot),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

struct Shared {
    tls: Option<TlsAcceptor>,
    clients: Option<Arc<ClientAuthorities>>,
    tunnel: Option<Names>,
    http: Builder<TokioExecutor>,
    limits: Limits,
}

impl Shared {
    async fn connection<M, S, B>(&self, stream: TcpStream, address: SocketAddr, make: M, shutdown: Shutdown)
    where
        M: Fn(&Peer) -> S,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        // Answers are small and awaited; Nagle would add 40 ms to some.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let service = make(&Peer {
                address,
                certificate: None,
            });
            return self.drive(stream, service, None, shutdown).await;
        };
        let stream = match timeout(self.limits.handshake, self.secure(tls, stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => return tracing::debug!(%address, "TLS handshake took too long"),
        };
        let session = stream.get_ref().1;
        let certificate = session
            .peer_certificates()
            .zip(self.clients.as_ref())
            .and_then(|(chain, authorities)| Shown::new(chain, authorities));
        let service = make(&Peer {
            address,
            certificate: certificate.clone(),
        });
        self.drive(stream, service, certificate, shutdown).await;
    }

    /// TLS on a connection, behind a tunnel where there may be one.
    async fn secure(
        &self,
        tls: &TlsAcceptor,
        mut stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, tunnel::NoTunnel> {
        if let Some(names) = self.tunnel {
            tunnel::enter(&mut stream, names).await?;
        }
        Ok(tls.accept(stream).await?)
    }

    /// Runs HTTP on the connection under its watch, for as long as the certificate of its other end holds.
    async fn drive<I, S, B>(&self, io: I, service: S, certificate: Option<Arc<Shown>>, mut shutdown: Shutdown)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let io = TokioIo::new(Watched {
            io,
            activity: Arc::clone(&activity),
            preface: Preface::default(),
        });
        let service = Counted {
            service,
            activity: Arc::clone(&activity),
        };
        let mut connection = pin!(self.http.serve_connection(io, service));
        let mut watch = Watch::default();
        let mut ticks = tokio::time::interval_at(Instant::now() + self.limits.tick(), self.limits.tick());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut draining: Option<Duration> = None;
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(error, "connection ended");
                    }
                    return;
                }
                () = shutdown.begun(), if draining.is_none() => {
                    draining = Some(Duration::ZERO);
                    connection.as_mut().graceful_shutdown();
                }
                _ = ticks.tick() => {
                    if let Some(waited) = &mut draining {
                        *waited += self.limits.tick();
                        if *waited >= self.limits.drain { return; }
                    }
                    if certificate.as_ref().is_some_and(|shown| !shown.holds(SystemTime::now())) {
                        // The other end makes another connection, with what it has by now.
                        connection.as_mut().graceful_shutdown();
                    }
                    match watch.look(&activity, &self.limits, self.limits.tick()) {
                        Verdict::Keep => {}
                        Verdict::Finish => connection.as_mut().graceful_shutdown(),
                        Verdict::Cut => return,
                    }
                }
            }
        }
    }
}

fn http_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // 32 KiB: the largest head we take, and most reviews arrive in one read. Slow heads are our own watch's.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(32 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(32 * 1024)
        // Rapid reset: streams the peer opened and reset before we looked at them.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Counts the bytes that pass.
struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
    preface: Preface,
}

/// What the first bytes of a connection say about its HTTP version, with TLS and without.
#[derive(Debug)]
enum Preface {
    /// So many bytes are HTTP/2's.
    Open(usize),
    Settled,
}

impl Default for Preface {
    fn default() -> Self {
        Self::Open(0)
    }
}

impl Preface {
    /// Takes the next bytes; says whether they complete the preface of HTTP/2.
    fn completes(&mut self, bytes: &[u8]) -> bool {
        const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let Self::Open(seen) = *self else {
            return false;
        };
        let rest = HTTP2.get(seen..).unwrap_or_default();
        let length = bytes.len().min(rest.len());
        let matches = bytes.get(..length) == rest.get(..length);
        *self = if matches && length < rest.len() {
            Self::Open(seen + length)
        } else {
            Self::Settled
        };
        matches && length == rest.len()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let received = buffer.filled().get(before..).unwrap_or_default();
        self.activity.received(received.len());
        if self.preface.completes(received) {
            self.activity.speaks_http2();
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.activity.sent(*written);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, buffers);
        if let Poll::Ready(Ok(written)) = &polled {
            self.activity.sent(*written);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Counts the requests that are being answered.
struct Counted<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.request_started();
        let ended = Ended(Arc::clone(&self.activity));
        let answer = self.service.call(request);
        Box::pin(async move {
            let _ended = ended;
            answer.await
        })
    }
}

/// A request ends when it is answered and also when the client goes away.
struct Ended(Arc<Activity>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

#[cfg(test)]
mod tests;
