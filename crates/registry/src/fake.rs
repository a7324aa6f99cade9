//! A registry in this process, for tests: strict by itself, and a liar where told to be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::manifest::{MEDIA_TYPES, hash};

/// How the next answers deviate from the truth.
#[derive(Clone, Debug)]
pub enum Lie {
    /// These bytes for every manifest, whatever digest is asked for.
    Body(Vec<u8>),
    /// This `Docker-Content-Digest`.
    DigestHeader(String),
    /// A body that does not end.
    EndlessBody,
    /// A length, and never a body.
    Stall,
    /// A redirect to this address.
    Redirect(String),
    /// 401 with this `WWW-Authenticate`, unless the request carries the token `granted`.
    Challenge(String),
    /// This status and no body.
    Status(u16),
    /// Answers every DELETE with this status, as registries do that cannot delete, and is honest otherwise.
    DeleteStatus(u16),
    /// A list whose next page is this address.
    NextPage(String),
}

/// What was asked, with the credential it carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET /v2/…`.
    pub request: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

#[derive(Default)]
struct State {
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    tags: BTreeMap<(String, String), String>,
    lie: Option<Lie>,
    asked: Vec<Asked>,
}

/// A running registry; it stops with the runtime it was started on.
#[derive(Clone)]
pub struct FakeRegistry {
    address: String,
    state: Arc<Mutex<State>>,
}

impl FakeRegistry {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port to listen on.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let registry = Self {
            address,
            state: Arc::default(),
        };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = serving.clone();
                // A client that hangs up is no concern of the registry.
                tokio::spawn(async move { registry.serve(stream).await.ok() });
            }
        });
        Ok(registry)
    }

    /// Its address, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stores a manifest under a tag and returns its digest.
    pub fn push(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = hash(bytes).to_string();
        let mut state = self.state();
        let content = (media_type.to_owned(), bytes.to_vec());
        state
            .manifests
            .insert((repository.to_owned(), digest.clone()), content);
        state
            .tags
            .insert((repository.to_owned(), tag.to_owned()), digest.clone());
        digest
    }

    /// The digest a tag names.
    #[must_use]
    pub fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        self.state()
            .tags
            .get(&(repository.to_owned(), tag.to_owned()))
            .cloned()
    }

    /// Lies from now on, or stops to.
    pub fn lie(&self, lie: Option<Lie>) {
        self.state().lie = lie;
    }

    /// Everything asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = Request::read(&mut stream).await?;
        let authorization = request.header("authorization").map(str::to_owned);
        let line = format!("{} {}", request.method, request.path);
        self.state().asked.push(Asked {
            request: line,
            authorization: authorization.clone(),
        });
        let lie = self.state().lie.clone();
        let reply = match lie {
            Some(Lie::EndlessBody) => return endless(&mut stream).await,
            Some(Lie::Stall) => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
                    .await?;
                return std::future::pending().await;
            }
            Some(Lie::Status(status)) => Reply::status(status),
            Some(Lie::DeleteStatus(status)) if request.method == "DELETE" => Reply::status(status),
            Some(Lie::Redirect(to)) => Reply::status(307).with("Location", &to),
            Some(Lie::Challenge(challenge)) if authorization.as_deref() != Some("Bearer granted") => {
                match request.path.split('?').next() {
                    Some("/token") => Reply::json(r#"{"token":"granted"}"#),
                    _ => Reply::status(401).with("WWW-Authenticate", &challenge),
                }
            }
            Some(Lie::Body(bytes)) => self.honest(&request).body(bytes),
            Some(Lie::DigestHeader(digest)) => self.honest(&request).with("Docker-Content-Digest", &digest),
            Some(Lie::NextPage(url)) => self
                .honest(&request)
                .with("Link", &format!("<{url}>; rel=\"next\"")),
            Some(Lie::Challenge(_) | Lie::DeleteStatus(_)) | None => self.honest(&request),
        };
        stream.write_all(&reply.bytes()).await?;
        stream.shutdown().await
    }

    /// What a registry that keeps to the specification answers.
    fn honest(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap_or_default();
        let Some(rest) = path.strip_prefix("/v2/") else {
            return Reply::status(404);
        };
        if rest == "_catalog" {
            let state = self.state();
            let mut names: Vec<_> = state.manifests.keys().map(|(repository, _)| repository).collect();
            names.dedup();
            return Reply::json(&serde_json::json!({ "repositories": names }).to_string());
        }
        if let Some(repository) = rest.strip_suffix("/tags/list") {
            let state = self.state();
            let tags: Vec<_> = state
                .tags
                .keys()
                .filter(|(name, _)| name == repository)
                .map(|(_, tag)| tag)
                .collect();
            return if tags.is_empty() {
                Reply::status(404)
            } else {
                Reply::json(&serde_json::json!({ "name": repository, "tags": tags }).to_string())
            };
        }
        let Some((repository, reference)) = rest.split_once("/manifests/") else {
            return Reply::status(404);
        };
        match request.method.as_str() {
            "GET" | "HEAD" => self.read_manifest(repository, reference),
            "PUT" => self.write_manifest(repository, reference, request),
            "DELETE" if reference.contains(':') => self.delete_manifest(repository, reference),
            "DELETE" => match self
                .state()
                .tags
                .remove(&(repository.to_owned(), reference.to_owned()))
            {
                Some(_) => Reply::status(202),
                None => Reply::status(404),
            },
            _ => Reply::status(405),
        }
    }

    fn read_manifest(&self, repository: &str, reference: &str) -> Reply {
        let state = self.state();
        let tag = state.tags.get(&(repository.to_owned(), reference.to_owned()));
        let digest = tag.map_or(reference, String::as_str).to_owned();
        match state.manifests.get(&(repository.to_owned(), digest.clone())) {
            Some((media_type, bytes)) => {
                let reply = Reply::status(200)
                    .with("Content-Type", media_type)
                    .body(bytes.clone());
                reply.with("Docker-Content-Digest", &digest)
            }
            None => Reply::status(404),
        }
    }

    fn delete_manifest(&self, repository: &str, digest: &str) -> Reply {
        let mut state = self.state();
        let key = (repository.to_owned(), digest.to_owned());
        if state.manifests.remove(&key).is_none() {
            return Reply::status(404);
        }
        state
            .tags
            .retain(|(name, _), named| name != repository || named != digest);
        Reply::status(202)
    }

    fn write_manifest(&self, repository: &str, reference: &str, request: &Request) -> Reply {
        let media_type = request.header("content-type").unwrap_or_default();
        let known = MEDIA_TYPES.contains(&media_type);
        if !known
            || reference.contains(':')
            || serde_json::from_slice::<serde_json::Value>(&request.body).is_err()
        {
            return Reply::status(400);
        }
        let digest = self.push(repository, reference, media_type, &request.body);
        Reply::status(201).with("Docker-Content-Digest", &digest)
    }
}

async fn endless(stream: &mut TcpStream) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        // Ends with an error when the client has had enough.
        stream.write_all(&[b' '; 65_536]).await?;
    }
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    async fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut request = Self {
            method,
            path,
            headers,
            body: Vec::new(),
        };
        let length = request
            .header("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        request.body.resize(length, 0);
        stream.read_exact(&mut request.body).await?;
        Ok(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn status(status: u16) -> Self {
        Self {
            status,
            headers: BTreeMap::new(),
            body: Vec::new(),
        }
    }

    fn json(text: &str) -> Self {
        Self::status(200)
            .with("Content-Type", "application/json")
            .body(text.as_bytes().to_vec())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}
