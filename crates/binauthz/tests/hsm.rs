//! Private keys in a token of SoftHSM, from the configuration file to a signature that OpenSSL takes.

mod serving;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use serving::{Server, serve, start_by};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// In no other text by chance.
const PIN: &str = "pin-7f3a90c1";
const KEYS: &str = "/v1/projects/demo/locations/global/keyRings/r/cryptoKeys";

/// The module, unless it is not on this machine.
fn module() -> Option<PathBuf> {
    let found = MODULES.iter().map(PathBuf::from).find(|path| path.is_file());
    let required = std::env::var("BINAUTHZ_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(
        found.is_some() || !required,
        "this test needs SoftHSM and BINAUTHZ_REQUIRE_ALL=1 is set"
    );
    if found.is_none() {
        let _ = writeln!(std::io::stdout(), "SKIPPED (needs softhsm2)");
    }
    found
}

/// Runs SoftHSM's own program on the token of the folder.
fn softhsm(folder: &Path, arguments: &[&str]) {
    let config = folder.join("softhsm2.conf");
    let tokens = folder.join("tokens");
    std::fs::create_dir_all(&tokens).expect("a folder");
    std::fs::write(&config, format!("directories.tokendir = {}\n", tokens.display())).expect("a file");
    let output = Command::new("softhsm2-util")
        .args(arguments)
        .env("SOFTHSM2_CONF", &config)
        .output();
    let output = output.expect("softhsm2-util");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes the token.
fn new_token(folder: &Path) {
    let pins = ["--pin", PIN, "--so-pin", "5678"];
    let arguments = [&["--init-token", "--free", "--label", "keys"], pins.as_slice()].concat();
    softhsm(folder, &arguments);
}

/// A server with the token.
fn command(folder: &Path, module: &Path, pin: &str) -> Command {
    std::fs::write(folder.join("pin"), format!("{pin}\n")).expect("a file");
    with_settings(
        folder,
        &json!({ "module": module, "tokenLabel": "keys", "pinFile": folder.join("pin") }),
    )
}

/// A server with this block `pkcs11`.
fn with_settings(folder: &Path, pkcs11: &Value) -> Command {
    let settings = json!({ "pkcs11": pkcs11 });
    let config = folder.join("binauthz.yaml");
    std::fs::write(&config, settings.to_string()).expect("a file");
    let mut command = serve(&folder.join("data"));
    command
        .arg("--config")
        .arg(&config)
        .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"));
    command
}

fn served(folder: &Path, module: &Path) -> Server {
    start_by(&folder.join("data"), &mut command(folder, module, PIN)).0
}

/// The status and the JSON of an answer.
fn call(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = server.call(method, path, &body.to_string());
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).expect("JSON"))
}

fn ok(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = call(server, method, path, body);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The status of a signature, and what the answer says.
fn sign(server: &Server, version: &str) -> (u16, Value) {
    let body = json!({ "data": "aGVsbG8=" });
    call(server, "POST", &format!("{version}:asymmetricSign"), &body)
}

fn key(algorithm: &str, level: &str) -> Value {
    json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": algorithm, "protectionLevel": level } })
}

/// Whether OpenSSL takes the signature of the message under the public key that is shown.
fn openssl_takes(server: &Server, folder: &Path, version: &str, message: &[u8]) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let signed = ok(
        server,
        "POST",
        &format!("{version}:asymmetricSign"),
        &json!({ "data": STANDARD.encode(message) }),
    );
    assert_eq!(signed["protectionLevel"], "HSM");
    let public = ok(server, "GET", &format!("{version}/publicKey"), &json!({}));
    assert_eq!(public["protectionLevel"], "HSM");
    let signature = STANDARD
        .decode(signed["signature"].as_str().expect("a signature"))
        .expect("base64");
    for (name, bytes) in [
        ("public", public["pem"].as_str().expect("PEM").as_bytes()),
        ("signature", &signature),
        ("message", b"hello"),
    ] {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
    let output = Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-verify",
            "public",
            "-signature",
            "signature",
            "message",
        ])
        .current_dir(folder)
        .output()
        .expect("openssl");
    output.status.success()
}

#[test]
fn keys_live_in_a_token_from_their_making_to_their_end() {
    let Some(module) = module() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    new_token(folder);
    let server = served(folder, &module);
    ok(
        &server,
        "POST",
        "/v1/projects/demo/locations/global/keyRings?keyRingId=r",
        &json!({}),
    );
    for (name, algorithm) in [
        ("ec", "EC_SIGN_P256_SHA256"),
        ("rsa", "RSA_SIGN_PKCS1_2048_SHA256"),
    ] {
        let made = ok(
            &server,
            "POST",
            &format!("{KEYS}?cryptoKeyId={name}"),
            &key(algorithm, "HSM"),
        );
        assert_eq!(made["versionTemplate"]["protectionLevel"], "HSM");
        let version = format!("{KEYS}/{name}/cryptoKeyVersions/1");
        assert_eq!(ok(&server, "GET", &version, &json!({}))["protectionLevel"], "HSM");
        assert!(openssl_takes(&server, folder, &version, b"hello"));
        assert!(!openssl_takes(&server, folder, &version, b"other"));
    }
    what_a_token_cannot_do_is_refused(&server);
    // Keys in memory are there beside them, and the master key's change leaves the token alone.
    ok(
        &server,
        "POST",
        &format!("{KEYS}?cryptoKeyId=soft"),
        &key("EC_SIGN_P256_SHA256", "SOFTWARE"),
    );
    assert_eq!(
        ok(&server, "POST", "/binauthz/v1/masterKey:rewrap", &json!({}))["finished"],
        true
    );
    let version = format!("{KEYS}/ec/cryptoKeyVersions/1");
    a_disabled_version_signs_nothing(&server, &version);
    server.signal("-TERM");
    server.wait();

    let server = served(folder, &module);
    assert!(openssl_takes(&server, folder, &version, b"hello"));
    server.signal("-TERM");
    server.wait();
    the_token_goes(folder, &module, &version);
}

fn what_a_token_cannot_do_is_refused(server: &Server) {
    // Not what tokens keep here, and nothing of it stays.
    let (status, answer) = call(
        server,
        "POST",
        &format!("{KEYS}?cryptoKeyId=ed"),
        &key("EC_SIGN_ED25519", "HSM"),
    );
    assert_eq!(status, 400, "{answer}");
    assert_eq!(call(server, "GET", &format!("{KEYS}/ed"), &json!({})).0, 404);
    let (status, answer) = call(
        server,
        "PATCH",
        &format!("{KEYS}/ec?updateMask=labels"),
        &json!({ "versionTemplate": { "protectionLevel": "SOFTWARE" } }),
    );
    assert_eq!(status, 400, "{answer}");
    let import = format!("/binauthz{KEYS}/ec/cryptoKeyVersions:importPem");
    assert_eq!(call(server, "POST", &import, &json!({ "pem": "x" })).0, 400);
}

fn a_disabled_version_signs_nothing(server: &Server, version: &str) {
    ok(
        server,
        "PATCH",
        &format!("{version}?updateMask=state"),
        &json!({ "state": "DISABLED" }),
    );
    assert_eq!(sign(server, version).0, 400);
    ok(
        server,
        "PATCH",
        &format!("{version}?updateMask=state"),
        &json!({ "state": "ENABLED" }),
    );
}

/// KM-06: a token without the key, one that takes another PIN, and none at all.
fn the_token_goes(folder: &Path, module: &Path, version: &str) {
    softhsm(folder, &["--delete-token", "--token", "keys"]);
    new_token(folder);
    let server = served(folder, module);
    let (status, answer) = sign(&server, version);
    assert_eq!(
        (status, answer["error"]["status"].as_str()),
        (503, Some("UNAVAILABLE")),
        "{answer}"
    );
    // What is not in the token is served as ever.
    let (status, answer) = sign(&server, &format!("{KEYS}/soft/cryptoKeyVersions/1"));
    assert_eq!(status, 200, "{answer}");
    server.signal("-TERM");
    server.wait();

    let output = command(folder, module, "hushhush")
        .output()
        .expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the token `keys` does not let us in") && !said.contains("hushhush"),
        "{said}"
    );

    let (server, _) = start_by(&folder.join("data"), &mut serve(&folder.join("data")));
    let (status, answer) = sign(&server, version);
    assert_eq!(
        (status, answer["error"]["status"].as_str()),
        (400, Some("FAILED_PRECONDITION")),
        "{answer}"
    );
    server.signal("-TERM");
    server.wait();
}

/// A server whose master key is encrypted by the key of this label, and what it says.
fn wrapped(folder: &Path, module: &Path, label: &str) -> Command {
    std::fs::write(folder.join("pin"), format!("{PIN}\n")).expect("a file");
    let block = json!({
        "module": module, "tokenLabel": "keys", "pinFile": folder.join("pin"), "masterKeyLabel": label,
    });
    let mut command = with_settings(folder, &block);
    command.env("BINAUTHZ_LOG", "trace");
    command
}

fn serving(folder: &Path, command: &mut Command) -> Server {
    start_by(&folder.join("data"), command).0
}

fn stop(server: Server) {
    server.signal("-TERM");
    server.wait();
}

/// What a server says that does not start.
fn refused(command: &mut Command) -> String {
    let output = command.output().expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!said.contains(PIN), "{said}");
    said
}

fn master_key(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("data/master.key")).expect("a master key")
}

const REWRAP: &str = "/binauthz/v1/masterKey:rewrap";
const SOFT: &str = "/v1/projects/demo/locations/global/keyRings/r/cryptoKeys/soft/cryptoKeyVersions/1";

/// Signs all the while, and every time it is a signature.
fn rewrapped_under_load(server: &Server, level: &str) -> Value {
    std::thread::scope(|scope| {
        let signing = scope.spawn(|| {
            for _ in 0..40 {
                let (status, answer) = sign(server, SOFT);
                assert_eq!(status, 200, "{answer}");
            }
        });
        let answer = ok(server, "POST", REWRAP, &json!({ "protectionLevel": level }));
        signing.join().expect("no signature failed");
        answer
    })
}

#[test]
fn the_master_key_goes_into_a_token_and_back_while_keys_are_used() {
    let Some(module) = module() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    new_token(folder);
    let server = served(folder, &module);
    let rings = "/v1/projects/demo/locations/global/keyRings?keyRingId=r";
    ok(&server, "POST", rings, &json!({}));
    let body = key("EC_SIGN_P256_SHA256", "SOFTWARE");
    ok(&server, "POST", &format!("{KEYS}?cryptoKeyId=soft"), &body);
    // Nobody said under which key.
    let (status, answer) = call(&server, "POST", REWRAP, &json!({ "protectionLevel": "HSM" }));
    assert_eq!(
        (status, answer["error"]["status"].as_str()),
        (400, Some("FAILED_PRECONDITION"))
    );
    stop(server);

    let server = serving(folder, &mut wrapped(folder, &module, "wrapping"));
    assert_eq!(master_key(folder).len(), 32, "a start changes no key");
    assert_eq!(rewrapped_under_load(&server, "HSM")["protectionLevel"], "HSM");
    let file = String::from_utf8(master_key(folder)).expect("JSON");
    assert!(
        file.contains(r#""tokenLabel":"keys","keyLabel":"wrapping""#) && !file.contains(PIN),
        "{file}"
    );
    assert!(!folder.join("data/master.previous").exists());
    // And once more, without saying so: as the settings have it.
    let answer = ok(&server, "POST", REWRAP, &json!({}));
    assert_eq!(
        (&answer["protectionLevel"], &answer["finished"]),
        (&json!("HSM"), &json!(true))
    );
    stop(server);

    let server = serving(folder, &mut wrapped(folder, &module, "wrapping"));
    assert_eq!(sign(&server, SOFT).0, 200);
    stop(server);
    what_a_start_without_it_says(folder, &module);

    // Without the label in the settings the file still says what opens it, and the next key is one by itself.
    let server = served(folder, &module);
    assert_eq!(
        rewrapped_under_load(&server, "SOFTWARE")["protectionLevel"],
        "SOFTWARE"
    );
    assert_eq!(master_key(folder).len(), 32);
    stop(server);
    let server = serving(folder, &mut serve(&folder.join("data")));
    assert_eq!(sign(&server, SOFT).0, 200);
    stop(server);
}

/// The token, the key, or the settings are not there.
fn what_a_start_without_it_says(folder: &Path, module: &Path) {
    let said = refused(&mut serve(&folder.join("data")));
    let expected = "the key `wrapping` of the PKCS #11 token `keys` opens it: `pkcs11` is missing";
    assert!(said.contains(expected) && said.contains("master.key"), "{said}");

    let tokens = folder.join("tokens");
    let kept = folder.join("tokens-kept");
    std::fs::rename(&tokens, &kept).expect("the tokens go");
    std::fs::create_dir(&tokens).expect("a folder");
    let said = refused(&mut wrapped(folder, module, "wrapping"));
    assert!(said.contains("there is no token with the label `keys`"), "{said}");
    new_token(folder);
    let said = refused(&mut wrapped(folder, module, "wrapping"));
    assert!(
        said.contains("the token `keys` has 0 keys with the label `wrapping`, expected one"),
        "{said}"
    );
    // A key of the same label that another token made.
    let other = tempfile::tempdir().expect("a folder");
    let mut command = serve(other.path());
    command.arg("--config").arg(folder.join("binauthz.yaml"));
    command.env("SOFTHSM2_CONF", folder.join("softhsm2.conf"));
    stop(start_by(other.path(), &mut command).0);
    let said = refused(&mut wrapped(folder, module, "wrapping"));
    assert!(
        said.contains("the key `wrapping` of the token `keys` does not open it"),
        "{said}"
    );
    std::fs::remove_dir_all(&tokens).expect("the other token goes");
    std::fs::rename(&kept, &tokens).expect("the tokens come back");
}
