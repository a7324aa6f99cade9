//! The server under Google's names: the tutorial's own words, with nothing told to any tool but what `binauthz env
//! --googleapis` prints.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Desk, review, tools};
use serde_json::json;

use crate::signatures::prepare;
use crate::story;

const TUTORIAL: &str = include_str!("../../fixtures/tutorial.md");
const HELPERS: &str = include_str!("../../python/monitor_helpers.py");
const OPTIONS: &[&str] = &["--googleapis", "--googleapis-listen", "127.0.0.1:0"];

/// What the tutorial prints in its block of this language, for the project of these tests.
fn printed(language: &str) -> String {
    let (_, rest) = TUTORIAL
        .split_once(&format!("```{language}\n"))
        .expect("the tutorial has a block of this language");
    let (block, _) = rest.split_once("```").expect("and it ends");
    block.replace("YOUR_PROJECT", "demo")
}

/// A desk whose shell has been pointed at the server as a user would do it, with a credential of this role.
fn desk(programs: &[&str], role: &str) -> Option<Desk> {
    let mut desk = Desk::with_options(programs, OPTIONS)?;
    desk.ok(&format!(
        "binauthz --data-dir \"$DATA\" --project demo credentials create ci --role={role} --output=ci.json"
    ))
    .says(&["Created credential [ci]"]);
    desk.shell.enter(
        "eval \"$(binauthz env --data-dir \"$DATA\" --project demo --googleapis --credentials=ci.json)\"",
    );
    assert_eq!(
        desk.shell.variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"),
        None
    );
    assert_eq!(desk.shell.variable("CLOUDSDK_AUTH_ACCESS_TOKEN"), None);
    Some(desk)
}

#[test]
fn the_tutorial_needs_no_change() {
    let Some(desk) = desk(&["gcloud", "openssl"], "admin") else {
        return;
    };
    desk.ok("gcloud services enable binaryauthorization.googleapis.com");
    story::cluster(&desk);
    story::key(&desk, "ec-sign-p256-sha256");
    let note = desk.ok(&printed("bash"));
    assert_eq!(
        note.json()["name"],
        "projects/demo/notes/image-signing-note",
        "{note}"
    );
    story::attestor(&desk);
    story::attestor_key(&desk);
    let attestor = desk
        .ok("gcloud container binauthz attestors describe image-signing-attestor --format=json")
        .json();
    assert_eq!(
        attestor["userOwnedGrafeasNote"]["publicKeys"][0]["id"],
        "//cloudkms.googleapis.com/v1/projects/demo/locations/global/keyRings/image-signing/cryptoKeys/image-signer/\
         cryptoKeyVersions/1",
        "{attestor:#}"
    );
    story::policy(&desk);
    let image = format!("{IMAGES}/myservice@sha256:{}", "b".repeat(64));
    desk.admit(&review::pod("p", &image))
        .denied(&["No attestations found"]);
    story::sign(&desk, &image);
    desk.admit(&review::pod("p", &image)).admitted();
    // Who did it is the credential, not the administrator.
    let log = desk.api("GET", "/binauthz/v1/audit?pageSize=1", None).ok();
    assert_eq!(log["entries"][0]["principal"], "credential:ci", "{log:#}");
    desk.sh("curl -sS https://example.com/").refused(&["403"]);
}

/// Those that sign for each call themselves, over gRPC and REST.
#[test]
fn googles_clients_need_no_option() {
    let Some(desk) = desk(&["python-clients"], "viewer") else {
        return;
    };
    prepare(&desk);
    let python = tools::python().map_or_else(String::new, |path| path.display().to_string());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/unchanged.py");
    desk.ok(&format!("'{python}' '{script}'"))
        .says(&["['projects/demo/notes/image-signing-note']"]);
}

#[test]
fn a_viewers_credential_changes_nothing() {
    let Some(desk) = desk(&["gcloud"], "viewer") else {
        return;
    };
    desk.ok("gcloud container binauthz policy export")
        .says(&["projects/demo/policy"]);
    desk.sh("gcloud kms keyrings create image-signing --location=global")
        .refused(&["cloudkms.keyRings.create"]);
    // The administrator deletes it, and that is the end of it.
    desk.api("DELETE", "/binauthz/v1/credentials/ci", None).ok();
    desk.sh("gcloud container binauthz policy export").refused(&[]);
}

/// Over gRPC, as the client does it by itself, and over HTTP.
#[test]
fn the_tutorials_program_finds_the_emergency() {
    let Some(desk) = desk(&["python-clients"], "viewer") else {
        return;
    };
    emergency(&desk);
    desk.write("monitor.py", &format!("{}\n{HELPERS}", printed("python")));
    let python = tools::python().map_or_else(String::new, |path| path.display().to_string());
    let expected = format!("jane@example.com {IMAGES}/hotfix:latest Emergency fix for incident INC-1234");
    let tokens = |desk: &Desk| {
        let log = desk.api("GET", "/binauthz/v1/audit?pageSize=100", None).text;
        log.matches("GenerateAccessToken").count()
    };
    let ran = desk.ok(&format!("'{python}' monitor.py"));
    assert_eq!(ran.text(), expected);
    assert_eq!(
        tokens(&desk),
        0,
        "over gRPC the library signs for the call itself"
    );
    let ran = desk.ok(&format!("GOOGLE_CLOUD_DISABLE_GRPC=true '{python}' monitor.py"));
    assert_eq!(ran.text(), expected);
    assert_eq!(tokens(&desk), 1);
    desk.api("DELETE", "/binauthz/v1/credentials/ci", None).ok();
    for disable in ["", "GOOGLE_CLOUD_DISABLE_GRPC=true"] {
        desk.sh(&format!("{disable} '{python}' monitor.py")).refused(&[]);
    }
}

fn emergency(desk: &Desk) {
    prepare(desk);
    let image = format!("{IMAGES}/hotfix:latest");
    let why = json!({"alpha.image-policy.k8s.io/break-glass": "Emergency fix for incident INC-1234"});
    desk.admit(&review::deployment("emergency-fix", &image, &why))
        .admitted();
    desk.admit(&review::pod("p", &image)).denied(&[]);
}
