//! Starting and stopping.

use std::os::unix::fs::PermissionsExt;

use binauthz_server::{Flags, Server, Settings};
use serde_json::{Value, json};

use crate::support::{Desk, audit_row, flags, install_crypto_provider};

#[tokio::test]
async fn when_it_is_ready_its_files_say_where_and_how() {
    let desk = Desk::new().await;
    let read = |name: &str| std::fs::read_to_string(desk.folder().join(name)).unwrap();
    let addresses: Value = serde_json::from_str(&read("addresses.json")).unwrap();
    let at = desk.addresses();
    let expected = json!({
        "api": format!("http://{}", at.api),
        "webhook": format!("https://{}", at.webhook),
        "health": format!("http://{}", at.health),
    });
    assert_eq!(addresses, expected);
    assert!(read("webhook-ca.pem").starts_with("-----BEGIN CERTIFICATE-----"));
    let mode = std::fs::metadata(desk.folder().join("admin.token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    desk.get("/v1/projects/demo/policy").await.ok();
}

#[tokio::test]
async fn a_server_that_stopped_says_no_longer_where_it_is() {
    let desk = Desk::new().await;
    assert!(desk.folder().join("addresses.json").exists());
    let folder = desk.stop().await;
    assert!(!folder.path().join("addresses.json").exists());
    assert!(folder.path().join("admin.token").exists());
}

#[tokio::test]
async fn a_listener_on_every_address_is_announced_on_loopback_and_its_certificate_holds_there() {
    install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let everywhere = Some("0.0.0.0:0".parse().unwrap());
    let flags = Flags {
        dev: false,
        api_listen: everywhere,
        webhook_listen: everywhere,
        health_listen: everywhere,
        ..flags(folder.path())
    };
    let server = Server::start(Settings::new(flags).unwrap()).await.unwrap();
    let text = std::fs::read_to_string(folder.path().join("addresses.json")).unwrap();
    let addresses: Value = serde_json::from_str(&text).unwrap();
    let port = server.addresses().api.port();
    assert_eq!(addresses["api"], format!("https://127.0.0.1:{port}"));
    let authority = std::fs::read(folder.path().join("webhook-ca.pem")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority).unwrap())
        .build()
        .unwrap();
    for name in ["api", "webhook", "health"] {
        let address = addresses[name].as_str().unwrap();
        assert!(address.starts_with("https://127.0.0.1:"), "{address}");
        client.get(address).send().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn declared_clusters_are_registered_once_and_the_api_has_the_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    let name = "projects/declared/locations/here/clusters/one";
    std::fs::write(
        &config,
        format!("clusters: [{name}]\nbootstrapToken: permanent\n"),
    )
    .unwrap();
    // Not --dev: there a project is one that was made.
    let flags = || Flags {
        config: Some(config.clone()),
        dev: false,
        ..flags(folder.path())
    };
    let desk = Secure::start(flags()).await;
    let cluster = desk.get(&format!("/v1/{name}")).await;
    assert_eq!(
        cluster["binaryAuthorization"]["evaluationMode"], "PROJECT_SINGLETON_POLICY_ENFORCE",
        "{cluster:#}"
    );
    assert_eq!(desk.get("/v1/projects/declared").await["projectId"], "declared");
    desk.put(
        &format!("/v1/{name}"),
        &json!({"update": {"desiredBinaryAuthorization": {"evaluationMode": "DISABLED"}}}),
    )
    .await;
    desk.server.stop().await;
    let desk = Secure::start(flags()).await;
    let cluster = desk.get(&format!("/v1/{name}")).await;
    assert_ne!(
        cluster["binaryAuthorization"]["evaluationMode"], "PROJECT_SINGLETON_POLICY_ENFORCE",
        "{cluster:#}"
    );
    assert_eq!(desk.get("/v1/projects/nobody").await["error"]["code"], 404);
    desk.server.stop().await;
}

#[tokio::test]
async fn secrets_that_are_handed_in_are_used_and_a_wrong_folder_starts_nothing() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, format!("secretsDir: {}\n", secrets.path().display())).unwrap();
    let flags = || Flags {
        config: Some(config.clone()),
        dev: false,
        ..flags(folder.path())
    };
    install_crypto_provider();
    let error = Server::start(Settings::new(flags()).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("expected admin.token"), "{error}");
    let token = "t".repeat(40);
    std::fs::write(secrets.path().join("admin.token"), &token).unwrap();
    let desk = Secure::start(flags()).await;
    assert_eq!(desk.token, token);
    assert_eq!(desk.get("/v1/projects/nobody").await["error"]["code"], 404);
    desk.server.stop().await;
}

/// A server in earnest: TLS everywhere, and no project but those that are made.
struct Secure {
    server: Server,
    client: reqwest::Client,
    token: String,
}

impl Secure {
    async fn start(flags: Flags) -> Secure {
        install_crypto_provider();
        let folder = flags.data_dir.clone();
        let server = Server::start(Settings::new(flags).unwrap()).await.unwrap();
        let authority = std::fs::read(folder.join("webhook-ca.pem")).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority).unwrap())
            .build()
            .unwrap();
        let token = std::fs::read_to_string(folder.join("admin.token")).unwrap();
        Secure {
            server,
            client,
            token: token.trim().to_owned(),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        answer.json().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.server.addresses().api)
    }

    async fn get(&self, path: &str) -> Value {
        self.send(self.client.get(self.url(path))).await
    }

    async fn put(&self, path: &str, body: &Value) -> Value {
        self.send(self.client.put(self.url(path)).json(body)).await
    }
}

#[tokio::test]
async fn the_health_port_answers_everybody() {
    let desk = Desk::new().await;
    for path in ["/livez", "/readyz"] {
        let (status, body) = desk.health(path).await;
        assert_eq!((status.as_u16(), body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(desk.health("/").await.0.as_u16(), 404);

    desk.get("/v1/projects/demo/policy").await.ok();
    desk.get("/v1/projects/demo/attestors/nobody")
        .await
        .refused("NOT_FOUND", "nobody");
    let (_, metrics) = desk.health("/metrics").await;
    for line in [
        "binauthz_enforcement_state 0\n",
        "binauthz_decision_seconds_count 0\n",
        "binauthz_api_requests_total{api=\"binaryauthorization\",method=\"GetPolicy\",outcome=\"done\"} 1\n",
        "binauthz_api_requests_total{api=\"binaryauthorization\",method=\"GetAttestor\",outcome=\"refused\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    assert!(
        !metrics.contains("nobody") && !metrics.contains("demo"),
        "{metrics}"
    );
}

#[tokio::test]
async fn every_metric_is_in_the_reference() {
    let reference = include_str!("../../../../docs/reference/configuration.md");
    let desk = Desk::new().await;
    let (_, metrics) = desk.health("/metrics").await;
    let names: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(reference.contains(&format!("`{name}`")), "{name}");
    }
}

#[tokio::test]
async fn what_is_enforced_shows() {
    let desk = Desk::new().await;
    let rule = |mode: &str, enforcement: &str| json!({ "defaultAdmissionRule": { "evaluationMode": mode, "enforcementMode": enforcement } });
    for (mode, enforcement, expected) in [
        (
            "ALWAYS_ALLOW",
            "ENFORCED_BLOCK_AND_AUDIT_LOG",
            "binauthz_enforcement_state 0\n",
        ),
        (
            "ALWAYS_DENY",
            "DRYRUN_AUDIT_LOG_ONLY",
            "binauthz_enforcement_state 0\n",
        ),
        (
            "ALWAYS_DENY",
            "ENFORCED_BLOCK_AND_AUDIT_LOG",
            "binauthz_enforcement_state 1\n",
        ),
    ] {
        desk.put("/v1/projects/demo/policy", rule(mode, enforcement))
            .await
            .ok();
        assert!(
            desk.health("/metrics").await.1.contains(expected),
            "{mode} {enforcement}"
        );
    }
}

/// What the metric says now.
async fn enforcement(desk: &Desk) -> Option<String> {
    let (_, metrics) = desk.health("/metrics").await;
    let mut lines = metrics.lines();
    lines.find_map(|line| {
        line.strip_prefix("binauthz_enforcement_state ")
            .map(str::to_owned)
    })
}

fn default_rule(mode: &str) -> Value {
    json!({ "defaultAdmissionRule": { "evaluationMode": mode, "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" } })
}

async fn register(desk: &Desk, project: &str, name: &str, mode: &str) {
    let cluster = json!({ "cluster": { "name": name, "binaryAuthorization": { "evaluationMode": mode } } });
    let path = format!("/v1/projects/{project}/locations/us-central1-a/clusters");
    desk.post(&path, cluster).await.ok();
}

#[tokio::test]
async fn a_policy_counts_where_some_cluster_evaluates_it() {
    let desk = Desk::new().await;
    assert_eq!(enforcement(&desk).await.unwrap(), "0");
    desk.put("/v1/projects/demo/policy", default_rule("ALWAYS_DENY"))
        .await
        .ok();
    assert_eq!(
        enforcement(&desk).await.unwrap(),
        "1",
        "its first cluster will be judged"
    );
    register(&desk, "demo", "off", "DISABLED").await;
    assert_eq!(enforcement(&desk).await.unwrap(), "0");
    register(&desk, "other", "on", "PROJECT_SINGLETON_POLICY_ENFORCE").await;
    assert_eq!(
        enforcement(&desk).await.unwrap(),
        "0",
        "another project's cluster has another policy"
    );
    register(&desk, "demo", "on", "PROJECT_SINGLETON_POLICY_ENFORCE").await;
    assert_eq!(enforcement(&desk).await.unwrap(), "1");
}

#[tokio::test]
async fn a_required_policy_counts_where_none_is() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        require_policy: true,
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    assert_eq!(enforcement(&desk).await.unwrap(), "1", "whoever comes is refused");
    desk.put("/v1/projects/demo/policy", default_rule("ALWAYS_ALLOW"))
        .await
        .ok();
    register(&desk, "demo", "on", "PROJECT_SINGLETON_POLICY_ENFORCE").await;
    assert_eq!(
        enforcement(&desk).await.unwrap(),
        "0",
        "the only project allows everything"
    );
    register(&desk, "other", "off", "DISABLED").await;
    assert_eq!(
        enforcement(&desk).await.unwrap(),
        "0",
        "the only project without a policy evaluates nothing"
    );
    register(&desk, "other", "on", "PROJECT_SINGLETON_POLICY_ENFORCE").await;
    assert_eq!(enforcement(&desk).await.unwrap(), "1");
}

/// More policies than one page of the store's lists, the last one the only one that counts.
#[tokio::test]
async fn every_policy_counts() {
    let desk = Desk::new().await;
    let folder = desk.stop().await;
    let store = binauthz_store::Store::open(&folder.path().join("binauthz.db")).unwrap();
    let policy = |project: &str| {
        binauthz_store::Change::Insert(binauthz_store::NewResource {
            kind: binauthz_store::Kind::Policy,
            name: format!("projects/{project}/policy"),
            parent: format!("projects/{project}"),
            document: default_rule("ALWAYS_ALLOW").to_string(),
        })
    };
    let changes = (0..1_200).map(|number| policy(&format!("p{number}"))).collect();
    let audit = audit_row();
    store
        .commit(binauthz_store::Commit { audit, changes })
        .await
        .unwrap();
    drop(store);
    let flags = flags(folder.path());
    let desk = Desk::with(folder, flags).await;
    assert_eq!(enforcement(&desk).await.unwrap(), "0");
    desk.put("/v1/projects/zzz/policy", default_rule("ALWAYS_DENY"))
        .await
        .ok();
    assert_eq!(enforcement(&desk).await.unwrap(), "1");
}

#[tokio::test]
async fn what_was_done_and_who_may_call_outlive_a_restart() {
    let desk = Desk::new().await;
    desk.put(
        "/v1/projects/demo/policy",
        json!({ "defaultAdmissionRule": {
        "evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" } }),
    )
    .await
    .ok();
    let before = desk.get("/v1/projects/demo/policy").await.ok();
    let folder = desk.stop().await;
    let token = std::fs::read(folder.path().join("admin.token")).unwrap();

    let flags = flags(folder.path());
    let desk = Desk::with(folder, flags).await;
    assert_eq!(std::fs::read(desk.folder().join("admin.token")).unwrap(), token);
    assert_eq!(desk.get("/v1/projects/demo/policy").await.ok(), before);
}

#[tokio::test]
async fn a_data_directory_has_one_server_at_a_time() {
    let desk = Desk::new().await;
    let second = Settings::new(flags(desk.folder())).unwrap();
    let error = Server::start(second.clone()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another server uses this data directory"),
        "{error}"
    );
    desk.get("/v1/projects/demo/policy").await.ok();
    let _folder = desk.stop().await;
    Server::start(second).await.unwrap().stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let desk = Desk::new().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = desk.addresses().api;
    let settings = Settings::new(Flags {
        webhook_listen: Some(taken),
        ..flags(folder.path())
    })
    .unwrap();
    let error = Server::start(settings).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("cannot listen on `{taken}` for the webhook")),
        "{error}"
    );
    assert!(
        !folder.path().join("addresses.json").exists(),
        "nobody is told of a server that is not there"
    );
}

#[tokio::test]
async fn without_dev_the_api_speaks_tls_and_projects_must_exist() {
    install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(Flags {
        dev: false,
        config: Some(crate::support::with_a_lasting_token(folder.path())),
        ..flags(folder.path())
    })
    .unwrap();
    let server = Server::start(settings).await.unwrap();
    let addresses: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("addresses.json")).unwrap())
            .unwrap();
    let api = addresses["api"].as_str().unwrap();
    assert_eq!(api, format!("https://{}", server.addresses().api));
    let health = addresses["health"].as_str().unwrap();
    assert_eq!(health, format!("https://{}", server.addresses().health));

    let authority = std::fs::read(folder.path().join("webhook-ca.pem")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .build()
        .unwrap();
    let alive = client.get(format!("{health}/livez")).send().await.unwrap();
    assert_eq!(alive.text().await.unwrap(), "ok\n");
    let plain = reqwest::Client::new().get(format!("http://{}/livez", server.addresses().health));
    assert!(plain.send().await.is_err(), "no listener speaks plain HTTP");
    let token = std::fs::read_to_string(folder.path().join("admin.token")).unwrap();
    let get = |path: &'static str| {
        client
            .get(format!("{api}{path}"))
            .bearer_auth(token.trim())
            .send()
    };
    let answer = get("/v1/projects/demo/policy").await.unwrap();
    assert_eq!(answer.status().as_u16(), 404);
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("create it with `binauthz projects create demo`"),
        "{text}"
    );
    let created = client
        .post(format!("{api}/binauthz/v1/projects?projectId=demo"))
        .bearer_auth(token.trim())
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status().as_u16(), 200);
    assert_eq!(
        get("/v1/projects/demo/policy").await.unwrap().status().as_u16(),
        200
    );
    // A client that does not know the authority gets nothing.
    assert!(
        reqwest::Client::new()
            .get(format!("{api}/v1/projects/demo/policy"))
            .send()
            .await
            .is_err()
    );
    server.stop().await;
}

#[tokio::test]
async fn without_a_token_every_address_says_the_same() {
    let desk = Desk::new().await;
    let client = reqwest::Client::new();
    for path in [
        "/v1/projects/demo/policy",
        "/v1/projects/demo/nonsense",
        "/",
        "/v1/operations/x",
    ] {
        let right = std::fs::read_to_string(desk.folder().join("admin.token")).unwrap();
        let right = right.trim();
        let wrong = [
            right[..right.len() - 1].to_owned(),
            right[1..].to_owned(),
            format!("{right}x"),
            format!("{right} {right}"),
            right.to_uppercase(),
        ];
        let wrong = wrong.iter().map(String::as_str);
        for token in [None, Some(""), Some("wrong")].into_iter().chain(wrong.map(Some)) {
            let mut request = client.get(format!("http://{}{path}", desk.addresses().api));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 401, "{path}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"]["status"], "UNAUTHENTICATED");
        }
    }
}
