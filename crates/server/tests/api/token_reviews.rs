//! Tokens that a cluster is asked about. What a real API server says of them is tested in a real cluster; here it says
//! everything else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binauthz_server::Flags;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::court::CLUSTER;
use crate::receiver::{Does, Receiver, Request};
use crate::support::{Answer, Desk, answer, flags};

const POLICY: &str = "/v1/projects/p/policy";
const GOOD: &str = r#"{"status": {"authenticated": true, "audiences": ["binauthz"],
    "user": {"username": "system:serviceaccount:n:builder", "groups": ["system:serviceaccounts"]}}}"#;
const SOMEBODY_ELSE: &str = r#"{"status": {"authenticated": true, "audiences": ["binauthz"],
    "user": {"username": "system:serviceaccount:n:other"}}}"#;
const FOR_SOMEBODY_ELSE: &str = r#"{"status": {"authenticated": true, "audiences": ["other"],
    "user": {"username": "system:serviceaccount:n:builder"}}}"#;
const OF_NO_AUDIENCE: &str = r#"{"status": {"authenticated": true,
    "user": {"username": "system:serviceaccount:n:builder"}}}"#;
const BAD: &str =
    r#"{"status": {"user": {}, "error": "[invalid bearer token, service account has been deleted]"}}"#;
const FORBIDDEN: &str = r#"{"kind": "Status", "reason": "Forbidden", "message": "no right"}"#;

/// A server whose cluster's API server is this one.
async fn desk(api: &Receiver) -> Desk {
    desk_with(api, "").await
}

/// The same with more settings.
async fn desk_with(api: &Receiver, settings: &str) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": api.url.trim_end_matches("/hook")}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    });
    std::fs::write(path("kubeconfig"), kubeconfig.to_string()).unwrap();
    let config = format!(
        "guard: {{clusters: ['{CLUSTER}=c'], kubeconfig: {}, everySeconds: 3600}}\n\
         issuers: [{{issuer: 'https://k.example', audiences: [binauthz, other-name], tokenReview: '{CLUSTER}'}}]\n{settings}",
        path("kubeconfig").display()
    );
    std::fs::write(path("binauthz.yaml"), config).unwrap();
    let flags = Flags {
        config: Some(path("binauthz.yaml")),
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    let member = "principal://k.example/subject/system:serviceaccount:n:builder";
    let binding = json!({ "role": "roles/binaryauthorization.policyViewer", "members": [member] });
    desk.post(
        "/v1/projects/p:setIamPolicy",
        json!({ "policy": { "bindings": [binding] } }),
    )
    .await
    .ok();
    desk
}

fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({ "iss": "https://k.example", "aud": ["binauthz"], "sub": "system:serviceaccount:n:builder",
        "iat": now - 5, "exp": now + 300, "kubernetes.io": { "namespace": "n" } })
}

/// As a cluster writes it; the signature is the cluster's to judge.
fn token(claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "alg": "RS256", "kid": "k" });
    format!(
        "{}.{}.{}",
        encode(&head),
        encode(claims),
        URL_SAFE_NO_PAD.encode([7; 256])
    )
}

async fn get(desk: &Desk, token: &str) -> Answer {
    answer(desk.request_as(token, Method::GET, POLICY)).await
}

fn reviews(api: &Receiver) -> Vec<Request> {
    let is_review = |request: &Request| request.line() == "POST /apis/authentication.k8s.io/v1/tokenreviews";
    api.requests().into_iter().filter(is_review).collect()
}

#[tokio::test]
async fn a_cluster_is_asked_about_every_token_of_its_issuer_and_no_other() {
    let api = Receiver::new(Does::Answer(201, GOOD)).await;
    let desk = desk(&api).await;
    let shown = token(&claims());
    get(&desk, &shown).await.ok();
    let asked = reviews(&api);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), Some("Bearer t"));
    assert_eq!(
        asked[0].body["spec"],
        json!({ "token": shown, "audiences": ["binauthz", "other-name"] })
    );
    // Nothing is remembered: what ended there has ended here.
    api.turns(Does::Answer(201, BAD));
    assert_eq!(get(&desk, &shown).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reviews(&api).len(), 2);
    // What is of nobody known is no business of the cluster's.
    let mut foreign = claims();
    foreign["iss"] = json!("https://l.example");
    for other in [token(&foreign), "binauthz_wrong".to_owned(), "a.b.c".to_owned()] {
        assert_eq!(get(&desk, &other).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(reviews(&api).len(), 2);
    let metrics = desk.health("/metrics").await.1;
    for row in [
        "{outcome=\"good\"} 1",
        "{outcome=\"bad\"} 1",
        "{outcome=\"failed\"} 0",
    ] {
        assert!(
            metrics.contains(&format!("binauthz_token_reviews_total{row}\n")),
            "{row}"
        );
    }
}

#[tokio::test]
async fn without_the_clusters_whole_word_a_token_is_nobodys() {
    let api = Receiver::new(Does::Answer(201, GOOD)).await;
    let desk = desk(&api).await;
    let shown = token(&claims());
    for does in [BAD, SOMEBODY_ELSE, FOR_SOMEBODY_ELSE, OF_NO_AUDIENCE] {
        api.turns(Does::Answer(201, does));
        assert_eq!(
            get(&desk, &shown).await.status,
            StatusCode::UNAUTHORIZED,
            "{does}"
        );
    }
    // That it said nothing is not the caller's fault.
    for does in [
        Does::Answer(201, "{}"),
        Does::Answer(201, "not JSON"),
        Does::Answer(403, FORBIDDEN),
        Does::Answer(500, GOOD),
        Does::Redirect,
        Does::Hang,
        Does::Flood(201),
    ] {
        api.turns(does);
        let begun = std::time::Instant::now();
        let expected = "the issuer `https://k.example` does not answer";
        get(&desk, &shown).await.refused("UNAVAILABLE", expected);
        assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for long");
    }
    // Nor is the cluster's word enough for what is not so by the token's own.
    api.turns(Does::Answer(201, GOOD));
    for (claim, value) in [
        ("aud", json!("other")),
        ("exp", json!(1)),
        ("nbf", json!(i64::MAX)),
        ("sub", json!("system:serviceaccount:n:other")),
        ("sub", json!(null)),
    ] {
        let mut claims = claims();
        claims[claim] = value;
        let answered = get(&desk, &token(&claims)).await;
        assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{claims}");
    }
    get(&desk, &shown).await.ok();
}

/// A cluster that is away takes nobody's place in front of the door.
#[tokio::test]
async fn a_cluster_that_does_not_answer_is_no_wrong_credential() {
    let api = Receiver::new(Does::Answer(500, GOOD)).await;
    let desk = desk_with(&api, "rateLimits: {wrongCredentials: 2}\n").await;
    let shown = token(&claims());
    for _ in 0..6 {
        get(&desk, &shown).await.refused("UNAVAILABLE", "k.example");
    }
    api.turns(Does::Answer(201, GOOD));
    get(&desk, &shown).await.ok();
    // One that it does not know is, and shuts the door as ever.
    api.turns(Does::Answer(201, BAD));
    for _ in 0..3 {
        get(&desk, &shown).await;
    }
    assert_eq!(get(&desk, &shown).await.status, StatusCode::TOO_MANY_REQUESTS);
}
