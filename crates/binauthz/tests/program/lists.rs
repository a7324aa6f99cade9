//! Lists, and the flags that gcloud has.

use crate::commands::{KEY, image, prepared};
use crate::common::Server;

#[test]
fn a_list_is_narrowed_sorted_and_cut_only_when_asked() {
    let server = prepared();
    for name in ["app", "web", "job"] {
        let image = image(name).replace(
            "ebb4",
            &format!("{:04x}", name.len() + usize::from(name.as_bytes()[0])),
        );
        server.done(&format!(
            "attestations sign-and-create --artifact-url={image} --attestor=a {KEY}"
        ));
    }
    let list = |flags: &str| -> Vec<String> {
        let typed = format!("attestations list --attestor=a --format=value(resourceUri) {flags}");
        server.done(&typed).lines().map(str::to_owned).collect()
    };
    assert_eq!(list("").len(), 3);
    assert_eq!(list("--page-size=1").len(), 3, "every page is read");
    assert_eq!(list("--limit=2").len(), 2);
    assert_eq!(list("--limit=unlimited").len(), 3);
    let sorted = list("--sort-by=resourceUri");
    assert!(sorted.is_sorted() && sorted[0].contains("/app@"), "{sorted:?}");
    let first_down = list("--sort-by=~resourceUri --limit=1");
    assert!(first_down[0].contains("/web@"), "{first_down:?}");
    assert_eq!(list("--filter=resourceUri:web").len(), 1);
    assert_eq!(list("--filter=resourceUri:web --limit=1 --page-size=1").len(), 1);
    assert_eq!(list("--filter='createTime < \"2020-01-01T00:00:00Z\"'").len(), 0);
    let uris = server.done("attestations list --attestor=a --uri --limit=1");
    assert!(
        uris.starts_with("http://127.0.0.1:") && uris.contains("/v1/projects/demo/occurrences/"),
        "{uris}"
    );
    assert_eq!(
        server
            .done("attestors list --limit=1 --format=value(name)")
            .lines()
            .count(),
        1
    );
    assert!(server.done("clusters list --uri").contains("/clusters/c"));
    assert_eq!(server.run("attestations list --filter=nonsense").code, 2);
}

#[test]
fn a_log_that_goes_on_says_so() {
    let server = Server::start();
    for number in 0..51 {
        server.done(&format!("projects create project-{number}"));
    }
    let cut = server.run("logs audit --format=value(method)");
    assert_eq!(cut.out.lines().count(), 50);
    assert!(cut.error.contains("--limit=unlimited"), "{}", cut.error);
    let asked = server.run("logs audit --format=value(method) --limit=unlimited");
    assert_eq!((asked.out.lines().count(), asked.error.as_str()), (51, ""));
    let few = server.run("logs audit --format=value(method) --limit=50");
    assert_eq!((few.out.lines().count(), few.error.as_str()), (50, ""));
}

#[test]
fn keys_have_labels_a_delay_and_an_iam_policy() {
    let server = Server::start();
    server.done("keyrings create r --location=global");
    let of = "--keyring=r --location=global";
    server.done(&format!(
        "keys create k {of} --default-algorithm=ec-sign-p256-sha256 --labels=team=build,env=prod \
         --destroy-scheduled-duration=2d"
    ));
    let shown = server.done(&format!("keys describe k {of} --format=json"));
    let key: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(key["labels"], serde_json::json!({"team": "build", "env": "prod"}));
    assert_eq!(key["destroyScheduledDuration"], "172800s");
    server.done(&format!(
        "keys update k {of} --update-labels=team=release --remove-labels=env"
    ));
    let labels = server.done(&format!("keys describe k {of} --format=value(labels)"));
    assert_eq!(labels, "team=release\n");
    server.done(&format!(
        "keys update k {of} --clear-labels --default-algorithm=ec-sign-p384-sha384"
    ));
    let shown = server.done(&format!(
        "keys describe k {of} --format=value(labels,versionTemplate.algorithm)"
    ));
    assert_eq!(shown, "\tEC_SIGN_P384_SHA384\n");
    assert_eq!(
        server
            .run(&format!("keys update k {of} --update-labels=Team=x"))
            .code,
        1,
        "the server's word"
    );

    let binding = "--member=user:a@example.com --role=roles/cloudkms.signer";
    for resource in [
        format!("keys {{}} k {of}"),
        "keyrings {} r --location=global".to_owned(),
    ] {
        server.done(&format!(
            "{} {binding}",
            resource.replace("{}", "add-iam-policy-binding")
        ));
        let policy = server.done(&resource.replace("{}", "get-iam-policy"));
        assert!(policy.contains("user:a@example.com"), "{policy}");
        server.done(&format!(
            "{} {binding}",
            resource.replace("{}", "remove-iam-policy-binding")
        ));
        let again = server.run(&format!(
            "{} {binding}",
            resource.replace("{}", "remove-iam-policy-binding")
        ));
        assert_eq!(again.code, 1, "it is gone");
    }
    server.write(
        "iam.yaml",
        "bindings:\n- {role: roles/cloudkms.viewer, members: [user:b@example.com]}\n",
    );
    server.done(&format!("keys set-iam-policy k iam.yaml {of}"));
    assert!(server.done("locations list").contains("global"));
}

#[test]
fn a_file_is_signed_by_the_hash_that_was_named_or_not_at_all() {
    let server = prepared();
    server.write("f", "text");
    let sign = "keys asymmetric-sign --version=1 --key=k --keyring=r --location=global --input-file=f --signature-file=s";
    server.done(&format!("{sign} --digest-algorithm=sha256"));
    let refused = server.run(&format!("{sign} --digest-algorithm=sha512"));
    assert_eq!(refused.code, 2);
    assert!(refused.error.contains("sha256"), "{}", refused.error);
    let key = "keys versions get-public-key 1 --key=k --keyring=r --location=global";
    assert!(server.done(key).starts_with("-----BEGIN PUBLIC KEY-----"));
    server.done(&format!("{key} --public-key-format=der --output-file=k.der"));
    let der = std::fs::read(server.path().join("k.der")).expect("written");
    assert_eq!(
        (der[0], der.len()),
        (0x30, 91),
        "SubjectPublicKeyInfo of a P-256 key"
    );
}

#[test]
fn findings_of_lint_are_data_when_asked() {
    let server = prepared();
    server.write(
        "open.yaml",
        "admissionWhitelistPatterns: [{namePattern: r.example/app}, {namePattern: r.example/app}]\n\
         defaultAdmissionRule: {evaluationMode: ALWAYS_ALLOW, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n",
    );
    let run = server.run("policy lint open.yaml --format=json");
    let findings: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    let codes: Vec<&str> = findings
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .collect();
    assert_eq!(run.code, 1);
    assert!(
        codes.contains(&"REPEATED_PATTERN") && codes.contains(&"NOTHING_ENFORCED"),
        "{codes:?}"
    );
    let clean = server.run("policy lint policy.yaml --format=json");
    assert_eq!((clean.code, clean.out.as_str()), (0, "[]\n"));
    assert_eq!(
        server
            .run("policy import policy.yaml --strict-validation -q")
            .code,
        0
    );
}
