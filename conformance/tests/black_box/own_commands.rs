//! `binauthz` as its own client: the tutorial without gcloud, tokens, a local key, and a verdict without a server.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Desk, review};

use crate::story;

/// Signs, and needs an image and a key.
pub(crate) const SIGN: &str = "binauthz attestations sign-and-create --attestor=image-signing-attestor";

/// Points `binauthz` at the desk's server as `binauthz env` says.
fn at_home(desk: &mut Desk) {
    let data = desk.server.data.display().to_string();
    desk.shell.set("BINAUTHZ_DATA_DIR", data);
    desk.shell.set("BINAUTHZ_PROJECT", "demo");
}

/// Everything up to a policy in force, and a registered cluster.
pub(crate) fn ready(desk: &mut Desk) {
    at_home(desk);
    desk.ok("binauthz clusters create my-cluster --location=us-central1-a \
           --binauthz-evaluation-mode=project-singleton-policy-enforce");
    policy(desk);
}

/// The tutorial's policy, with its attestor and the key of that.
pub(crate) fn policy(desk: &Desk) {
    desk.write("binauthz-policy.yaml", story::POLICY);
    desk.ok("binauthz keyrings create image-signing --location=global
             binauthz keys create image-signer --keyring=image-signing --location=global \
               --purpose=asymmetric-signing --default-algorithm=ec-sign-p256-sha256
             binauthz notes create image-signing-note --human-readable-name='Image signing attestor'
             binauthz attestors create image-signing-attestor --attestation-authority-note=image-signing-note");
    desk.ok(&format!(
        "binauthz attestors public-keys add --attestor=image-signing-attestor {}
         binauthz policy import binauthz-policy.yaml",
        story::KEY_VERSION
    ));
}

#[test]
fn the_tutorial_without_gcloud() {
    let Some(mut desk) = Desk::with(&["openssl"]) else {
        return;
    };
    ready(&mut desk);
    let image = |digit: &str| format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64));
    let (signed, locally) = (image("a"), image("b"));
    desk.admit(&review::pod("p", &signed))
        .denied(&["No attestations found"]);
    desk.ok(&format!(
        "{SIGN} --artifact-url={signed} {} --validate",
        story::KEY_VERSION
    ));
    desk.admit(&review::pod("p", &signed)).admitted();
    desk.sh(&format!(
        "{SIGN} --artifact-url={IMAGES}/myservice:v1 {}",
        story::KEY_VERSION
    ))
    .refused(&["digest"]);

    // A key that never was on the server, and a digest as a build tool writes it down.
    desk.ok(
        "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out local.pem
             openssl pkey -in local.pem -pubout -out local-public.pem
             binauthz attestors public-keys add --attestor=image-signing-attestor \
               --pkix-public-key-file=local-public.pem --pkix-public-key-algorithm=ecdsa-p256-sha256",
    );
    desk.write(
        "build.json",
        &format!("{{\"containerimage.digest\": \"sha256:{}\"}}", "b".repeat(64)),
    );
    desk.ok(&format!(
        "{SIGN} --artifact-url={IMAGES}/myservice --digest-file=build.json --local-key=local.pem"
    ));
    desk.admit(&review::pod("p", &locally)).admitted();

    desk.ok("binauthz attestations list --attestor=image-signing-attestor --format='table(name, createTime, resourceUri)'")
        .says(&["RESOURCE_URI", &signed, &locally]);
    desk.ok("binauthz logs list")
        .says(&["NO_ATTESTATIONS", "ATTESTED"]);
    desk.ok("binauthz logs audit --format=json")
        .says(&["projects/demo/policy"]);
}

#[test]
fn a_verdict_without_a_server_is_the_servers_verdict() {
    let Some(mut desk) = Desk::with(&[]) else { return };
    ready(&mut desk);
    let image = format!("{IMAGES}/myservice@sha256:{}", "a".repeat(64));
    desk.ok(&format!("{SIGN} --artifact-url={image} {}", story::KEY_VERSION));
    desk.write("signed.json", &review::pod("p", &image).to_string());
    desk.write(
        "unsigned.json",
        &review::pod("p", &image.replace('a', "b")).to_string(),
    );
    desk.ok("binauthz decide signed.json");
    let online = desk.sh("binauthz decide unsigned.json").exits(1);
    desk.ok("binauthz snapshot export --output=snapshot.json");
    let data = desk.server.data.join("elsewhere").display().to_string();
    desk.shell.set("BINAUTHZ_DATA_DIR", data);
    desk.ok("binauthz decide signed.json --snapshot=snapshot.json --explain")
        .says(&["ATTESTED"]);
    let offline = desk
        .sh("binauthz decide unsigned.json --snapshot=snapshot.json")
        .exits(1);
    assert_eq!(online.stdout, offline.stdout);
    // No verdict at all is neither yes nor no.
    desk.sh("binauthz decide missing.json --snapshot=snapshot.json")
        .exits(2);
    desk.sh("binauthz decide signed.json --snapshot=missing.json")
        .exits(2);
}

#[test]
fn a_viewer_looks_and_a_revoked_token_does_not() {
    let Some(mut desk) = Desk::with(&[]) else { return };
    at_home(&mut desk);
    let token = desk
        .ok("binauthz tokens create reader --role=viewer")
        .text()
        .to_owned();
    let policy = "/v1/projects/demo/policy";
    let read = |desk: &Desk| desk.api_as(Some(&token), "GET", policy, None);
    let current = read(&desk).ok();
    desk.api_as(Some(&token), "PUT", policy, Some(&current))
        .refused(403, "PERMISSION_DENIED", &[]);
    desk.ok("binauthz tokens list")
        .says(&["reader", "viewer"])
        .never_says(&token);
    desk.ok("binauthz tokens revoke reader");
    read(&desk).refused(401, "UNAUTHENTICATED", &[]);
}

#[test]
fn a_policy_is_read_with_a_reviewers_eye() {
    let Some(mut desk) = Desk::with(&[]) else { return };
    at_home(&mut desk);
    desk.write(
        "good.yaml",
        &story::POLICY.replace("gcr.io/google_containers/*", "gcr.io/google-containers/*"),
    );
    desk.ok("binauthz policy lint good.yaml");
    // Exempts only the bare name, which nobody deploys.
    desk.write(
        "bad.yaml",
        &story::POLICY.replace("gke.gcr.io/*", "gcr.io/demo/app"),
    );
    desk.sh("binauthz policy lint bad.yaml")
        .exits(1)
        .says(&["gcr.io/demo/app"]);
    desk.write("none.yaml", "defaultAdmissionRul: x\n");
    desk.sh("binauthz policy lint none.yaml")
        .exits(2)
        .says(&["defaultAdmissionRul`", "did you mean"]);
}

#[test]
fn what_env_prints_is_enough_for_gcloud() {
    let Some(desk) = Desk::with(&["gcloud"]) else {
        return;
    };
    let line = "for name in $(compgen -e | grep -e ^CLOUDSDK_ -e ^GCE_); do unset $name; done
                eval \"$(binauthz env --data-dir \"$DATA\" --project demo)\"
                gcloud container binauthz policy export";
    desk.ok(line).says(&["ALWAYS_ALLOW"]);
}

#[test]
fn notification_channels() {
    let Some(mut desk) = Desk::with(&[]) else {
        return;
    };
    at_home(&mut desk);
    let create = "binauthz channels create --type=webhook_tokenauth";
    desk.ok(&format!(
        "{create} --label=url=http://127.0.0.1:1/hook --display-name=Hook"
    ))
    .says(&[
        "Created channel [projects/demo/notificationChannels/",
        "not shown again",
    ]);
    desk.write("secret.txt", "hush\n");
    desk.ok(&format!(
        "{create} --label=url=http://127.0.0.1:1/hook --label-file=secret=secret.txt"
    ))
    .never_says("shown again")
    .never_says("hush");
    let id = desk.ok("binauthz channels list --format='value(name.basename())' | head -1");
    desk.ok("binauthz channels list")
        .says(&["webhook_tokenauth", "Hook"]);
    // Nobody listens there.
    desk.sh(&format!("binauthz channels verify {}", id.text()))
        .refused(&["did not take the test notice", "cannot connect"]);
    desk.sh("binauthz channels verify 1").refused(&["was not found"]);
    desk.sh("binauthz channels verify projects/demo/attestors/a")
        .refused(&["names no channel"]);
    desk.sh(&format!("{create} --label=url")).refused(&["KEY=VALUE"]);
    desk.sh(create).refused(&["labels", "is required"]);
}

#[test]
fn verdicts_are_followed_in_a_terminal() {
    let Some(mut desk) = Desk::with(&[]) else {
        return;
    };
    ready(&mut desk);
    let image = format!("{IMAGES}/myservice:v1");
    desk.admit(&review::pod("before", &image)).denied(&[]);
    desk.ok("bash -c '
               binauthz logs tail --verdict=deny --since=1h > followed.txt 2> notes.txt & echo $! > tail.pid
               wait $!; echo $? > status.txt
             ' > /dev/null 2>&1 &
             until grep -q default/Pod/before followed.txt; do sleep 0.1; done");
    desk.admit(&review::pod("after\u{1b}[2J", &image));
    desk.admit(&review::pod("after", &image)).denied(&[]);
    desk.ok("until grep -q default/Pod/after followed.txt; do sleep 0.1; done
             kill -INT $(cat tail.pid)
             until grep -q . status.txt; do sleep 0.1; done
             cat status.txt followed.txt")
        .says(&[
            "0\n",
            "DENY         default/Pod/before  myservice:v1  NOT_PINNED: ",
        ])
        .never_says("\u{1b}");
    desk.ok("test $(grep -c default/Pod/before followed.txt) = 1");
    desk.sh("binauthz logs tail --filter='severity>=EROR'")
        .refused(&["column 11"]);
}

#[test]
fn who_broke_the_glass_is_reported() {
    let Some(mut desk) = Desk::with(&[]) else {
        return;
    };
    ready(&mut desk);
    let image = format!("{IMAGES}/hotfix:latest");
    let why = serde_json::json!({"alpha.image-policy.k8s.io/break-glass": "INC-1234 | now"});
    for _ in 0..2 {
        desk.admit(&review::deployment("emergency-fix", &image, &why))
            .admitted();
    }
    desk.ok("binauthz break-glass report").says(&[
        "LAST",
        "COUNT",
        "emergency-fix",
        "hotfix:latest",
        "INC-1234 | now",
        "NOT_PINNED",
        "unknown",
        "2 times since",
    ]);
    desk.ok("binauthz break-glass report --since=1h --format=markdown")
        .says(&["| LAST | COUNT |", "INC-1234 \\| now", "NOT\\_PINNED"]);
    let report = desk.ok("binauthz break-glass report --format=json").json();
    assert_eq!(report["uses"][0]["stillViolating"], "yes", "{report:#}");
}
