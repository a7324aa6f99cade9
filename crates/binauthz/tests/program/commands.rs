//! The commands of the tutorial and their mistakes, against a real server.

use crate::common::{Run, Server, program};

const HEX: &str = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
pub(crate) const KEY: &str =
    "--keyversion-location=global --keyversion-keyring=r --keyversion-key=k --keyversion=1";

const POLICY: &str = "\
admissionWhitelistPatterns:
- namePattern: gke.gcr.io/*
globalPolicyEvaluationMode: ENABLE
defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
  - projects/demo/attestors/a
";

/// A cluster, a P-256 key, a note, an attestor that holds the key, and a policy that requires it.
pub(crate) fn prepared() -> Server {
    prepared_on(Server::start())
}

/// The same, on a server of one's own making.
pub(crate) fn prepared_on(server: Server) -> Server {
    server.done("clusters create c --location=zone-a");
    server.done("keyrings create r --location=global");
    server.done("keys create k --keyring=r --location=global --default-algorithm=ec-sign-p256-sha256");
    server.done("notes create n");
    server.done("attestors create a --attestation-authority-note=n");
    server.done(&format!("attestors public-keys add --attestor=a {KEY}"));
    server.write("policy.yaml", POLICY);
    server.done("policy import policy.yaml");
    server
}

pub(crate) fn image(name: &str) -> String {
    format!("us-central1-docker.pkg.dev/demo/app/{name}@sha256:{HEX}")
}

fn pod(server: &Server, image: &str) {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: \"{image}\"}}]}}\n"
    );
    server.write("pod.yaml", &text);
}

#[test]
fn an_image_is_admitted_once_it_is_signed_and_no_longer_when_the_attestation_is_gone() {
    let server = prepared();
    pod(&server, &image("app"));
    let denied = server.run("decide pod.yaml");
    assert_eq!(denied.code, 1, "{}", denied.error);
    assert!(
        denied
            .out
            .contains("denied by attestor projects/demo/attestors/a: No attestations found"),
        "{}",
        denied.out
    );
    server.done(&format!(
        "attestations sign-and-create --artifact-url={} --attestor=a {KEY} --validate",
        image("app")
    ));
    assert_eq!(server.run("decide pod.yaml").code, 0);
    server.done("snapshot export --output=snapshot.json");
    assert_eq!(server.run("decide pod.yaml --snapshot=snapshot.json").code, 0);
    let name = server.done("attestations list --attestor=a --format=value(name)");
    server.done(&format!("attestations delete {}", name.trim()));
    assert_eq!(server.run("decide pod.yaml").code, 1);
    assert_eq!(
        server.run("decide pod.yaml --snapshot=snapshot.json").code,
        0,
        "a snapshot stays what it was"
    );
    assert_eq!(server.done("attestations list --attestor=a"), "");
}

#[test]
fn a_local_key_and_a_digest_file_do_the_same() {
    let server = prepared();
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "key.pem",
        ])
        .current_dir(server.path())
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: openssl is not installed");
        return;
    }
    let public = std::process::Command::new("openssl")
        .args(["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"])
        .current_dir(server.path())
        .output()
        .expect("openssl");
    assert!(public.status.success());
    server.write(
        "build.json",
        &format!("{{\"containerimage.digest\":\"sha256:{HEX}\",\"image.name\":\"r.example/app:v1\"}}"),
    );
    let sign =
        "attestations sign-and-create --digest-file=build.json --attestor=a --local-key=key.pem --validate";
    let stranger = server.run(sign);
    assert_eq!(stranger.code, 1, "{}", stranger.error);
    assert!(stranger.error.contains("public-keys add"), "{}", stranger.error);
    server.done("attestors public-keys add --attestor=a --pkix-public-key-file=public.pem --pkix-public-key-algorithm=ecdsa-p256-sha256");
    server.done(sign);
    pod(&server, &format!("r.example/app@sha256:{HEX}"));
    assert_eq!(server.run("decide pod.yaml").code, 0);
}

#[test]
fn every_mistake_ends_with_its_code_and_says_what_to_do() {
    let server = prepared();
    server.write(
        "two-maps.yaml",
        &format!("{POLICY}clusterAdmissionRules: {{z.c: &r {{evaluationMode: ALWAYS_ALLOW}}}}\n"),
    );
    server.write("typo.yaml", &POLICY.replace("namePattern", "namePatern"));
    server.write(
        "unknown.yaml",
        &POLICY.replace("REQUIRE_ATTESTATION", "REQUIRE_SOMETHING"),
    );
    server.write("missing.yaml", &POLICY.replace("attestors/a", "attestors/nobody"));
    server.write("bare.yaml", &POLICY.replace("gke.gcr.io/*", "gke.gcr.io/pause"));
    let table = [
        ("attestors describe nobody".to_owned(), 1, "NOT_FOUND"),
        (
            "attestors create a --attestation-authority-note=n".to_owned(),
            1,
            "ALREADY_EXISTS",
        ),
        (
            "attestors create b --attestation-authority-note=n --bad".to_owned(),
            2,
            "--bad",
        ),
        ("policy import typo.yaml".to_owned(), 1, "namePatern"),
        ("policy import unknown.yaml".to_owned(), 1, "REQUIRE_SOMETHING"),
        ("policy import missing.yaml".to_owned(), 1, "nobody"),
        ("policy import two-maps.yaml".to_owned(), 2, "YAML"),
        ("policy import not-there.yaml".to_owned(), 2, "not-there.yaml"),
        ("policy lint typo.yaml".to_owned(), 2, "namePatern"),
        (
            format!("attestations sign-and-create --artifact-url=r.example/app:v1 --attestor=a {KEY}"),
            2,
            "images describe",
        ),
        (
            format!(
                "attestations sign-and-create --artifact-url=r.example/app@sha256:abc --attestor=a {KEY}"
            ),
            2,
            "64",
        ),
        (
            format!(
                "attestations sign-and-create --artifact-url={} --attestor=nobody {KEY}",
                image("app")
            ),
            1,
            "NOT_FOUND",
        ),
        ("decide not-there.yaml".to_owned(), 2, "not-there.yaml"),
        ("decide policy.yaml".to_owned(), 2, "policy.yaml"),
        (
            "attestors list --server=http://127.0.0.1:1".to_owned(),
            2,
            "cannot be reached",
        ),
        ("attestors list --token=wrong".to_owned(), 1, "UNAUTHENTICATED"),
        (
            "attestors list --server=http://binauthz.example --token=x".to_owned(),
            2,
            "--allow-plain-http",
        ),
        ("attestors list --format=xml".to_owned(), 2, "expected json"),
        ("logs list --data-dir=not-there".to_owned(), 2, "addresses.json"),
    ];
    for (typed, code, words) in table {
        let run = server.run(&typed);
        assert_eq!(run.code, code, "{typed}\n{}\n{}", run.out, run.error);
        assert!(run.error.contains(words), "{typed}: {}", run.error);
    }
    let linted = server.run("policy lint bare.yaml");
    assert_eq!(linted.code, 1);
    assert!(
        linted.out.contains("exempts only this exact text"),
        "{}",
        linted.out
    );
    assert_eq!(server.run("policy lint policy.yaml").code, 0);
}

#[test]
fn a_key_version_that_is_disabled_signs_nothing() {
    let server = prepared();
    let version = "1 --key=k --keyring=r --location=global";
    server.done(&format!("keys versions disable {version}"));
    let sign = format!(
        "attestations sign-and-create --artifact-url={} --attestor=a {KEY}",
        image("app")
    );
    let refused = server.run(&sign);
    assert_eq!(refused.code, 1, "{}", refused.error);
    assert!(refused.error.contains("DISABLED"), "{}", refused.error);
    server.done(&format!("keys versions enable {version}"));
    server.done(&sign);
}

#[test]
fn what_is_exported_can_be_imported() {
    let server = prepared();
    let exported = server.done("policy export");
    server.write("exported.yaml", &exported);
    let again = server.done("policy import exported.yaml");
    let rules = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("etag") && !line.starts_with("updateTime"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(&again), rules(&exported));
    // The etag of the first export is stale now.
    let stale = server.run("policy import exported.yaml");
    assert_eq!(stale.code, 1, "{}", stale.error);
}

#[test]
fn a_token_works_until_it_is_revoked() {
    let server = prepared();
    let token = server.done("tokens create reader --role=viewer");
    server.write("reader.token", &token);
    server.done("attestors list --token-file=reader.token");
    let refused = server.run("attestors delete a --token-file=reader.token");
    assert_eq!(refused.code, 1);
    assert!(refused.error.contains("PERMISSION_DENIED"), "{}", refused.error);
    assert!(
        !server.done("tokens list").contains(token.trim()),
        "the secret is shown once"
    );
    server.done("tokens revoke reader");
    assert_eq!(server.run("attestors list --token-file=reader.token").code, 1);
}

#[test]
fn the_payload_is_the_one_of_gcloud() {
    let server = prepared();
    let payload = server.done(&format!(
        "create-signature-payload --artifact-url=https://{}",
        image("app")
    ));
    let expected = format!(
        "{{\n  \"critical\": {{\n    \"identity\": {{\n      \"docker-reference\": \"us-central1-docker.pkg.dev/demo/app/app\"\n    }},\n    \
         \"image\": {{\n      \"docker-manifest-digest\": \"sha256:{HEX}\"\n    }},\n    \
         \"type\": \"Google cloud binauthz container signature\"\n  }}\n}}\n"
    );
    assert_eq!(payload, expected);
    server.write("payload.json", &payload);
    server.done("keys sign --version=1 --key=k --keyring=r --location=global --input-file=payload.json --signature-file=payload.sig");
    let id = server.done("attestors describe a --format=value(userOwnedGrafeasNote.publicKeys[0].id)");
    let create = format!(
        "attestations create --artifact-url={} --attestor=a --signature-file=payload.sig",
        image("app")
    );
    server.write("other.sig", "not a signature");
    let bad = server.run(
        &format!("{create} --public-key-id={} --validate", id.trim()).replace("payload.sig", "other.sig"),
    );
    assert_eq!(bad.code, 1, "{}", bad.error);
    assert!(bad.error.contains("nothing was stored"), "{}", bad.error);
    let create = format!("{create} --public-key-id={} --validate", id.trim());
    server.done(&create);
    let again = server.run(&create);
    assert_eq!(again.code, 1);
    assert!(
        again.error.contains("ALREADY_EXISTS"),
        "the same bytes twice: {}",
        again.error
    );
}

#[test]
fn the_environment_points_gcloud_here() {
    let server = Server::start();
    let exports = server.done("env");
    let addresses: serde_json::Value =
        serde_json::from_str(&server.read("data/addresses.json")).expect("JSON");
    let api = addresses["api"].as_str().expect("an address");
    assert!(
        exports.contains(&format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS={api}/")),
        "{exports}"
    );
    let shell = std::process::Command::new("sh")
        .arg("-ec")
        .arg(&exports)
        .output()
        .expect("a shell");
    assert!(
        shell.status.success(),
        "{}",
        String::from_utf8_lossy(&shell.stderr)
    );
}

#[test]
fn completion_scripts_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let run = Run::of(
            &program()
                .args(["completion", shell])
                .output()
                .expect("the program starts"),
        );
        assert!(run.code == 0 && run.out.contains("attestations"), "{shell}");
    }
}
