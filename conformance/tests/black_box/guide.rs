//! The guide does what it says: every chapter is followed, in order, at one desk.

use std::path::Path;

use binauthz_conformance::{Cluster, Desk, Node, guide, tools};

use crate::cluster_inside;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide");

/// Chapters whose cluster is another one: tests of their own follow them.
const APART: [&str; 5] = [
    "10-install.md",
    "11-upgrade.md",
    "12-recovery.md",
    "13-image-policy-webhook.md",
    "14-last-known-good.md",
];

#[test]
fn every_chapter_can_be_followed() {
    let programs = ["gcloud", "docker-registry", "skopeo", "openssl", "jq"];
    let options = ["--googleapis", "--googleapis-listen", "127.0.0.1:0"];
    let Some(mut desk) = Desk::with_options(&programs, &options) else {
        return;
    };
    desk.push("myservice", "v1", "my service");
    desk.push("unattested-image", "latest", "somebody's service");
    let mut chapters: Vec<_> = std::fs::read_dir(FOLDER)
        .expect("the guide is there")
        .map(|entry| entry.expect("the guide can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !APART.iter().any(|name| path.ends_with(name)))
        .collect();
    chapters.sort();
    assert!(chapters.len() > 5, "{chapters:?}");
    for chapter in chapters {
        let markdown = std::fs::read_to_string(&chapter).expect("a chapter can be read");
        let steps = guide::steps(&markdown);
        let cluster = guide::needs_cluster(&steps).then(Cluster::take).flatten();
        if let Some(cluster) = &cluster {
            cluster.attach(&mut desk);
        }
        guide::follow(&desk, &chapter.display().to_string(), steps, cluster.is_some());
    }
}

/// The chapters about a server in the cluster, one after the other. The test plays the node, and the port that is forwarded.
#[test]
fn a_server_in_the_cluster_can_be_installed_upgraded_and_recovered() {
    if !tools::needs(&["helm"]) {
        return;
    }
    let Some(cluster) = Cluster::take() else { return };
    let Some(mut desk) = cluster_inside::desk(&cluster) else {
        return;
    };
    desk.ok(&format!("ln -s {FOLDER}/../../deploy deploy"));
    let node = Node::start(&desk, "binauthz");
    desk.shell.set("BINAUTHZ_SERVER", node.api.as_str());
    for chapter in ["10-install.md", "11-upgrade.md", "12-recovery.md"] {
        let markdown =
            std::fs::read_to_string(Path::new(FOLDER).join(chapter)).expect("a chapter can be read");
        let steps = guide::steps(&markdown);
        assert!(guide::needs_cluster(&steps), "{chapter}");
        guide::follow(&desk, chapter, steps, true);
    }
    desk.ok(
        "binauthz cluster uninstall my-cluster --location=us-central1-a --context=my-cluster
             kubectl --namespace=default delete pod anything",
    );
}

/// An API server of its own: one from which the policy was removed is of no use to another test.
#[test]
fn what_runs_may_start_again() {
    let Some(cluster) = Cluster::with_flags(&[]) else {
        return;
    };
    let Some(mut desk) = Desk::with(&["jq"]) else {
        return;
    };
    cluster.attach(&mut desk);
    let chapter = "14-last-known-good.md";
    let markdown = std::fs::read_to_string(Path::new(FOLDER).join(chapter)).expect("a chapter can be read");
    let steps = guide::steps(&markdown);
    assert!(guide::needs_cluster(&steps), "{chapter}");
    guide::follow(&desk, chapter, steps, true);
}
