//! Certificates in a folder. Those in a Secret are tried in a real cluster.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn plan<'a>(folder: &'a Path, names: &'a [String]) -> Plan<'a> {
    Plan {
        data_directory: folder,
        secret: None,
        names,
        lifetimes: Lifetimes::USUAL,
    }
}

async fn open(folder: &Path, now: SystemTime) -> Result<Certificates, CertificatesError> {
    Certificates::open(plan(folder, &[]), now).await
}

fn leaf(certificates: &Certificates) -> Vec<u8> {
    certificates.current.load().key.cert[0].to_vec()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

#[tokio::test]
async fn a_restart_reuses_and_the_end_or_a_new_name_renews() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), now()).await.unwrap();
    let authority = fs::read(folder.path().join("webhook-ca.pem")).unwrap();

    let again = open(folder.path(), now() + DAY).await.unwrap();
    assert_eq!(leaf(&first), leaf(&again), "reused");

    let names = ["binauthz.binauthz.svc".to_owned()];
    let named = Certificates::open(plan(folder.path(), &names), now())
        .await
        .unwrap();
    assert_ne!(leaf(&first), leaf(&named), "a new name needs a new certificate");

    let before = leaf(&named);
    assert!(!named.renew_if_due(now() + DAY * 59).await.unwrap());
    assert!(named.renew_if_due(now() + DAY * 61).await.unwrap());
    assert_ne!(before, leaf(&named));
    assert_eq!(
        authority,
        fs::read(folder.path().join("webhook-ca.pem")).unwrap(),
        "the authority stays"
    );
}

#[tokio::test]
async fn the_next_authority_is_published_before_it_signs() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = open(folder.path(), now()).await.unwrap();
    let bundle = || fs::read_to_string(folder.path().join("webhook-ca.pem")).unwrap();
    let first = bundle();
    assert_eq!(certificates.next_authority(), None);
    let late = now() + DAY * 2_500;
    assert!(certificates.renew_if_due(late).await.unwrap());
    let next = certificates.next_authority().unwrap();
    assert_eq!(bundle(), format!("{first}{next}"));
    let before = leaf(&certificates);
    certificates.everybody_trusts(first.clone());
    assert!(
        !certificates.renew_if_due(late).await.unwrap(),
        "that is another one"
    );
    certificates.everybody_trusts(next.clone());
    assert!(certificates.renew_if_due(late).await.unwrap());
    assert_ne!(before, leaf(&certificates));
    assert_eq!(bundle(), format!("{next}{first}"));
    assert_eq!(certificates.next_authority(), None);
}

#[tokio::test]
async fn the_authority_of_an_earlier_release_stays() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(other.path(), SystemTime::now()).await.unwrap();
    let text = fs::read_to_string(other.path().join("tls/material.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let part = |name: &str| kept["authority"][name].as_str().unwrap().to_owned();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::write(folder.path().join("tls/authority.pem"), part("certificate")).unwrap();
    fs::write(folder.path().join("tls/authority.key"), part("key")).unwrap();
    let opened = open(folder.path(), SystemTime::now()).await.unwrap();
    assert_eq!(opened.bundle(), part("certificate"));
    let again = open(folder.path(), SystemTime::now()).await.unwrap();
    assert_eq!(leaf(&opened), leaf(&again));
    assert!(opened.ends() > SystemTime::now() + DAY * 89);
}

#[tokio::test]
async fn keys_are_readable_by_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), SystemTime::now()).await.unwrap();
    let metadata = fs::metadata(folder.path().join("tls/material.json")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let bundle = fs::read_to_string(folder.path().join("webhook-ca.pem")).unwrap();
    assert!(!bundle.contains("PRIVATE"));
}

#[tokio::test]
async fn damage_is_reported_and_not_papered_over() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = open(folder.path(), SystemTime::now()).await.unwrap();
    let before = leaf(&certificates);
    let path = folder.path().join("tls/material.json");
    let good = fs::read_to_string(&path).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&good).unwrap();
    other["serving"]["certificate"] = "not a certificate".into();
    for text in ["", "{}", "not JSON", &other.to_string()] {
        fs::write(&path, text).unwrap();
        assert!(
            matches!(
                open(folder.path(), SystemTime::now()).await,
                Err(CertificatesError::Damaged { .. })
            ),
            "{text}"
        );
        assert!(certificates.renew_if_due(SystemTime::now()).await.is_err());
        assert_eq!(leaf(&certificates), before, "the present one stays");
    }
    fs::write(&path, good).unwrap();
    let names = ["naïve name".to_owned()];
    let bad_name = Certificates::open(plan(folder.path(), &names), SystemTime::now()).await;
    assert!(matches!(bad_name, Err(CertificatesError::Issue { .. })));
}
