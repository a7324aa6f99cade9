//! What is weak is said with its fix, and is not said any more when it was followed.

use crate::commands::prepared;
use crate::common::Server;

fn codes(server: &Server) -> Vec<String> {
    let run = server.run("doctor --format=value(code)");
    assert_eq!(run.code, 1, "{}{}", run.out, run.error);
    run.out.lines().map(str::to_owned).collect()
}

#[test]
fn doctor_finds_what_is_weak_until_it_is_mended() {
    let server = Server::start();
    // Nobody has set a policy.
    assert_eq!(codes(&server), ["PLAIN_HTTP", "NOTHING_ENFORCED"]);
    drop(server);
    let server = prepared();
    assert_eq!(codes(&server), ["PLAIN_HTTP"]);
    // A second attestor of the same key, and a pattern that exempts a registry.
    server.done("attestors create b --attestation-authority-note=n");
    let key = crate::commands::KEY;
    server.done(&format!("attestors public-keys add --attestor=b {key}"));
    let wide = server
        .read("policy.yaml")
        .replace("gke.gcr.io/*", "gke.gcr.io/**");
    server.write("wide.yaml", &wide);
    server.done("policy import wide.yaml");
    assert_eq!(codes(&server), ["PLAIN_HTTP", "WIDE_PATTERN", "SHARED_KEY"]);
    let said = server.run("doctor").out;
    assert!(
        said.contains("projects/demo/attestors/a, projects/demo/attestors/b")
            && said.contains("  fix: give each attestor"),
        "{said}"
    );
    server.done("attestors delete b");
    server.done("policy import policy.yaml");
    assert_eq!(codes(&server), ["PLAIN_HTTP"]);
}
