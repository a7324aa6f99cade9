//! Who may ask for a cluster where client certificates are required.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::court::{CLUSTER, Court, created, pod};
use crate::support::{Desk, flags};

pub(crate) struct Authority(Issuer<'static, KeyPair>, pub(crate) String);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority(Issuer::new(params, key), pem)
    }

    /// A client certificate with these names, and its key.
    pub(crate) fn client(&self, uris: &[String]) -> reqwest::Identity {
        self.client_of(CertificateParams::new(Vec::new()).unwrap(), uris)
    }

    /// One that ends so many seconds from now.
    pub(crate) fn client_for(&self, seconds: u64, uris: &[String]) -> reqwest::Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + std::time::Duration::from_secs(seconds);
        self.client_of(params, uris)
    }

    fn client_of(&self, mut params: CertificateParams, uris: &[String]) -> reqwest::Identity {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI(uri.as_str().try_into().unwrap()))
            .collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        reqwest::Identity::from_pem(pem.as_bytes()).unwrap()
    }
}

fn urn(cluster: &str) -> String {
    format!("urn:binauthz:cluster:{cluster}")
}

/// A desk whose webhook takes certificates of `authority` only.
async fn desk(authority: &str) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, authority).unwrap();
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(
        &config,
        format!("webhookClientAuthorities: {}\n", authorities.display()),
    )
    .unwrap();
    let flags = binauthz_server::Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    Desk::with(folder, flags).await
}

pub(crate) fn webhook(desk: &Desk, identity: Option<reqwest::Identity>) -> reqwest::Client {
    let authority = std::fs::read(desk.folder().join("webhook-ca.pem")).unwrap();
    let builder =
        reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()]);
    match identity {
        Some(identity) => builder.identity(identity).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

#[tokio::test]
async fn a_certificate_speaks_for_the_clusters_it_names_and_for_no_other() {
    let authority = Authority::new();
    let mut court = Court::on(desk(&authority.1).await).await;
    let other = CLUSTER.replace("clusters/c", "clusters/other");
    let image_review = json!({
        "apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": { "containers": [{ "image": "nginx" }], "namespace": "default" },
    });
    let questions = [
        ("admit", created(pod(&["nginx"]))),
        ("mutate", created(pod(&["nginx"]))),
        ("imagepolicy", image_review),
    ];
    let with_both = authority.client(&[urn(&other), "spiffe://x/y".to_owned(), urn(CLUSTER)]);
    for identity in [authority.client(&[urn(CLUSTER)]), with_both] {
        court.webhook = webhook(&court.desk, Some(identity));
        for (dialect, body) in &questions {
            court.ask(dialect, body).await;
        }
    }
    let before = court.records().await.len();
    for uris in [
        vec![urn(&other)],
        vec![],
        vec![CLUSTER.to_owned()],
        vec![format!("{}/x", urn(CLUSTER))],
        vec![urn(&CLUSTER.to_uppercase())],
        vec![urn("*"), urn(&CLUSTER.replace("clusters/c", "clusters/*"))],
        vec![urn("projects/p")],
    ] {
        court.webhook = webhook(&court.desk, Some(authority.client(&uris)));
        for (dialect, body) in &questions {
            let path = format!("/{dialect}/{CLUSTER}");
            let (status, text) = court.raw(&path, body.to_string().into_bytes()).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{uris:?} {text}");
            assert!(text.contains(&format!("`URI:{}`", urn(CLUSTER))), "{text}");
        }
    }
    assert_eq!(court.records().await.len(), before, "no verdict was given");
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_nothing_is_read() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let court = Court::on(desk(&authority.1).await).await;
    let url = court.url(&format!("/admit/{CLUSTER}"));
    for identity in [None, Some(stranger.client(&[urn(CLUSTER)]))] {
        let client = webhook(&court.desk, identity);
        assert!(
            client
                .post(&url)
                .json(&created(pod(&["nginx"])))
                .send()
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn where_none_are_required_a_certificate_means_nothing() {
    let mut court = Court::new().await;
    let identity = Authority::new().client(&[urn("projects/q/locations/l/clusters/c")]);
    court.webhook = webhook(&court.desk, Some(identity));
    court.pod(&["nginx"]).await.denial();
}

/// The commands of the reference, as they stand there.
#[tokio::test]
async fn a_certificate_made_as_the_reference_says_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let reference = include_str!("../../../../docs/reference/configuration.md");
    let (_, section) = reference.split_once("## Client certificates").unwrap();
    let commands = section
        .split("```sh\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let openssl = std::process::Command::new("openssl").arg("version").output();
    if openssl.is_err() && std::env::var_os("BINAUTHZ_REQUIRE_ALL").is_none() {
        return;
    }
    let output = std::process::Command::new("sh")
        .args(["-euc", commands])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let identity =
        reqwest::Identity::from_pem(format!("{}{}", read("client.pem"), read("client.key")).as_bytes())
            .unwrap();
    let desk = desk(&read("authority.pem")).await;
    let client = webhook(&desk, Some(identity));
    for (cluster, status) in [
        (
            "projects/demo/locations/us-central1-a/clusters/my-cluster",
            StatusCode::OK,
        ),
        (CLUSTER, StatusCode::FORBIDDEN),
    ] {
        let url = format!("https://{}/admit/{cluster}", desk.addresses().webhook);
        let answer = client
            .post(url)
            .json(&created(pod(&["nginx"])))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
    }
}
