use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::super::{Certificates, Lifetimes, Plan, Trigger, read_body, server_config, shutdown};
use super::*;

struct Running {
    address: SocketAddr,
    trigger: Trigger,
    server: JoinHandle<()>,
}

/// Answers with the length of the body, its HTTP version in a header.
async fn start(tls: Option<Arc<ServerConfig>>, limits: Limits) -> Running {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, limits)
        .await
        .unwrap();
    let address = listener.local_address().unwrap();
    let (trigger, shutdown) = shutdown();
    let make = |_: &Peer| {
        service_fn(|request: Request<Incoming>| async move {
            let version = format!("{:?}", request.version());
            let (status, text) = match read_body(request.into_body(), 1_000).await {
                Ok(body) => (200, body.len().to_string()),
                Err(error) => (413, error.to_string()),
            };
            let answer = Response::builder().status(status).header("x-version", version);
            Ok(answer.body(Full::new(Bytes::from(text))).unwrap())
        })
    };
    Running {
        address,
        trigger,
        server: tokio::spawn(serve(listener, make, shutdown)),
    }
}

async fn certificates(folder: &Path) -> Certificates {
    let plan = Plan {
        data_directory: folder,
        secret: None,
        names: &[],
        lifetimes: Lifetimes::USUAL,
    };
    Certificates::open(plan, SystemTime::now()).await.unwrap()
}

async fn tls(folder: &Path) -> Option<Arc<ServerConfig>> {
    Some(server_config(Arc::new(certificates(folder).await)).unwrap())
}

fn plain_client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

fn client(folder: &Path) -> reqwest::ClientBuilder {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let authority = std::fs::read(folder.join("webhook-ca.pem")).unwrap();
    reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
}

#[tokio::test]
async fn serves_both_versions_over_tls_and_plain() {
    let folder = tempfile::tempdir().unwrap();
    let secure = start(tls(folder.path()).await, Limits::default()).await;
    let clients = [
        (client(folder.path()).build().unwrap(), "HTTP/2.0"),
        (client(folder.path()).http1_only().build().unwrap(), "HTTP/1.1"),
    ];
    for (client, version) in clients {
        for host in ["127.0.0.1", "localhost"] {
            let url = format!("https://{host}:{}/", secure.address.port());
            let answer = client.post(url).body("12345").send().await.unwrap();
            assert_eq!(answer.headers()["x-version"], version);
            assert_eq!(answer.text().await.unwrap(), "5");
        }
    }
    let plain = start(None, Limits::default()).await;
    let answer = plain_client()
        .post(format!("http://{}/", plain.address))
        .body("123")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), "3");
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secure = start(tls(folder.path()).await, Limits::default()).await;
    certificates(other.path()).await;
    let stranger = client(other.path()).build().unwrap();
    assert!(
        stranger
            .get(format!("https://{}/", secure.address))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn bodies_above_the_cap_are_refused_declared_or_not() {
    let plain = start(None, Limits::default()).await;
    let url = format!("http://{}/", plain.address);
    let declared = plain_client()
        .post(&url)
        .body(vec![0; 1_001])
        .send()
        .await
        .unwrap();
    assert_eq!(declared.status(), 413);
    let exact = plain_client()
        .post(&url)
        .body(vec![0; 1_000])
        .send()
        .await
        .unwrap();
    assert_eq!(
        (exact.status(), exact.text().await.unwrap().as_str()),
        (http::StatusCode::OK, "1000")
    );

    let mut chunked = TcpStream::connect(plain.address).await.unwrap();
    let chunk = format!("3e8\r\n{}\r\n", "a".repeat(1_000));
    let request =
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    chunked.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    chunked.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
}

fn impatient() -> Limits {
    Limits {
        handshake: Duration::from_millis(200),
        header: Duration::from_millis(200),
        idle: Duration::from_millis(400),
        ..Limits::default()
    }
}

#[tokio::test]
async fn silent_handshakes_slow_heads_and_idle_connections_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let secure = start(tls(folder.path()).await, impatient()).await;
    let mut silent = TcpStream::connect(secure.address).await.unwrap();
    assert_eq!(
        silent.read(&mut [0; 8]).await.unwrap_or(0),
        0,
        "no handshake, no connection"
    );

    let plain = start(None, impatient()).await;
    let mut slow = TcpStream::connect(plain.address).await.unwrap();
    slow.write_all(b"POST / HT").await.unwrap();
    assert_eq!(
        slow.read(&mut [0; 8]).await.unwrap_or(0),
        0,
        "a head that never ends"
    );

    let mut idle = TcpStream::connect(plain.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "answered, then closed for idleness"
    );
}

#[tokio::test]
async fn connections_above_the_cap_wait_for_a_slot() {
    let plain = start(
        None,
        Limits {
            connections: 1,
            ..impatient()
        },
    )
    .await;
    let _first = TcpStream::connect(plain.address).await.unwrap();
    let url = format!("http://{}/", plain.address);
    let answer = plain_client().get(url).send().await.unwrap();
    assert_eq!(
        answer.status(),
        200,
        "served once the idle first connection was closed"
    );
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_open_and_takes_nothing_new() {
    let plain = start(None, Limits::default()).await;
    let mut open = TcpStream::connect(plain.address).await.unwrap();
    open.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        .await
        .unwrap();
    // A second request on another connection proves that the server has read the first one's head by then.
    let answer = plain_client()
        .get(format!("http://{}/", plain.address))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    plain.trigger.begin();
    open.write_all(b"cd").await.unwrap();
    let mut text = Vec::new();
    open.read_to_end(&mut text).await.unwrap();
    assert!(
        text.starts_with(b"HTTP/1.1 200") && text.ends_with(b"4"),
        "{}",
        String::from_utf8_lossy(&text)
    );
    plain.server.await.unwrap();
    assert!(TcpStream::connect(plain.address).await.is_err());
}

#[test]
fn http2_is_told_by_its_preface_however_it_arrives() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for size in 1..=PREFACE.len() {
        let mut preface = Preface::default();
        let found: Vec<bool> = PREFACE
            .chunks(size)
            .map(|chunk| preface.completes(chunk))
            .collect();
        let (last, before) = found.split_last().unwrap();
        assert!(*last && !before.contains(&true), "{size} bytes at a time");
        assert!(!preface.completes(PREFACE), "once");
    }
    for other in ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/1.1\r\n\r\n", "PRI"] {
        let mut preface = Preface::default();
        assert!(!preface.completes(other.as_bytes()), "{other}");
    }
    let mut with_more = Preface::default();
    assert!(with_more.completes(&[PREFACE, b"frames"].concat()));
}

/// The first frame a client sends: no settings.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn an_idle_http2_connection_without_tls_is_no_slow_head() {
    let limits = Limits {
        idle: Duration::from_secs(60),
        ..impatient()
    };
    let plain = start(None, limits).await;
    let mut idle = TcpStream::connect(plain.address).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    idle.write_all(&SETTINGS).await.unwrap();
    // Settings come, and nothing else does for five times as long as a head may take.
    let mut settings = [0; 9];
    idle.read_exact(&mut settings).await.unwrap();
    let waited = timeout(Duration::from_secs(1), async {
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await
    });
    assert!(waited.await.is_err(), "it is still open");
}
