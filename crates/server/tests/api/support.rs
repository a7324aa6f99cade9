//! A server on free ports of this machine, and a client with its administrator's token.

use std::path::Path;

use binauthz_server::{Addresses, Flags, Server, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running server with a data directory of its own.
pub(crate) struct Desk {
    server: Server,
    folder: TempDir,
    client: reqwest::Client,
    token: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// The one TLS stack of the process.
pub(crate) fn install_crypto_provider() {
    // An error means that another test was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// `--dev` on free ports.
pub(crate) fn flags(folder: &Path) -> Flags {
    let free = Some("127.0.0.1:0".parse().unwrap());
    Flags {
        data_dir: folder.to_owned(),
        dev: true,
        api_listen: free,
        webhook_listen: free,
        health_listen: free,
        ..Flags::default()
    }
}

/// What a commit of a test's own says for the audit log.
/// A configuration file for a server in earnest whose first token stays the administrator's.
pub(crate) fn with_a_lasting_token(folder: &Path) -> std::path::PathBuf {
    let config = folder.join("binauthz.yaml");
    std::fs::write(&config, "bootstrapToken: permanent\n").unwrap();
    config
}

pub(crate) fn audit_row() -> binauthz_store::AuditRow {
    binauthz_store::AuditRow {
        sequence: 0,
        time: 0,
        principal: "test".to_owned(),
        method: "test".to_owned(),
        resource: "projects/p".to_owned(),
        status_code: 0,
        request_id: String::new(),
        detail: "{}".to_owned(),
    }
}

impl Desk {
    /// A server as a newcomer starts it.
    pub(crate) async fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let flags = flags(folder.path());
        Desk::with(folder, flags).await
    }

    /// A server that was told of a mail server, which nobody asks.
    pub(crate) async fn with_mail() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("binauthz.yaml");
        std::fs::write(
            &config,
            "smtp: {host: mail.example.com, from: binauthz@example.com}\n",
        )
        .unwrap();
        let flags = Flags {
            config: Some(config),
            ..flags(folder.path())
        };
        Desk::with(folder, flags).await
    }

    /// A server with this configuration file.
    pub(crate) async fn configured(text: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("binauthz.yaml");
        std::fs::write(&config, text).unwrap();
        let flags = Flags {
            config: Some(config),
            ..flags(folder.path())
        };
        Desk::with(folder, flags).await
    }

    /// A server with these flags on this folder.
    pub(crate) async fn with(folder: TempDir, flags: Flags) -> Desk {
        install_crypto_provider();
        let server = Server::start(Settings::new(flags).unwrap()).await.unwrap();
        let token = std::fs::read_to_string(folder.path().join("admin.token"))
            .unwrap()
            .trim()
            .to_owned();
        Desk {
            server,
            folder,
            client: reqwest::Client::new(),
            token,
        }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.server.addresses()
    }

    /// The administrator's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the server and gives its folder back.
    pub(crate) async fn stop(self) -> TempDir {
        drop(self.client);
        self.server.stop().await;
        self.folder
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// A request of the administrator, to be dressed up.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request_as(&self.token, method, path)
    }

    /// A request with another token.
    pub(crate) fn request_as(&self, token: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.addresses().api);
        self.client.request(method, url).bearer_auth(token)
    }

    /// A token that may only read.
    pub(crate) async fn viewer(&self) -> String {
        let made = self
            .post("/binauthz/v1/tokens?tokenId=viewer", json!({ "role": "viewer" }))
            .await
            .ok();
        made["token"].as_str().unwrap().to_owned()
    }

    /// The newest rows of the audit log.
    pub(crate) async fn audit(&self, rows: usize) -> Vec<Value> {
        let log = self
            .get(&format!("/binauthz/v1/audit?pageSize={rows}"))
            .await
            .ok();
        log["entries"].as_array().cloned().unwrap_or_default()
    }

    /// Every item of a list, page by page.
    pub(crate) async fn pages(&self, path: &str, field: &str, size: usize) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}{separator}pageSize={size}&pageToken={token}");
            let mut page = self.get(&page).await.ok();
            if let Some(found) = page[field].as_array_mut() {
                assert!(found.len() <= size, "{path}: {found:?}");
                items.append(found);
            }
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => return items,
            }
        }
    }

    /// A page of the health port.
    pub(crate) async fn health(&self, path: &str) -> (StatusCode, String) {
        let url = format!("http://{}{path}", self.addresses().health);
        let response = self.client.get(url).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}

/// What a request is answered.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        body: response.json().await.unwrap(),
    }
}

impl Answer {
    /// The body of a call that went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    /// The call failed with this status, and said this.
    #[track_caller]
    pub(crate) fn refused(self, status: &str, message: &str) {
        let error = &self.body["error"];
        assert_eq!(error["code"], self.status.as_u16(), "{}", self.body);
        assert_eq!(error["status"], status, "{}", self.body);
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{}",
            self.body
        );
    }
}
