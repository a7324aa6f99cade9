//! A wire to the database that can be cut in several ways.

use std::path::PathBuf;
use std::sync::Arc;

use binauthz_store::Address;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::cluster::Cluster;

/// How the wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Everything passes.
    Whole,
    /// Nothing passes, and nobody is told.
    Still,
    /// Questions pass, answers do not: nobody knows what became of them.
    Mute,
    /// Both ends are closed at once.
    Cut,
    /// The database says that it has nothing more to say.
    HalfClosed,
}

/// The wire; it ends with the process.
pub(crate) struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
}

impl Proxy {
    /// A wire to the socket of the cluster.
    pub(crate) async fn to(cluster: &Cluster) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket: PathBuf = cluster.folder().join(".s.PGSQL.5432");
        let (wire, state) = watch::channel(Wire::Whole);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, socket.clone(), state.clone()));
            }
        });
        Proxy { port, wire }
    }

    /// From now on it is like this.
    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send(wire).unwrap();
    }

    /// The database at its other end.
    pub(crate) fn address(&self, database: &str) -> Address {
        let url = format!(
            "postgres://binauthz@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        );
        Address::new(&url).unwrap()
    }
}

async fn pass(client: TcpStream, socket: PathBuf, wire: watch::Receiver<Wire>) {
    let Ok(database) = UnixStream::connect(socket).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_database, to_database) = database.into_split();
    let wire = Arc::new(wire);
    let there = copy(from_client, to_database, (wire.as_ref().clone(), true));
    let back = copy(from_database, to_client, (wire.as_ref().clone(), false));
    // Whichever ends takes the other with it.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn copy<R, W>(mut from: R, mut to: W, (mut wire, is_question): (watch::Receiver<Wire>, bool))
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            changed = wire.changed() => {
                let state = *wire.borrow_and_update();
                match state {
                    _ if changed.is_err() => return,
                    Wire::Cut => return,
                    Wire::HalfClosed if !is_question => {
                        let _ = to.shutdown().await;
                        std::future::pending::<()>().await;
                    }
                    _ => continue,
                }
                0
            }
        };
        let state = *wire.borrow();
        match state {
            Wire::Cut => return,
            Wire::Still => std::future::pending().await,
            Wire::Mute if !is_question => std::future::pending().await,
            _ => {}
        }
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
