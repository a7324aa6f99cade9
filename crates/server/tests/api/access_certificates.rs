//! Client certificates on the API port, in place of tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use binauthz_server::{Flags, Settings};
use reqwest::{Client, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Desk, flags};
use crate::webhook_callers::{Authority, webhook};

async fn desk(authority: &Authority) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let (pem, config) = (
        folder.path().join("people.pem"),
        folder.path().join("binauthz.yaml"),
    );
    std::fs::write(&pem, &authority.1).unwrap();
    std::fs::write(
        &config,
        format!(
            "apiClientAuthorities: {}\nbootstrapToken: permanent\n",
            pem.display()
        ),
    )
    .unwrap();
    let flags = Flags {
        dev: false,
        config: Some(config),
        ..flags(folder.path())
    };
    Desk::with(folder, flags).await
}

async fn ask(desk: &Desk, client: &Client, token: Option<&str>) -> (StatusCode, Value) {
    let url = format!("https://{}/v1/projects/ppp/policy", desk.addresses().api);
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn as_administrator(desk: &Desk, path: &str, body: Value) {
    let url = format!("https://{}{path}", desk.addresses().api);
    let request = webhook(desk, None)
        .post(url)
        .bearer_auth(desk.token())
        .json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "{}",
        response.text().await.unwrap()
    );
}

#[tokio::test]
async fn a_certificate_stands_for_the_one_member_that_it_names() {
    let authority = Authority::new();
    let desk = desk(&authority).await;
    as_administrator(&desk, "/binauthz/v1/projects?projectId=ppp", json!({})).await;
    let binding = json!({ "role": "roles/viewer", "members": ["user:jane@example.com"] });
    let policy = json!({ "policy": { "bindings": [binding] } });
    as_administrator(&desk, "/v1/projects/ppp:setIamPolicy", policy).await;
    let urn = |member: &str| format!("urn:binauthz:member:{member}");
    let client = |uris: &[String]| webhook(&desk, Some(authority.client(uris)));
    let jane = client(&[urn("user:jane@example.com"), "spiffe://x/y".to_owned()]);
    assert_eq!(ask(&desk, &jane, None).await.0, StatusCode::OK);
    let (status, body) = ask(&desk, &client(&[urn("user:bob@example.com")]), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("`user:bob@example.com` lacks"),
        "{body}"
    );
    // What a browser sends is not by its own will.
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let url = format!("https://{}/v1/projects/ppp/policy", desk.addresses().api);
        let response = jane.get(url).header(name, value).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
    }
    // Whoever shows a token acts by it, and a wrong one is not made good by a certificate.
    assert_eq!(ask(&desk, &jane, Some("wrong")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&desk, &jane, Some(desk.token())).await.0, StatusCode::OK);
    for uris in [
        vec![],
        vec![urn("admin")],
        vec![urn("token:ci")],
        vec![urn("user:jane")],
        vec![urn("serviceAccount:ci@binauthz.invalid")],
        vec![urn("user:jane@example.com"), urn("user:bob@example.com")],
    ] {
        let (status, body) = ask(&desk, &client(&uris), None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{uris:?} {body}");
    }
    // Of another authority: there is no connection. Without one: there is, for those with tokens.
    let stranger = webhook(
        &desk,
        Some(Authority::new().client(&[urn("user:jane@example.com")])),
    );
    let url = format!("https://{}/v1/projects/ppp/policy", desk.addresses().api);
    assert!(stranger.get(url).send().await.is_err());
    let nobody = webhook(&desk, None);
    assert_eq!(ask(&desk, &nobody, None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&desk, &nobody, Some(desk.token())).await.0, StatusCode::OK);
}

/// A member who may read the policy of a project.
async fn with_a_reader(authority: &Authority) -> Desk {
    let desk = desk(authority).await;
    as_administrator(&desk, "/binauthz/v1/projects?projectId=ppp", json!({})).await;
    let binding = json!({ "role": "roles/viewer", "members": ["user:jane@example.com"] });
    let policy = json!({ "policy": { "bindings": [binding] } });
    as_administrator(&desk, "/v1/projects/ppp:setIamPolicy", policy).await;
    desk
}

/// Calls again and again by the connections that are there, until one is not answered; what became of that.
async fn until_refused(desk: &Desk, client: &Client) -> Option<StatusCode> {
    let url = format!("https://{}/v1/projects/ppp/policy", desk.addresses().api);
    let begun = Instant::now();
    loop {
        let Ok(response) = client.get(&url).send().await else {
            return None;
        };
        if response.status() != StatusCode::OK {
            return Some(response.status());
        }
        response.bytes().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(15), "it is answered still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_certificate_that_ends_ends_within_its_connection() {
    let authority = Authority::new();
    let desk = with_a_reader(&authority).await;
    let name = ["urn:binauthz:member:user:jane@example.com".to_owned()];
    let (brief, lasting) = (authority.client_for(4, &name), authority.client(&name));
    let [brief, lasting] = [brief, lasting].map(|identity| webhook(&desk, Some(identity)));
    let begun = Instant::now();
    assert_eq!(ask(&desk, &lasting, None).await.0, StatusCode::OK);
    assert_eq!(ask(&desk, &brief, None).await.0, StatusCode::OK);
    // Its connection is in use all the while; a call finds it ended, or is told so.
    let refused = until_refused(&desk, &brief).await;
    assert!(
        matches!(refused, None | Some(StatusCode::UNAUTHORIZED)),
        "{refused:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    assert_eq!(ask(&desk, &lasting, None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_authority_that_is_taken_out_of_the_file_ends_its_certificates() {
    let (authority, next) = (Authority::new(), Authority::new());
    let desk = with_a_reader(&authority).await;
    let name = ["urn:binauthz:member:user:jane@example.com".to_owned()];
    let client = |authority: &Authority| webhook(&desk, Some(authority.client(&name)));
    let (of_before, of_next) = (client(&authority), client(&next));
    assert_eq!(ask(&desk, &of_before, None).await.0, StatusCode::OK);
    let file = desk.folder().join("people.pem");
    // Both for a while: nobody is put out.
    std::fs::write(&file, format!("{}{}", authority.1, next.1)).unwrap();
    let url = format!("https://{}/v1/projects/ppp/policy", desk.addresses().api);
    let begun = Instant::now();
    while of_next.get(&url).send().await.is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the new one is not taken"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask(&desk, &of_before, None).await.0, StatusCode::OK);
    // What is no certificate changes nothing.
    std::fs::write(&file, "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(ask(&desk, &of_before, None).await.0, StatusCode::OK);
    std::fs::write(&file, &next.1).unwrap();
    let refused = until_refused(&desk, &of_before).await;
    assert!(
        matches!(refused, None | Some(StatusCode::UNAUTHORIZED)),
        "{refused:?}"
    );
    assert_eq!(ask(&desk, &of_next, None).await.0, StatusCode::OK);
}

/// How a client's second connection begins that could take up the first one's session.
async fn second_handshake(desk: &Desk) -> Option<HandshakeKind> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(desk.folder().join("webhook-ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let mut kind = None;
    for _ in 0..2 {
        let stream = TcpStream::connect(desk.addresses().api).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        kind = stream.get_ref().1.handshake_kind();
    }
    kind
}

#[tokio::test]
async fn a_certificate_is_verified_at_every_connection() {
    let strict = desk(&Authority::new()).await;
    assert_eq!(second_handshake(&strict).await, Some(HandshakeKind::Full));
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        dev: false,
        ..flags(folder.path())
    };
    let plain = Desk::with(folder, flags).await;
    assert_eq!(second_handshake(&plain).await, Some(HandshakeKind::Resumed));
}

#[test]
fn plain_http_has_no_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, "apiClientAuthorities: people.pem\n").unwrap();
    let flags = Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    let why = Settings::new(flags).unwrap_err().to_string();
    assert!(why.contains("`apiClientAuthorities`"), "{why}");
}
