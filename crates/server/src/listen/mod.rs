//! Sockets: accept, TLS, HTTP/1.1 and HTTP/2, limits, drain. Knows nothing of what is served.
//!
//! ```text
//! TcpListener ── permit ── TLS handshake ── ALPN ── hyper ── the caller's service
//!                (cap)      (deadline)              (watched: slow headers, idle, stalled)
//!                           before it, where wanted: one CONNECT to ourselves
//! ```

mod acceptor;
mod body;
mod certificates;
mod clients;
mod limits;
mod shutdown;
mod tls;
mod tunnel;
mod validity;

pub use acceptor::{Listener, Peer, serve};
pub use body::{BodyError, read_body};
pub use certificates::{Certificates, CertificatesError, Given, Lifetimes, Plan};
pub use clients::{ClientAuthorities, Shown};
pub use limits::Limits;
pub use shutdown::{Shutdown, Trigger, shutdown};
pub use tls::{TlsError, server_config, with_client_certificates};
pub use tunnel::Names;
