//! ID tokens of an issuer that is asked for its keys over HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Answer, Desk, answer};

/// An issuer with its own key set.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Key { id, pair }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]) })
    }

    fn token(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            encode(&json!({ "alg": "ES256", "kid": self.id })),
            encode(claims)
        );
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Issuer {
    async fn new(keys: &[&Key]) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(
            keys.iter().map(|key| key.public()).collect::<Vec<_>>(),
        ));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (own, set, log) = (url.clone(), Arc::clone(&keys), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![0; 4096];
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let body = match path.as_str() {
                    "/keys" => json!({ "keys": *set.lock().unwrap() }),
                    _ => json!({ "issuer": own, "jwks_uri": format!("{own}/keys") }),
                };
                log.lock().unwrap().push(path);
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Issuer { url, keys, asked }
    }

    fn claims(&self) -> Value {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        json!({ "iss": self.url, "aud": "binauthz", "sub": "repo:acme/app", "repository": "acme/app",
            "iat": now - 5, "exp": now + 300 })
    }

    fn place(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    async fn desk(&self) -> Desk {
        Desk::configured(&format!(
            "issuers: [{{issuer: '{}', audiences: [binauthz], attributes: [repository]}}]\n",
            self.url
        ))
        .await
    }

    fn fetches(&self) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|path| *path == "/keys")
            .count()
    }
}

async fn get(desk: &Desk, token: &str) -> Answer {
    answer(desk.request_as(token, Method::GET, "/v1/projects/p/policy")).await
}

async fn bind(desk: &Desk, member: &str) {
    let body = json!({ "policy": { "bindings": [{ "role": "roles/binaryauthorization.policyViewer", "members": [member] }] } });
    desk.post("/v1/projects/p:setIamPolicy", body).await.ok();
}

#[tokio::test]
async fn a_pipeline_calls_by_its_id_token_with_what_policies_give_it() {
    let key = Key::new("1");
    let issuer = Issuer::new(&[&key]).await;
    let desk = issuer.desk().await;
    let token = key.token(&issuer.claims());
    let own = format!("principal://{}/subject/repo:acme/app", issuer.place());
    get(&desk, &token).await.refused("PERMISSION_DENIED", &own);
    let set = format!("principalSet://{}/attribute.repository/acme/app", issuer.place());
    for member in [own, set] {
        bind(&desk, &member).await;
        get(&desk, &token).await.ok();
    }
    bind(
        &desk,
        &format!(
            "principalSet://{}/attribute.repository/acme/other",
            issuer.place()
        ),
    )
    .await;
    get(&desk, &token)
        .await
        .refused("PERMISSION_DENIED", "policy.get");
    // Nobody else's audience, time, issuer or key.
    let mut wrong = Vec::new();
    for (claim, value) in [
        ("aud", json!("other")),
        ("exp", json!(1)),
        ("iss", json!("http://127.0.0.1:1")),
        ("nbf", json!(i64::MAX)),
    ] {
        let mut claims = issuer.claims();
        claims[claim] = value;
        wrong.push(key.token(&claims));
    }
    wrong.push(Key::new("1").token(&issuer.claims()));
    wrong.push(format!("{token}x"));
    for token in wrong {
        assert_eq!(
            get(&desk, &token).await.status,
            StatusCode::UNAUTHORIZED,
            "{token}"
        );
    }
    assert!(issuer.fetches() <= 2, "{}", issuer.fetches());
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_not_for_everybody_who_makes_one_up() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::new(&[&old]).await;
    let desk = issuer.desk().await;
    bind(&desk, "allAuthenticatedUsers").await;
    get(&desk, &old.token(&issuer.claims())).await.ok();
    assert_eq!(issuer.fetches(), 1);
    *issuer.keys.lock().unwrap() = vec![new.public()];
    // No more than once in ten seconds.
    for _ in 0..5 {
        assert_eq!(
            get(&desk, &new.token(&issuer.claims())).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(issuer.fetches(), 1);
    tokio::time::sleep(Duration::from_millis(10_200)).await;
    get(&desk, &new.token(&issuer.claims())).await.ok();
    assert_eq!(issuer.fetches(), 2);
    // A key that the issuer took back is gone with it.
    assert_eq!(
        get(&desk, &old.token(&issuer.claims())).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_no_wrong_credential() {
    let (key, other) = (Key::new("1"), Key::new("2"));
    let issuer = Issuer::new(&[&key]).await;
    let nowhere = "http://127.0.0.1:1";
    let desk = Desk::configured(&format!(
        "issuers: [{{issuer: '{nowhere}', audiences: [binauthz]}}, {{issuer: '{}', audiences: [binauthz]}}]\n\
         rateLimits: {{wrongCredentials: 2}}\n",
        issuer.url
    ))
    .await;
    let mut claims = issuer.claims();
    claims["iss"] = json!(nowhere);
    for _ in 0..6 {
        let expected = format!("the issuer `{nowhere}` does not answer");
        get(&desk, &key.token(&claims))
            .await
            .refused("UNAVAILABLE", &expected);
    }
    // One that answers and does not know the key has spoken.
    let unknown = other.token(&issuer.claims());
    for _ in 0..2 {
        assert_eq!(get(&desk, &unknown).await.status, StatusCode::UNAUTHORIZED);
    }
    let answered = get(&desk, &unknown).await;
    assert_eq!(answered.status, StatusCode::TOO_MANY_REQUESTS);
}
