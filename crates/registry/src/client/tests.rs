//! Against a registry that is honest, and against one that lies. RG and SS are the rows of the threat list.

use super::*;
use crate::UnknownRepository;
use crate::fake::{FakeRegistry, Lie};

const HOST: &str = "registry.test";
const PATH: &str = "app/web";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const M1: &[u8] = br#"{"schemaVersion":2,"config":{"size":5},"layers":[{"size":7}]}"#;
const M2: &[u8] = br#"{"schemaVersion":2,"config":{"size":6},"layers":[{"size":8}]}"#;

async fn set_up(credentials: &str) -> (FakeRegistry, Registries) {
    // Fails when another test was first, which is as good.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let fake = FakeRegistry::start().await.unwrap();
    let address = fake
        .address()
        .replace("http://", &format!("http://{credentials}"));
    let registries = Registries::new([format!("{HOST}={address}").parse().unwrap()]).unwrap();
    (fake, registries)
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

#[tokio::test]
async fn tags_resolve_and_manifests_are_read() {
    let (fake, registries) = set_up("").await;
    let digest = fake.push(PATH, "v1", IMAGE, M1);
    let repository = registries.repository(HOST, PATH).unwrap();
    let resolved = repository.resolve(&tag("v1")).await.unwrap();
    assert_eq!(
        (resolved.digest().to_string(), resolved.bytes()),
        (digest.clone(), M1)
    );
    assert_eq!(
        repository.manifest(&digest.parse().unwrap()).await.unwrap(),
        resolved
    );
    assert_eq!(repository.tags().await.unwrap(), [tag("v1")]);
    assert_eq!(registries.repositories(HOST, "app/").await.unwrap(), [PATH]);
    assert!(registries.repositories(HOST, "apt").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_absent_is_not_found() {
    let (fake, registries) = set_up("").await;
    let digest = fake.push(PATH, "v1", IMAGE, M1).parse().unwrap();
    let other = registries.repository(HOST, "app/other").unwrap();
    assert!(matches!(
        other.manifest(&digest).await,
        Err(RegistryError::NotFound { .. })
    ));
    assert!(matches!(other.tags().await, Err(RegistryError::NotFound { .. })));
    let repository = registries.repository(HOST, PATH).unwrap();
    assert!(matches!(
        repository.resolve(&tag("v2")).await,
        Err(RegistryError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_tag_is_added_moved_and_removed() {
    let (fake, registries) = set_up("").await;
    let first = fake.push(PATH, "v1", IMAGE, M1);
    let second = fake.push(PATH, "v2", IMAGE, M2);
    let repository = registries.repository(HOST, PATH).unwrap();
    for digest in [&first, &second] {
        let manifest = repository.manifest(&digest.parse().unwrap()).await.unwrap();
        repository.put_tag(&tag("stable"), &manifest).await.unwrap();
        assert_eq!(fake.tagged(PATH, "stable").as_ref(), Some(digest));
    }
    repository.delete_tag(&tag("stable")).await.unwrap();
    assert_eq!(fake.tagged(PATH, "stable"), None);
    assert!(matches!(
        repository.delete_tag(&tag("stable")).await,
        Err(RegistryError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_manifest_is_deleted_with_its_tags_and_no_other() {
    let (fake, registries) = set_up("").await;
    let first = fake.push(PATH, "v1", IMAGE, M1);
    let second = fake.push(PATH, "v2", IMAGE, M2);
    let repository = registries.repository(HOST, PATH).unwrap();
    repository.delete_manifest(&first.parse().unwrap()).await.unwrap();
    assert_eq!(fake.tagged(PATH, "v1"), None);
    assert_eq!(fake.tagged(PATH, "v2"), Some(second));
    assert!(matches!(
        repository.delete_manifest(&first.parse().unwrap()).await,
        Err(RegistryError::NotFound { .. })
    ));
}

#[tokio::test]
async fn rg_01_other_bytes_than_asked_for() {
    let (fake, registries) = set_up("").await;
    let digest = fake.push(PATH, "v1", IMAGE, M1).parse().unwrap();
    fake.lie(Some(Lie::Body(M2.to_vec())));
    let repository = registries.repository(HOST, PATH).unwrap();
    assert!(matches!(
        repository.manifest(&digest).await,
        Err(RegistryError::DigestMismatch { .. })
    ));
    assert!(matches!(
        repository.resolve(&tag("v1")).await,
        Err(RegistryError::DigestMismatch { .. })
    ));
}

#[tokio::test]
async fn rg_03_the_header_must_say_what_the_bytes_say() {
    let (fake, registries) = set_up("").await;
    let digest = fake.push(PATH, "v1", IMAGE, M1).parse().unwrap();
    let repository = registries.repository(HOST, PATH).unwrap();
    let manifest = repository.manifest(&digest).await.unwrap();
    for lie in [
        format!("sha256:{}", "0".repeat(64)),
        "sha256:../../etc/x".to_owned(),
        String::new(),
    ] {
        fake.lie(Some(Lie::DigestHeader(lie)));
        assert!(matches!(
            repository.manifest(&digest).await,
            Err(RegistryError::DigestMismatch { .. })
        ));
        assert!(matches!(
            repository.put_tag(&tag("x"), &manifest).await,
            Err(RegistryError::DigestMismatch { .. })
        ));
    }
}

#[tokio::test]
async fn rg_04_an_ambiguous_manifest() {
    let (fake, registries) = set_up("").await;
    fake.push(
        PATH,
        "v1",
        IMAGE,
        br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#,
    );
    let repository = registries.repository(HOST, PATH).unwrap();
    assert!(matches!(
        repository.resolve(&tag("v1")).await,
        Err(RegistryError::Manifest { .. })
    ));
}

#[tokio::test]
async fn rg_08_credentials_stay_with_their_origin() {
    let (fake, registries) = set_up("user:secret@").await;
    let (elsewhere, _) = set_up("").await;
    fake.push(PATH, "v1", IMAGE, M1);
    let repository = registries.repository(HOST, PATH).unwrap();
    for lie in [
        Lie::Challenge(format!("Bearer realm=\"{}/token\"", elsewhere.address())),
        Lie::Challenge(format!(
            "Bearer realm=\"{}@{}/token\"",
            fake.address(),
            &elsewhere.address()["http://".len()..]
        )),
        Lie::Redirect(format!("{}/v2/{PATH}/manifests/v1", elsewhere.address())),
        Lie::Redirect("file:///etc/passwd".to_owned()),
    ] {
        fake.lie(Some(lie.clone()));
        assert!(
            matches!(
                repository.resolve(&tag("v1")).await,
                Err(RegistryError::Elsewhere { .. })
            ),
            "{lie:?}"
        );
    }
    fake.lie(Some(Lie::NextPage(format!(
        "{}/v2/{PATH}/tags/list",
        elsewhere.address()
    ))));
    assert!(matches!(
        repository.tags().await,
        Err(RegistryError::Elsewhere { .. })
    ));
    assert_eq!(elsewhere.asked(), [], "nothing may reach another host");
}

#[tokio::test]
async fn a_token_is_fetched_from_the_same_origin() {
    let (fake, registries) = set_up("user:secret@").await;
    fake.push(PATH, "v1", IMAGE, M1);
    fake.lie(Some(Lie::Challenge(format!(
        "Bearer realm=\"{}/token\",service=\"s\",scope=\"a:b:pull\"",
        fake.address()
    ))));
    registries
        .repository(HOST, PATH)
        .unwrap()
        .resolve(&tag("v1"))
        .await
        .unwrap();
    let basic = Some("Basic dXNlcjpzZWNyZXQ=".to_owned());
    let asked: Vec<_> = fake
        .asked()
        .into_iter()
        .map(|asked| (asked.request, asked.authorization))
        .collect();
    let manifest = "GET /v2/app/web/manifests/v1".to_owned();
    assert_eq!(
        asked,
        [
            (manifest.clone(), basic.clone()),
            ("GET /token?service=s&scope=a%3Ab%3Apull".to_owned(), basic),
            (manifest, Some("Bearer granted".to_owned())),
        ]
    );
}

#[tokio::test]
async fn ss_02_redirects_have_a_limit() {
    let (fake, registries) = set_up("").await;
    fake.lie(Some(Lie::Redirect(format!("/v2/{PATH}/manifests/v1"))));
    let result = registries
        .repository(HOST, PATH)
        .unwrap()
        .resolve(&tag("v1"))
        .await;
    assert!(matches!(result, Err(RegistryError::TooManyRedirects { .. })));
    assert_eq!(fake.asked().len(), 4, "one request and three redirects");
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let (fake, registries) = set_up("").await;
    fake.lie(Some(Lie::EndlessBody));
    let repository = registries.repository(HOST, PATH).unwrap();
    let result = repository.resolve(&tag("v1")).await;
    assert!(matches!(
        result,
        Err(RegistryError::TooLarge {
            limit: MAX_MANIFEST_BYTES,
            ..
        })
    ));
    assert!(matches!(
        repository.tags().await,
        Err(RegistryError::TooLarge {
            limit: MAX_PAGE_BYTES,
            ..
        })
    ));
}

#[tokio::test]
async fn a_registry_that_stalls_is_given_up() {
    let (fake, mut registries) = set_up("").await;
    registries.transport.wait = std::time::Duration::from_millis(100);
    fake.lie(Some(Lie::Stall));
    let result = registries
        .repository(HOST, PATH)
        .unwrap()
        .resolve(&tag("v1"))
        .await;
    assert!(matches!(result, Err(RegistryError::TimedOut { .. })));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let (fake, registries) = set_up("").await;
    let repository = registries.repository(HOST, PATH).unwrap();
    for status in [401, 403] {
        fake.lie(Some(Lie::Status(status)));
        let result = repository.resolve(&tag("v1")).await;
        assert!(matches!(result, Err(RegistryError::Denied { status: found, .. }) if found == status));
    }
    for status in [400, 405, 429, 500, 503] {
        fake.lie(Some(Lie::Status(status)));
        let result = repository.resolve(&tag("v1")).await;
        assert!(matches!(result, Err(RegistryError::Refused { status: found, .. }) if found == status));
    }
    fake.lie(Some(Lie::NextPage(format!("/v2/{PATH}/tags/list?last=v1"))));
    fake.push(PATH, "v1", IMAGE, M1);
    assert!(
        matches!(repository.tags().await, Err(RegistryError::TooMany { .. })),
        "a list that goes on for ever"
    );
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let (_, registries) = set_up("").await;
    drop(registries);
    let port = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let registries = Registries::new([format!("{HOST}=http://127.0.0.1:{port}").parse().unwrap()]).unwrap();
    let error = registries
        .repository(HOST, PATH)
        .unwrap()
        .resolve(&tag("v1"))
        .await
        .unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }));
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(!source.contains(&port.to_string()), "{source}");
}

#[tokio::test]
async fn ss_01_only_configured_hosts_are_asked() {
    let (fake, registries) = set_up("").await;
    let address = fake.address().trim_start_matches("http://").to_owned();
    for host in [
        address.as_str(),
        "registry.test:80",
        "REGISTRY.test",
        "169.254.169.254",
        "",
    ] {
        let error = registries.repository(host, PATH).unwrap_err();
        assert_eq!(
            error,
            UnknownRepository::NotConfigured {
                host: host.to_owned()
            }
        );
    }
    for path in [
        "",
        "..",
        "a/../b",
        "a?b",
        "a#b",
        "a//b",
        "/a",
        "a/",
        "A",
        "a:t",
        "a@sha256:0",
        "a%2fb",
        "a b",
    ] {
        let error = registries.repository(HOST, path).unwrap_err();
        assert_eq!(
            error,
            UnknownRepository::InvalidPath {
                path: path.to_owned()
            }
        );
    }
    assert_eq!(fake.asked(), []);
}

#[test]
fn tags_have_a_grammar() {
    for text in ["v1", "latest", "_x", "1.2.3-rc_4", &"a".repeat(128)] {
        assert!(text.parse::<Tag>().is_ok(), "{text}");
    }
    for text in [
        "",
        "-x",
        ".x",
        "a/b",
        "a:b",
        "a@b",
        "sha256:0",
        "é",
        " a",
        &"a".repeat(129),
    ] {
        assert!(text.parse::<Tag>().is_err(), "{text}");
    }
}
