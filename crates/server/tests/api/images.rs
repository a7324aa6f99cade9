//! Artifact Registry as `gcloud artifacts docker` uses it, in front of a registry that is honest or lies.

use crate::support::{Desk, answer, flags};
use binauthz_registry::fake::{FakeRegistry, Lie};
use binauthz_server::Flags;
use reqwest::Method;
use serde_json::json;

const REPOSITORY: &str = "/v1/projects/demo/locations/us-central1/repositories/app";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const M1: &[u8] = br#"{"schemaVersion":2,"config":{"size":5},"layers":[{"size":7}]}"#;
const M2: &[u8] = br#"{"schemaVersion":2,"config":{"size":6},"layers":[{"size":8}]}"#;

async fn set_up() -> (Desk, FakeRegistry) {
    let registry = FakeRegistry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let host = format!("us-central1-docker.pkg.dev={}", registry.address());
    let flags = Flags {
        registries: vec![host],
        ..flags(folder.path())
    };
    let server = Desk::with(folder, flags).await;
    (server, registry)
}

fn version_of(package: &str, digest: &str) -> String {
    format!(
        "{}/packages/{package}/versions/{digest}",
        &REPOSITORY["/v1/".len()..]
    )
}

#[tokio::test]
async fn an_image_is_described_by_tag_and_by_digest() {
    let (server, registry) = set_up().await;
    let digest = registry.push("demo/app/myservice", "v1", IMAGE, M1);
    let repository = server.send(Method::GET, REPOSITORY, None).await.ok();
    assert_eq!(repository["format"], "DOCKER");
    let package = format!("{REPOSITORY}/packages/myservice");
    let tag = server
        .send(Method::GET, &format!("{package}/tags/v1"), None)
        .await
        .ok();
    assert_eq!(tag["version"], version_of("myservice", &digest));
    let version = server
        .send(Method::GET, &format!("{package}/versions/{digest}"), None)
        .await
        .ok();
    assert_eq!(
        (&version["name"], &version["metadata"]["imageSizeBytes"]),
        (&tag["version"], &json!("12"))
    );
    server
        .send(Method::GET, &format!("{package}/tags/v2"), None)
        .await
        .refused("NOT_FOUND", "manifests/v2");
    let absent = format!("{package}/versions/sha256:{}", "0".repeat(64));
    server
        .send(Method::GET, &absent, None)
        .await
        .refused("NOT_FOUND", "not found");
}

#[tokio::test]
async fn a_nested_package_is_encoded_twice() {
    let (server, registry) = set_up().await;
    let digest = registry.push("demo/app/sub/web", "v1", IMAGE, M1);
    for package in ["sub%252Fweb", "sub%2Fweb"] {
        let tag = server
            .send(
                Method::GET,
                &format!("{REPOSITORY}/packages/{package}/tags/v1"),
                None,
            )
            .await
            .ok();
        assert_eq!(tag["version"], version_of("sub%2Fweb", &digest));
    }
    for package in ["..%2F..", "..%252F..%252Fother%252Fx", "a%3Fb", "A"] {
        let answer = server
            .send(
                Method::GET,
                &format!("{REPOSITORY}/packages/{package}/tags/v1"),
                None,
            )
            .await;
        assert_eq!(answer.status, 400, "{package}: {answer:?}");
    }
}

#[tokio::test]
async fn a_tag_is_added_and_moved() {
    let (server, registry) = set_up().await;
    let first = registry.push("demo/app/myservice", "v1", IMAGE, M1);
    let second = registry.push("demo/app/myservice", "v2", IMAGE, M2);
    let tags = format!("{REPOSITORY}/packages/myservice/tags");
    let body = |digest: &str| Some(json!({ "name": "ignored", "version": version_of("myservice", digest) }));
    server
        .send(Method::POST, &format!("{tags}?tagId=stable"), body(&first))
        .await
        .ok();
    assert_eq!(
        registry.tagged("demo/app/myservice", "stable"),
        Some(first.clone())
    );
    let again = format!("{tags}?tagId=stable");
    server
        .send(Method::POST, &again, body(&second))
        .await
        .refused("ALREADY_EXISTS", "tags/stable");
    server
        .send(
            Method::PATCH,
            &format!("{tags}/stable?updateMask=version"),
            body(&second),
        )
        .await
        .ok();
    assert_eq!(
        registry.tagged("demo/app/myservice", "stable"),
        Some(second.clone())
    );
    let list = server
        .send(Method::GET, &format!("{tags}?pageSize=2"), None)
        .await
        .ok();
    assert_eq!(list["tags"].as_array().map(Vec::len), Some(2));
    assert!(list["nextPageToken"].is_string());
    server
        .send(Method::DELETE, &format!("{tags}/stable"), None)
        .await
        .ok();
    assert_eq!(registry.tagged("demo/app/myservice", "stable"), None);

    for (path, digest, code) in [
        (
            format!("{tags}?tagId=-x"),
            first.as_str(),
            ("INVALID_ARGUMENT", "is not a tag"),
        ),
        (
            format!("{tags}?tagId=x"),
            "sha256:abc",
            ("INVALID_ARGUMENT", "`version`"),
        ),
        (
            format!("{tags}/x?updateMask=version"),
            first.as_str(),
            ("NOT_FOUND", "not found"),
        ),
    ] {
        let method = if path.contains('?') && path.contains("tagId") {
            Method::POST
        } else {
            Method::PATCH
        };
        server
            .send(method, &path, body(digest))
            .await
            .refused(code.0, code.1);
    }
}

#[tokio::test]
async fn lists_show_what_has_a_tag() {
    let (server, registry) = set_up().await;
    let first = registry.push("demo/app/myservice", "v1", IMAGE, M1);
    registry.push("demo/app/myservice", "latest", IMAGE, M1);
    let second = registry.push("demo/app/sub/web", "v2", IMAGE, M2);
    registry.push("demo/other/web", "v1", IMAGE, M1);
    let images = server
        .send(Method::GET, &format!("{REPOSITORY}/dockerImages"), None)
        .await
        .ok();
    let uris: Vec<&str> = images["dockerImages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["uri"].as_str().unwrap())
        .collect();
    let host = "us-central1-docker.pkg.dev/demo/app";
    assert_eq!(
        uris,
        [
            format!("{host}/myservice@{first}"),
            format!("{host}/sub/web@{second}")
        ]
    );
    assert_eq!(images["dockerImages"][0]["tags"], json!(["latest", "v1"]));
    let packages = server
        .send(Method::GET, &format!("{REPOSITORY}/packages"), None)
        .await
        .ok();
    assert_eq!(packages["packages"].as_array().map(Vec::len), Some(2));
    let versions = server
        .send(
            Method::GET,
            &format!("{REPOSITORY}/packages/myservice/versions?view=FULL"),
            None,
        )
        .await
        .ok();
    registry.push("demo/app/myservice", "v3", IMAGE, M2);
    for (path, field, expected) in [
        ("packages", "packages", 2),
        ("dockerImages", "dockerImages", 3),
        ("packages/myservice/versions", "versions", 2),
        ("packages/myservice/tags", "tags", 3),
    ] {
        let path = format!("{REPOSITORY}/{path}");
        assert_eq!(server.pages(&path, field, 1).await.len(), expected, "{path}");
        server
            .get(&format!("{path}?pageToken=nonsense"))
            .await
            .refused("INVALID_ARGUMENT", "pageToken");
    }
    assert_eq!(
        versions["versions"][0]["relatedTags"].as_array().map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn tags_are_listed_by_the_version_they_name() {
    let (server, registry) = set_up().await;
    let first = registry.push("demo/app/sub/web", "v1", IMAGE, M1);
    registry.push("demo/app/sub/web", "latest", IMAGE, M1);
    registry.push("demo/app/sub/web", "v2", IMAGE, M2);
    let package = format!("{REPOSITORY}/packages/sub%252Fweb");
    let list = async |filter: &str| {
        let filter: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
        server.get(&format!("{package}/tags?filter={filter}")).await
    };
    let version = version_of("sub%2Fweb", &first);
    // What gcloud sends before it deletes the tags of an image.
    let tags = list(&format!("version=\"{version}\"")).await.ok();
    let names: Vec<&str> = tags["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["latest", "v1"]);
    assert!(
        tags["tags"]
            .as_array()
            .unwrap()
            .iter()
            .all(|tag| tag["version"] == version)
    );
    let none = version_of("sub%2Fweb", &format!("sha256:{}", "0".repeat(64)));
    assert_eq!(list(&format!("version=\"{none}\"")).await.ok(), json!({}));
    assert_eq!(list("").await.ok()["tags"].as_array().unwrap().len(), 3);
    for filter in [
        format!("version!=\"{version}\""),
        format!("version=\"{}\"", version_of("other", &first)),
        "name:\"v\"".to_owned(),
        "version".to_owned(),
    ] {
        list(&filter).await.refused("INVALID_ARGUMENT", "filter");
    }
    let paged = server
        .pages(
            &format!(
                "{package}/tags?filter=version%3D%22{}%22",
                version.replace('%', "%25")
            ),
            "tags",
            1,
        )
        .await;
    assert_eq!(paged.len(), 2);
    for path in [
        format!("{REPOSITORY}/packages"),
        format!("{REPOSITORY}/dockerImages"),
        format!("{package}/versions"),
    ] {
        server
            .get(&format!("{path}?filter=name%3D%22x%22"))
            .await
            .refused("INVALID_ARGUMENT", "`filter`");
        server.get(&format!("{path}?filter=")).await.ok();
    }
}

#[tokio::test]
async fn a_version_is_deleted_when_no_tag_names_it_or_with_them() {
    let (server, registry) = set_up().await;
    let first = registry.push("demo/app/web", "v1", IMAGE, M1);
    let second = registry.push("demo/app/web", "v2", IMAGE, M2);
    let versions = format!("{REPOSITORY}/packages/web/versions");
    server
        .delete(&format!("{versions}/{first}"))
        .await
        .refused("FAILED_PRECONDITION", "is tagged `v1`");
    assert!(registry.tagged("demo/app/web", "v1").is_some());
    server
        .delete(&format!("{REPOSITORY}/packages/web/tags/v1"))
        .await
        .ok();
    let operation = server.delete(&format!("{versions}/{first}")).await.ok();
    assert_eq!(operation["done"], true);
    let name = operation["name"].as_str().unwrap();
    assert!(
        name.starts_with("projects/demo/locations/us-central1/operations/"),
        "{name}"
    );
    assert_eq!(server.get(&format!("/v1/{name}")).await.ok(), operation);
    // It is nobody's business at Kubernetes Engine.
    let of_clusters = "/v1/projects/demo/locations/us-central1/operations";
    assert_eq!(server.get(of_clusters).await.ok(), json!({}));
    server
        .get(&format!("{versions}/{first}"))
        .await
        .refused("NOT_FOUND", "not found");
    server
        .delete(&format!("{versions}/{first}"))
        .await
        .refused("NOT_FOUND", "not found");
    server.get(&format!("{versions}/{second}")).await.ok();
    server
        .delete(&format!("{versions}/sha256:abc"))
        .await
        .refused("INVALID_ARGUMENT", "sha256");

    registry.lie(Some(Lie::DeleteStatus(405)));
    server
        .delete(&format!("{versions}/{second}?force=True"))
        .await
        .refused("FAILED_PRECONDITION", "does not delete images");
    assert_eq!(server.audit(1).await[0]["status"], "FAILED_PRECONDITION");
    registry.lie(None);
    server
        .delete(&format!("{versions}/{second}?force=True"))
        .await
        .ok();
    assert_eq!(registry.tagged("demo/app/web", "v2"), None);
}

#[tokio::test]
async fn gcloud_moves_a_tag_where_tags_cannot_be_deleted() {
    let (server, registry) = set_up().await;
    let first = registry.push("demo/app/web", "v1", IMAGE, M1);
    let second = registry.push("demo/app/web", "v2", IMAGE, M2);
    let tags = format!("{REPOSITORY}/packages/web/tags");
    let agent = |command: &str, run: &str| {
        format!("google-cloud-sdk gcloud/528.0.0 command/{command} invocation-id/{run} environment/None")
    };
    let delete = async |agent: &str| {
        let request = server.request(Method::DELETE, &format!("{tags}/v1"));
        answer(request.header("user-agent", agent)).await
    };
    let create = async |agent: &str| {
        let request = server.request(Method::POST, &format!("{tags}?tagId=v1"));
        let body = json!({ "version": version_of("web", &second) });
        answer(request.header("user-agent", agent).json(&body)).await
    };
    let add = "gcloud.artifacts.docker.tags.add";
    registry.lie(Some(Lie::DeleteStatus(405)));
    for agent in [
        agent("gcloud.artifacts.docker.tags.delete", "a"),
        "curl/8".to_owned(),
    ] {
        delete(&agent)
            .await
            .refused("FAILED_PRECONDITION", "cannot delete tags");
        create(&agent).await.refused("ALREADY_EXISTS", "tags/v1");
    }
    assert_eq!(delete(&agent(add, "run-1")).await.ok(), json!({}));
    let row = &server.audit(1).await[0];
    assert_eq!(row["detail"]["deferred"], first, "{row}");
    assert_eq!(
        registry.tagged("demo/app/web", "v1"),
        Some(first.clone()),
        "nothing happened yet"
    );
    for other in [
        agent(add, "run-2"),
        agent("gcloud.artifacts.docker.tags.delete", "run-1"),
        agent(add, ""),
    ] {
        create(&other).await.refused("ALREADY_EXISTS", "tags/v1");
    }
    create(&agent(add, "run-1")).await.ok();
    assert_eq!(registry.tagged("demo/app/web", "v1"), Some(second.clone()));
    create(&agent(add, "run-1"))
        .await
        .refused("ALREADY_EXISTS", "tags/v1");

    // Somebody else moved the tag in between.
    assert_eq!(delete(&agent(add, "run-3")).await.ok(), json!({}));
    registry.push("demo/app/web", "v1", IMAGE, M1);
    create(&agent(add, "run-3"))
        .await
        .refused("ALREADY_EXISTS", "tags/v1");
    // A registry that refuses for another reason is not helped out.
    registry.lie(Some(Lie::DeleteStatus(403)));
    delete(&agent(add, "run-4"))
        .await
        .refused("FAILED_PRECONDITION", "credential");
    create(&agent(add, "run-4"))
        .await
        .refused("ALREADY_EXISTS", "tags/v1");
    // One that can delete does.
    registry.lie(None);
    delete(&agent(add, "run-5")).await.ok();
    assert_eq!(registry.tagged("demo/app/web", "v1"), None);
    create(&agent(add, "run-5")).await.ok();
}

#[tokio::test]
async fn a_host_that_is_not_configured_is_said_to_be_so() {
    let (server, registry) = set_up().await;
    let elsewhere = REPOSITORY.replace("us-central1", "europe-west1");
    let expected = (
        "FAILED_PRECONDITION",
        "--registry europe-west1-docker.pkg.dev=URL",
    );
    for path in [
        elsewhere.clone(),
        format!("{elsewhere}/packages/x/tags/y"),
        format!("{elsewhere}/dockerImages"),
    ] {
        server
            .send(Method::GET, &path, None)
            .await
            .refused(expected.0, expected.1);
    }
    assert_eq!(registry.asked(), []);
}

/// Three hosts that one registry answers for, with two images: the digests of `library/nginx` and `team/app`.
async fn three_hosts() -> (Desk, FakeRegistry, [String; 2]) {
    let registry = FakeRegistry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hosts = ["docker.io", "r.example:5000", "us-central1-docker.pkg.dev"];
    let address = registry.address();
    let flags = Flags {
        registries: hosts.iter().map(|host| format!("{host}={address}")).collect(),
        ..flags(folder.path())
    };
    let first = registry.push("library/nginx", "latest", IMAGE, M1);
    let second = registry.push("team/app", "v2", IMAGE, M2);
    (Desk::with(folder, flags).await, registry, [first, second])
}

#[tokio::test]
async fn any_reference_to_a_configured_host_is_described() {
    let (server, _registry, [first, second]) = three_hosts().await;
    let (hub, other, google) = ("docker.io", "r.example:5000", "us-central1-docker.pkg.dev");
    for (repository, version, (host, path, digest)) in [
        ("nginx", "", (hub, "library/nginx", &first)),
        (
            "docker.io/library/nginx",
            ":latest",
            (hub, "library/nginx", &first),
        ),
        ("r.example:5000/team/app", ":v2", (other, "team/app", &second)),
        (
            "us-central1-docker.pkg.dev/team/app",
            ":v2",
            (google, "team/app", &second),
        ),
        (
            "r.example:5000/team/app",
            &format!("@{second}"),
            (other, "team/app", &second),
        ),
    ] {
        let address = format!("/binauthz/v1/images:describe?image={repository}{version}");
        let found = server.get(&address).await.ok();
        assert_eq!(
            (&found["registry"], &found["path"], &found["digest"]),
            (&json!(host), &json!(path), &json!(digest)),
            "{repository}"
        );
        assert_eq!(found["fullyQualifiedDigest"], format!("{repository}@{digest}"));
    }
}

#[tokio::test]
async fn no_registry_is_asked_for_another_ones_image() {
    let (server, registry, _) = three_hosts().await;
    for (image, status, message) in [
        // The very name of a configured location under another domain is another registry.
        (
            "us-central1-docker.example.test/team/app:v2",
            "FAILED_PRECONDITION",
            "--registry us-central1-docker.example.test=URL",
        ),
        ("quay.io/team/app:v2", "FAILED_PRECONDITION", "crane digest"),
        ("", "INVALID_ARGUMENT", "?image="),
        ("r.example:5000/Team/app", "INVALID_ARGUMENT", "image"),
        ("r.example:5000/../app", "INVALID_ARGUMENT", "image"),
    ] {
        let address = format!("/binauthz/v1/images:describe?image={image}");
        server.get(&address).await.refused(status, message);
    }
    assert_eq!(registry.asked(), []);
    server
        .get("/binauthz/v1/images:describe?image=nginx:absent")
        .await
        .refused("NOT_FOUND", "manifests/absent");
}

#[tokio::test]
async fn nothing_is_redirected_from_the_old_registry() {
    let (server, _) = set_up().await;
    let settings = server.get("/v1/projects/demo/projectSettings").await.ok();
    assert_eq!(settings["name"], "projects/demo/projectSettings");
    assert_eq!(
        settings["legacyRedirectionState"],
        "REDIRECTION_FROM_GCR_IO_DISABLED"
    );
    server
        .patch("/v1/projects/demo/projectSettings", settings)
        .await
        .refused("NOT_FOUND", "expected GET");
}

#[tokio::test]
async fn a_registry_that_lies_is_not_believed() {
    let (server, registry) = set_up().await;
    let digest = registry.push("demo/app/myservice", "v1", IMAGE, M1);
    let package = format!("{REPOSITORY}/packages/myservice");
    let version = format!("{package}/versions/{digest}");
    for (lie, expected) in [
        (Lie::Body(M2.to_vec()), ("FAILED_PRECONDITION", "digest")),
        (
            Lie::DigestHeader("sha256:0".to_owned()),
            ("FAILED_PRECONDITION", "digest"),
        ),
        (Lie::EndlessBody, ("FAILED_PRECONDITION", "exceeds")),
        (
            Lie::Redirect("http://127.0.0.1:1/x".to_owned()),
            ("FAILED_PRECONDITION", "another host"),
        ),
        (Lie::Status(403), ("FAILED_PRECONDITION", "credential")),
        (Lie::Status(503), ("UNAVAILABLE", "503")),
    ] {
        registry.lie(Some(lie));
        server
            .send(Method::GET, &version, None)
            .await
            .refused(expected.0, expected.1);
    }
    registry.lie(Some(Lie::Status(405)));
    let tag = format!("{package}/tags/v1");
    server
        .send(Method::DELETE, &tag, None)
        .await
        .refused("FAILED_PRECONDITION", "cannot delete tags");
}
