//! The guide does what it says: every chapter is followed, in order, at one desk.

use std::path::Path;

use binauthz_conformance::{Cluster, Desk, guide};

#[test]
fn every_chapter_can_be_followed() {
    let programs = ["gcloud", "docker-registry", "skopeo", "openssl", "jq"];
    let options = ["--googleapis", "--googleapis-listen", "127.0.0.1:0"];
    let Some(mut desk) = Desk::with_options(&programs, &options) else {
        return;
    };
    desk.push("myservice", "v1", "my service");
    desk.push("unattested-image", "latest", "somebody's service");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let mut chapters: Vec<_> = std::fs::read_dir(folder)
        .expect("the guide is there")
        .map(|entry| entry.expect("the guide can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
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
