//! A receiver of notices that does what it is told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a receiver does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    Answer(u16, &'static str),
    Redirect,
    Hang,
    Flood(u16),
}

/// A receiver of HTTP requests that remembers them.
pub(crate) struct Receiver {
    pub(crate) url: String,
    does: Arc<Mutex<Does>>,
    got: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone)]
pub(crate) struct Request {
    head: String,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Request {
    /// Method and path.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

impl Receiver {
    pub(crate) async fn new(does: Does) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let does = Arc::new(Mutex::new(does));
        let (kept, own, way) = (Arc::clone(&got), url.clone(), Arc::clone(&does));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, own, way) = (Arc::clone(&kept), own.clone(), Arc::clone(&way));
                // One that hangs keeps no other waiting.
                tokio::spawn(async move {
                    let request = read(&mut stream).await;
                    kept.lock().unwrap().push(request);
                    let does = *way.lock().unwrap();
                    let _ = answer(&mut stream, does, &own).await;
                });
            }
        });
        Receiver { url, does, got }
    }

    /// From now on it does this.
    pub(crate) fn turns(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// So many requests, once they have come.
    pub(crate) async fn wait_for(&self, requests: usize, limit: Duration) -> Vec<Request> {
        let begun = Instant::now();
        loop {
            let got = self.requests();
            if got.len() >= requests {
                return got;
            }
            assert!(
                begun.elapsed() < limit,
                "{} of {requests} requests within {limit:?}",
                got.len()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.got.lock().unwrap().clone()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let request = Request {
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap_or_default(),
            text: body.to_owned(),
        };
        let length: usize = request
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        if body.len() >= length {
            return request;
        }
    }
}

async fn answer(stream: &mut tokio::net::TcpStream, does: Does, own: &str) -> std::io::Result<()> {
    let head = match does {
        Does::Answer(status, body) => {
            let length = body.len();
            format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        }
        Does::Redirect => {
            format!("HTTP/1.1 307 X\r\nLocation: {own}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Does::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Ok(());
        }
        Does::Flood(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 99999999999\r\n\r\n"),
    };
    stream.write_all(head.as_bytes()).await?;
    if matches!(does, Does::Flood(_)) {
        let block = vec![b'x'; 1 << 16];
        loop {
            stream.write_all(&block).await?;
        }
    }
    Ok(())
}
