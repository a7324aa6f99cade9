//! An API server with the shipped files of `ImagePolicyWebhook`, and the chapter of the guide about them.

use std::path::Path;

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::shell::Shell;
use binauthz_conformance::{Cluster, Desk, guide, tools};

use crate::own_commands::{self, SIGN};
use crate::story;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CHAPTER: &str = "docs/guide/13-image-policy-webhook.md";

/// As the reference has it.
const CERTIFICATES: &str = "
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=webhook callers' \
    -keyout authority.key -out authority.pem
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=my-cluster -keyout client.key -out client.csr
printf 'subjectAltName=URI:urn:binauthz:cluster:%s\nextendedKeyUsage=clientAuth\n' \
    projects/demo/locations/us-central1-a/clusters/my-cluster >client.ext
openssl x509 -req -in client.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 30 \
    -extfile client.ext -out client.pem";

/// A desk whose server asks for certificates, with a signed image `$REPOSITORY/myservice@$SIGNED`.
fn desk() -> Option<Desk> {
    if !tools::needs(&["openssl", "jq"]) {
        return None;
    }
    let keys = tempfile::tempdir().expect("a temporary folder can be made");
    Shell::new(keys.path()).run(CERTIFICATES).ok();
    let configuration = format!(
        "webhookClientAuthorities: {}/authority.pem\n",
        keys.path().display()
    );
    let mut desk = Desk::with_configuration(&["jq"], &configuration)?;
    own_commands::ready(&mut desk);
    desk.ok(&format!(
        "cp {}/client.* . && mkdir deploy",
        keys.path().display()
    ));
    desk.ok(&format!("cp -r {ROOT}/deploy/imagepolicywebhook deploy/"));
    let digest = format!("sha256:{}", "a".repeat(64));
    desk.ok(&format!(
        "{SIGN} --artifact-url={IMAGES}/myservice@{digest} {}",
        story::KEY_VERSION
    ));
    desk.shell.set("REPOSITORY", IMAGES);
    desk.shell.set("SIGNED", digest);
    Some(desk)
}

fn flags(desk: &Desk) -> Vec<String> {
    // The control plane of the test has its files there.
    desk.ok("sed -i \"s|/etc/kubernetes/binauthz|$PWD/control-plane|\" control-plane/admission-configuration.yaml");
    let file = desk.folder().join("control-plane/admission-configuration.yaml");
    vec![
        "--enable-admission-plugins=ImagePolicyWebhook".to_owned(),
        format!("--admission-control-config-file={}", file.display()),
    ]
}

#[test]
fn the_chapter_can_be_followed_and_an_outage_refuses() {
    let Some(mut desk) = desk() else { return };
    let chapter = std::fs::read_to_string(Path::new(ROOT).join(CHAPTER)).expect("the chapter can be read");
    let (before, with_cluster) = guide::split_where_the_cluster_begins(guide::steps(&chapter));
    guide::follow(&desk, CHAPTER, before, false);
    let Some(cluster) = Cluster::with_flags(&flags(&desk)) else {
        return;
    };
    cluster.attach(&mut desk);
    guide::follow(&desk, CHAPTER, with_cluster, true);

    // A Deployment is not asked about; what its controller makes is.
    desk.ok(&format!(
        "kubectl create deployment d --image={IMAGES}/hotfix:latest"
    ));
    Cluster::eventually(
        &desk,
        "kubectl get events --field-selector=reason=FailedCreate -o jsonpath='{.items[*].message}' | \
         grep 'image policy webhook backend denied one or more images'",
    );
    // Nothing is kept: what is withdrawn counts at once, for the very same Pod.
    let same =
        format!("kubectl delete pod test-signed; kubectl run test-signed --image={IMAGES}/myservice@$SIGNED");
    desk.ok(&same);
    desk.ok("for name in $(binauthz attestations list --attestor=image-signing-attestor --format='value(name)'); do
                 binauthz attestations delete \"$name\"
             done");
    desk.sh(&same)
        .refused(&["denied one or more images", "No attestations found"]);

    desk.server.end();
    desk.sh("kubectl run while-away --image=registry.k8s.io/pause:3.9")
        .refused(&["Forbidden", "while-away"]);
}

#[test]
fn a_cluster_that_shows_another_certificate_is_refused() {
    let Some(mut desk) = desk() else { return };
    desk.ok("binauthz clusters create other --location=us-central1-a \
             --binauthz-evaluation-mode=project-singleton-policy-enforce
             cp -r deploy/imagepolicywebhook control-plane
             cp data/webhook-ca.pem client.pem client.key control-plane/
             WEBHOOK=$(jq -r .webhook data/addresses.json)
             sed -i -e \"s|https://BINAUTHZ:8443|$WEBHOOK|\" \
                 -e 's|projects/PROJECT/.*|projects/demo/locations/us-central1-a/clusters/other|' \
                 control-plane/imagepolicywebhook.kubeconfig");
    let Some(cluster) = Cluster::with_flags(&flags(&desk)) else {
        return;
    };
    cluster.attach(&mut desk);
    // Allowed by the policy, and still refused.
    desk.sh("kubectl run p --image=registry.k8s.io/pause:3.9")
        .refused(&["Forbidden"]);
}
