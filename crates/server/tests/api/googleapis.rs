//! The server under Google's names: through the proxy, to the token endpoint, with what it gives.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binauthz_keyring::{HashAlgorithm, KeyAlgorithm, MessageDigest, SoftwareKey};
use binauthz_server::Flags;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Desk, answer, flags};

const CREDENTIALS: &str = "/binauthz/v1/credentials";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

async fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        googleapis: true,
        googleapis_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..flags(folder.path())
    };
    Desk::with(folder, flags).await
}

fn proxy(desk: &Desk) -> SocketAddr {
    desk.addresses().googleapis.unwrap()
}

/// A client that was told nothing but the proxy and the authority.
fn client(desk: &Desk) -> reqwest::Client {
    let authority = std::fs::read(desk.folder().join("webhook-ca.pem")).unwrap();
    reqwest::Client::builder()
        .proxy(reqwest::Proxy::https(format!("http://{}", proxy(desk))).unwrap())
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .build()
        .unwrap()
}

struct Owner {
    key: SoftwareKey,
    made: Value,
}

impl Owner {
    async fn register(desk: &Desk, id: &str, role: &str) -> Owner {
        let key = SoftwareKey::generate(KeyAlgorithm::RsaSignPkcs12048Sha256).unwrap();
        let body = json!({ "role": role, "publicKey": key.public_key_pem().unwrap() });
        let made = desk
            .post(&format!("{CREDENTIALS}?credentialId={id}"), body)
            .await
            .ok();
        Owner { key, made }
    }

    /// An assertion as Google's libraries make it, but for what is given.
    fn assertion(&self, other: &Value) -> String {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut claims = json!({
            "iss": self.made["clientEmail"], "aud": TOKEN_URI, "iat": now, "exp": now + 3_600, "scope": "a",
        });
        for (name, value) in other.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.made["keyId"] });
        let signed = [header, claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        let digest = MessageDigest::of(HashAlgorithm::Sha256, signed.as_bytes());
        let signature = self.key.sign_digest(&digest).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// With a form. Of what is sent here only the colons are encoded.
fn posted(request: reqwest::RequestBuilder, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let form: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={}", value.replace(':', "%3A")))
        .collect();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.join("&"))
}

async fn ask_token(desk: &Desk, form: &[(&str, &str)]) -> Answer {
    answer(posted(client(desk).post(TOKEN_URI), form)).await
}

async fn call(desk: &Desk, token: &str, method: Method, path: &str) -> Answer {
    let url = format!("https://binaryauthorization.googleapis.com{path}");
    answer(client(desk).request(method, url).bearer_auth(token)).await
}

#[tokio::test]
async fn an_assertion_becomes_a_token_that_ends_with_its_credential() {
    let desk = desk().await;
    let owner = Owner::register(&desk, "ci", "admin").await;
    let assertion = owner.assertion(&json!({}));
    let form = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    let given = ask_token(&desk, &form).await.ok();
    assert_eq!(given["token_type"], "Bearer");
    let life = given["expires_in"].as_i64().unwrap();
    assert!((3_500..=3_600).contains(&life), "{given}");
    let token = given["access_token"].as_str().unwrap();
    call(&desk, token, Method::GET, "/v1/projects/p/policy")
        .await
        .ok();
    let row = &desk.audit(1).await[0];
    assert_eq!(row["method"], "binauthz.GenerateAccessToken", "{row}");
    assert_eq!(row["principal"], "credential:ci", "{row}");
    assert!(!row.to_string().contains(token));
    // The same on the API's own port, and what it changes is reported under its name.
    let put = desk
        .request_as(token, Method::POST, "/v1/projects/p/notes?noteId=n")
        .json(&json!({ "attestation": { "hint": { "humanReadableName": "n" } } }));
    answer(put).await.ok();
    assert_eq!(desk.audit(1).await[0]["principal"], "credential:ci");

    // One that ends soon is changed for a token that does.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let brief = owner.assertion(&json!({ "exp": now + 2 }));
    let brief = ask_token(&desk, &[("grant_type", GRANT), ("assertion", brief.as_str())])
        .await
        .ok();
    assert!(brief["expires_in"].as_i64().unwrap() <= 2, "{brief}");
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let brief = brief["access_token"].as_str().unwrap();
    let ended = call(&desk, brief, Method::GET, "/v1/projects/p/policy").await;
    assert_eq!(ended.status, 401);

    // A repeated assertion gives nothing that lasts longer.
    let again = ask_token(&desk, &form).await.ok();
    assert!(again["expires_in"].as_i64().unwrap() <= life);

    let listed = desk.get(CREDENTIALS).await.ok();
    assert_eq!(listed["credentials"][0]["clientEmail"], "ci@binauthz.invalid");
    desk.post(
        &format!("{CREDENTIALS}?credentialId=ci"),
        json!({ "publicKey": owner.key.public_key_pem().unwrap() }),
    )
    .await
    .refused("ALREADY_EXISTS", "ci");
    desk.delete(&format!("{CREDENTIALS}/ci")).await.ok();
    assert_eq!(
        call(&desk, token, Method::GET, "/v1/projects/p/policy")
            .await
            .status,
        401
    );
    assert_eq!(ask_token(&desk, &form).await.body["error"], "invalid_grant");
    // Another key under the old name does not bring the old tokens back.
    Owner::register(&desk, "ci", "admin").await;
    assert_eq!(
        call(&desk, token, Method::GET, "/v1/projects/p/policy")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_token_outlives_a_restart_and_does_what_its_credential_may() {
    let desk = desk().await;
    let owner = Owner::register(&desk, "reader", "viewer").await;
    let assertion = owner.assertion(&json!({}));
    let form = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    let given = ask_token(&desk, &form).await.ok();
    let token = given["access_token"].as_str().unwrap().to_owned();
    let folder = desk.stop().await;
    let flags = Flags {
        googleapis: true,
        googleapis_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    call(&desk, &token, Method::GET, "/v1/projects/p/policy")
        .await
        .ok();
    call(&desk, &token, Method::DELETE, "/v1/projects/p/attestors/a")
        .await
        .refused("PERMISSION_DENIED", "credential:reader");
    // Signed for the call itself, without any token.
    let signed = owner.assertion(&json!({ "aud": "https://binaryauthorization.googleapis.com/" }));
    call(&desk, &signed, Method::GET, "/v1/projects/p/policy")
        .await
        .ok();
    let for_tokens = owner.assertion(&json!({}));
    assert_eq!(
        call(&desk, &for_tokens, Method::GET, "/v1/projects/p/policy")
            .await
            .status,
        401
    );
    // Without the mode neither is anybody's.
    let folder = desk.stop().await;
    let off = crate::support::flags(folder.path());
    let desk = Desk::with(folder, off).await;
    for token in [&token, &signed] {
        let asked = desk.request_as(token, Method::GET, "/v1/projects/p/policy");
        assert_eq!(answer(asked).await.status, 401);
    }
}

#[tokio::test]
async fn what_is_no_good_assertion_gets_no_token() {
    let desk = desk().await;
    let owner = Owner::register(&desk, "ci", "admin").await;
    let good = owner.assertion(&json!({}));
    let old = owner.assertion(&json!({ "iat": 1, "exp": 2 }));
    let elsewhere = owner.assertion(&json!({ "aud": "https://accounts.google.com/o/oauth2/token" }));
    let stranger = owner.assertion(&json!({ "iss": "nobody@binauthz.invalid" }));
    for (form, error, description) in [
        (
            vec![("grant_type", GRANT), ("assertion", &*old)],
            "invalid_grant",
            "expired",
        ),
        (
            vec![("grant_type", GRANT), ("assertion", &*elsewhere)],
            "invalid_grant",
            "aud",
        ),
        (
            vec![("grant_type", GRANT), ("assertion", &*stranger)],
            "invalid_grant",
            "not signed",
        ),
        (
            vec![("grant_type", GRANT), ("assertion", "a.b.c")],
            "invalid_grant",
            "JWT",
        ),
        (vec![("grant_type", GRANT)], "invalid_request", "assertion"),
        (
            vec![
                ("grant_type", GRANT),
                ("assertion", &*good),
                ("assertion", &*good),
            ],
            "invalid_request",
            "twice",
        ),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "x")],
            "unsupported_grant_type",
            "credentials create",
        ),
        (vec![], "unsupported_grant_type", "grant_type"),
    ] {
        let refused = ask_token(&desk, &form).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert_eq!(refused.body["error"], error, "{}", refused.body);
        assert!(
            refused.body["error_description"]
                .as_str()
                .unwrap()
                .contains(description),
            "{}",
            refused.body
        );
    }
    let long = "a".repeat(20_000);
    let refused = ask_token(&desk, &[("grant_type", GRANT), ("assertion", &long)]).await;
    assert_eq!(refused.body["error"], "invalid_request", "{}", refused.body);
    answer(client(&desk).get(TOKEN_URI))
        .await
        .refused("NOT_FOUND", "POST /token");
    answer(client(&desk).post("https://oauth2.googleapis.com/v1/projects/p/policy"))
        .await
        .refused("NOT_FOUND", "POST /token");
    // The API has no token endpoint, under whatever name.
    let asked = posted(
        client(&desk).post("https://logging.googleapis.com/token"),
        &[("grant_type", GRANT)],
    );
    answer(asked).await.refused("UNAUTHENTICATED", "");
}

#[tokio::test]
async fn credentials_are_for_administrators_and_for_this_mode() {
    let desk = desk().await;
    let viewer = desk.viewer().await;
    let pem = SoftwareKey::generate(KeyAlgorithm::EcSignP256Sha256)
        .unwrap()
        .public_key_pem()
        .unwrap();
    let body = json!({ "publicKey": pem });
    let path = format!("{CREDENTIALS}?credentialId=x");
    answer(desk.request_as(&viewer, Method::POST, &path).json(&body))
        .await
        .refused("PERMISSION_DENIED", "binauthz.credentials.create");
    for (path, body, expected) in [
        ("?credentialId=X", body.clone(), "is not a credential id"),
        ("", body.clone(), "credentialId"),
        ("?credentialId=x", json!({}), "publicKey"),
        ("?credentialId=x", json!({ "publicKey": "x" }), "expected one PEM"),
        (
            "?credentialId=x",
            json!({ "publicKey": pem, "role": "root" }),
            "`admin`, `viewer` or `member`",
        ),
        (
            "?credentialId=x",
            json!({ "publicKey": pem, "ttl": "0s" }),
            "`ttl`",
        ),
        (
            "?credentialId=x",
            json!({ "publicKey": pem, "privateKey": "x" }),
            "privateKey",
        ),
    ] {
        desk.post(&format!("{CREDENTIALS}{path}"), body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
    desk.delete(&format!("{CREDENTIALS}/nobody"))
        .await
        .refused("NOT_FOUND", "nobody");
    let without = Desk::new().await;
    assert_eq!(without.addresses().googleapis, None);
    without
        .post(&path, body)
        .await
        .refused("FAILED_PRECONDITION", "--googleapis");
}

/// What the listener answers to these bytes.
async fn said(desk: &Desk, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy(desk)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_proxy_leads_to_itself_alone() {
    let desk = desk().await;
    for (request, status) in [
        ("CONNECT example.com:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 "),
        ("CONNECT 127.0.0.1:8787 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 "),
        (
            "CONNECT logging.googleapis.com:80 HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 403 ",
        ),
        (
            "CONNECT storage.googleapis.com:443 HTTP/1.1\r\n\r\n",
            "HTTP/1.1 403 ",
        ),
        (
            "GET http://logging.googleapis.com/ HTTP/1.1\r\n\r\n",
            "HTTP/1.1 405 ",
        ),
        ("nonsense\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let said = said(&desk, request.as_bytes()).await;
        assert!(said.starts_with(status), "{request}{said}");
    }
    let long = format!(
        "CONNECT logging.googleapis.com:443 HTTP/1.1\r\nx: {}\r\n\r\n",
        "y".repeat(5_000)
    );
    assert!(said(&desk, long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let error = client(&desk)
        .get("https://example.com/")
        .send()
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    // A head that comes in pieces is a head.
    let mut stream = TcpStream::connect(proxy(&desk)).await.unwrap();
    for piece in ["CONNECT logging.goo", "gleapis.com:443 HTTP/1.1\r\n\r", "\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn without_the_proxy_the_names_are_answered_for_and_no_other_is() {
    let desk = desk().await;
    let authority = std::fs::read(desk.folder().join("webhook-ca.pem")).unwrap();
    let direct = |name: &str| {
        reqwest::Client::builder()
            .resolve(name, proxy(&desk))
            .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
            .http1_only()
            .build()
            .unwrap()
    };
    // As with a hosts file: port 443 leads here.
    let url = format!(
        "https://logging.googleapis.com:{}/v2/projects/p/logs",
        proxy(&desk).port()
    );
    let asked = direct("logging.googleapis.com")
        .get(&url)
        .header("host", "logging.googleapis.com")
        .bearer_auth(desk.token());
    answer(asked).await.ok();
    let asked = direct("localhost")
        .get(format!(
            "https://localhost:{}/v2/projects/p/logs",
            proxy(&desk).port()
        ))
        .bearer_auth(desk.token());
    let refused = answer(asked).await;
    assert_eq!(refused.status, 421, "{}", refused.body);
    // The certificate speaks for our names only.
    let error = direct("storage.googleapis.com")
        .get(format!("https://storage.googleapis.com:{}/", proxy(&desk).port()))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}
