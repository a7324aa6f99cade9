//! The scripts of a release, with a program that is built already: what was signed verifies, and nothing else does.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::Server;

const KEY: &str = "projects/demo/locations/global/keyRings/r/cryptoKeys/release/cryptoKeyVersions/1";

fn script(name: &str) -> String {
    format!("{}/../../deploy/release/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn verify(folder: &Path, key: &Path) -> Output {
    let mut command = Command::new(script("verify"));
    command.arg(folder).arg(key).output().expect("the script starts")
}

fn sign(server: &Server, folder: &Path, key: &str) -> Output {
    let mut command = Command::new(script("sign"));
    command
        .arg(folder)
        .env("BINAUTHZ", env!("CARGO_BIN_EXE_binauthz"))
        .env("BINAUTHZ_RELEASE_KEY", key)
        .env("BINAUTHZ_DATA_DIR", server.path().join("data"))
        .env("BINAUTHZ_PROJECT", "demo");
    command.output().expect("the script starts")
}

#[test]
fn a_release_is_what_was_signed_and_nothing_else() {
    let server = Server::start();
    server.done("keyrings create r --location=global");
    for key in ["release", "other"] {
        server.done(&format!(
            "keys create {key} --keyring=r --location=global --default-algorithm=ec-sign-p256-sha256"
        ));
    }
    let folder = server.path().join("release");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(env!("CARGO_BIN_EXE_binauthz"), folder.join("binauthz")).expect("the program");
    std::fs::write(folder.join("binauthz.cdx.json"), "{}\n").expect("a file");
    let signed = sign(&server, &folder, KEY);
    assert!(
        signed.status.success(),
        "{}",
        String::from_utf8_lossy(&signed.stderr)
    );
    // The key is kept elsewhere by whoever verifies.
    let key = server.path().join("release.pem");
    std::fs::copy(folder.join("release.pem"), &key).expect("the key");
    let verified = verify(&folder, &key);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        verified.status.success() && said.contains("verified: 2 artefacts"),
        "{said}"
    );

    let is_refused = |what: &str| {
        let verified = verify(&folder, &key);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(
            !verified.status.success() && !said.contains("verified"),
            "{what}: {said}"
        );
    };
    // One more file, one less, another byte, another list, another key.
    std::fs::write(folder.join("more"), "").expect("a file");
    is_refused("one more");
    std::fs::remove_file(folder.join("more")).expect("a file");
    std::fs::write(folder.join("binauthz.cdx.json"), "{} \n").expect("a file");
    is_refused("another byte");
    std::fs::remove_file(folder.join("binauthz.cdx.json")).expect("a file");
    is_refused("one less");
    std::fs::write(folder.join("binauthz.cdx.json"), "{}\n").expect("a file");
    assert!(verify(&folder, &key).status.success(), "as it was");
    let list = std::fs::read_to_string(folder.join("SHA256SUMS")).expect("the list");
    std::fs::write(folder.join("SHA256SUMS"), format!("{list}\n")).expect("a file");
    is_refused("another list");
    assert!(
        sign(&server, &folder, &KEY.replace("release", "other"))
            .status
            .success()
    );
    is_refused("another key");
    assert!(
        verify(&folder, &folder.join("release.pem")).status.success(),
        "by its own key"
    );
    // Without a key there is no release.
    assert!(
        !sign(&server, &folder, &KEY.replace("release", "none"))
            .status
            .success()
    );
}
