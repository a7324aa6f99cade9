//! What a server makes of API servers that must not judge by what was last known to be good: one of several without the
//! policies of Kubernetes, and one whose clock is not right.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Cluster, Desk, tools};

use crate::cluster_guard::entry;
use crate::cluster_install::{desk, install};
use crate::cluster_last_known_good::{Options, SYSTEM, TERMS, is_moved_on, texts};

/// A desk in a cluster of its own with a list, and the kubeconfig of its server. The server reads it for every look, so it
/// comes to another API server when the port in it is another.
fn desk_with_a_list(cluster: &Cluster) -> Option<(Desk, Options)> {
    let files = Options::new();
    std::fs::copy(cluster.kubeconfig(), files.kubeconfig()).expect("a file can be copied");
    let options = files.with(&files.kubeconfig());
    let desk = desk(cluster, &texts(&options))?;
    desk.ok(&format!("kubectl run system --image={SYSTEM}"));
    install(&desk, "--last-known-good=default").ok();
    // Nothing is left to the policy before it was seen often.
    let few =
        format!("{TERMS} | jq -e '.metadata.annotations[\"binauthz/in-force\"] // \"0\" | tonumber < 20'");
    desk.ok(&format!("{few} && {}", is_moved_on(false)));
    Cluster::eventually(&desk, &is_moved_on(true));
    Some((desk, files))
}

/// From its next look on the server asks at this port.
fn go_to(desk: &Desk, files: &Options, port: &str) {
    let file = files.kubeconfig();
    let file = file.display();
    desk.ok(&format!(
        "sed -E 's#(https://127.0.0.1:)[0-9]+#\\1{port}#' {file} >{file}.new && mv {file}.new {file}"
    ));
}

/// The port of the API server that all tests use.
fn port(desk: &Desk) -> String {
    let server = desk.ok("kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'");
    let port = server.text().rsplit(':').next().unwrap_or_default().to_owned();
    assert!(port.parse::<u16>().is_ok(), "{port}");
    port
}

#[test]
fn an_api_server_that_does_not_judge_is_not_hidden_by_others_that_do() {
    let Some(cluster) = Cluster::with_flags(&[]) else {
        return;
    };
    let Some((desk, files)) = desk_with_a_list(&cluster) else {
        return;
    };
    let first = port(&desk);
    let Some(other) = cluster.another_api_server("--disable-admission-plugins=ValidatingAdmissionPolicy")
    else {
        return;
    };
    go_to(&desk, &files, &other.to_string());
    let told = entry(&desk, "LAST_KNOWN_GOOD_NOT_KEPT", "FOUND");
    assert!(
        told.to_string().contains("does not judge by the policy"),
        "{told}"
    );
    Cluster::eventually(&desk, &is_moved_on(false));

    // Looks that reach the first one find nothing wrong, and change nothing for a while.
    go_to(&desk, &files, &first);
    let count = format!("{TERMS} | jq -e '.metadata.annotations[\"binauthz/in-force\"] | tonumber");
    Cluster::eventually(
        &desk,
        &format!("{count} | . >= 3 and . < 20' && {}", is_moved_on(false)),
    );
    desk.ok(&format!(
        "{TERMS} | jq -e '.metadata.annotations[\"binauthz/not-in-force-at\"]' && {}",
        is_moved_on(false)
    ));
    // One look more of the other kind, and all of it begins again.
    go_to(&desk, &files, &other.to_string());
    Cluster::eventually(&desk, &format!("{count} == 0'"));
    go_to(&desk, &files, &first);
    // Twenty looks may take a busy machine longer than is waited for at once.
    Cluster::eventually(&desk, &format!("{count} >= 10'"));
    Cluster::eventually(&desk, &format!("{} && {count} == 20'", is_moved_on(true)));
    entry(&desk, "LAST_KNOWN_GOOD_NOT_KEPT", "OVER");
    desk.sh(&format!(
        "{TERMS} | jq -e '.metadata.annotations[\"binauthz/not-in-force-at\"]'"
    ))
    .exits(1);
}

/// The real API server at another port, whose clock is as wrong as a file says.
struct OtherClock {
    port: String,
    program: Child,
}

impl OtherClock {
    fn start(cluster: &Cluster, desk: &Desk) -> Option<Self> {
        let python = tools::python()?;
        desk.write("moved-by", "0");
        let mut program = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/other_clock.py"))
            .arg(cluster.kubeconfig().parent()?)
            .arg(port(desk))
            .arg(desk.folder().join("moved-by"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        let output = program.stdout.take().expect("it was piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("it says its port");
        let port = line.trim().to_owned();
        Some(Self { port, program })
    }
}

impl Drop for OtherClock {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn an_api_server_whose_clock_is_wrong_is_asked_to_leave_all_to_the_webhook() {
    if !tools::needs(&["python-clients"]) {
        return;
    }
    let Some(cluster) = Cluster::with_flags(&[]) else {
        return;
    };
    let Some((desk, files)) = desk_with_a_list(&cluster) else {
        return;
    };
    let Some(other) = OtherClock::start(&cluster, &desk) else {
        return;
    };
    // Half a minute is nothing, in both directions.
    go_to(&desk, &files, &other.port);
    for seconds in ["30", "-30"] {
        desk.write("moved-by", seconds);
        desk.ok(&format!("sleep 3 && {}", is_moved_on(true)));
    }
    for (seconds, words) in [
        ("90", " s ahead of this server's"),
        ("-90", " s behind this server's"),
    ] {
        desk.write("moved-by", seconds);
        Cluster::eventually(&desk, &is_moved_on(false));
        let told = || entry(&desk, "LAST_KNOWN_GOOD_NOT_KEPT", "FOUND").to_string();
        let is_told = poll_until(Duration::from_secs(20), || told().contains(words).then_some(()));
        assert!(is_told.is_some(), "{words}: {}", told());
        desk.write("moved-by", "0");
        Cluster::eventually(&desk, &is_moved_on(true));
        entry(&desk, "LAST_KNOWN_GOOD_NOT_KEPT", "OVER");
    }
}
