//! What the API server sends, and manifests. A second reader (plain `serde_json`) says which images an object names; none
//! of them may be missing from what is judged.

use binauthz_wire::admission_review::{self, Matter};
use binauthz_wire::workload::Workload;
use binauthz_wire::{image_review, manifest};
use serde_json::Value;

use crate::Outcome;

pub(crate) fn admission_review(bytes: &[u8]) -> Outcome {
    let Ok(review) = admission_review::read(bytes) else {
        return Outcome::Refused;
    };
    let is_pod = review.kind().to_string() == "v1 Pod";
    let _ = (review.address().nothing_to_judge(), review.groups().count());
    match review.into_matter() {
        Ok(Matter::Judge { workload, old }) => {
            let document: Value = serde_json::from_slice(bytes).expect("what was read is JSON");
            if is_pod {
                is_judged_whole(&workload, &document["request"]["object"]["spec"]);
            }
            let _ = old.map(|old| workload.adds_nothing_to(&old));
            Outcome::Read
        }
        Ok(Matter::Deletion | Matter::NoImage) => Outcome::Read,
        Err(_) => Outcome::Refused,
    }
}

/// Every image of the Pod is among those that are judged, and there is at least one.
fn is_judged_whole(workload: &Workload<'_>, spec: &Value) {
    let judged: Vec<&str> = workload.images().iter().map(|image| image.image()).collect();
    assert!(!judged.is_empty(), "nothing to judge is no Pod");
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let containers = lists.iter().filter_map(|list| spec[list].as_array()).flatten();
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let named = containers
        .map(|container| &container["image"])
        .chain(volumes.map(|volume| &volume["image"]["reference"]))
        .filter_map(Value::as_str);
    for image in named {
        assert!(judged.contains(&image), "`{image}` would run and is not judged");
    }
    assert_eq!(workload.requested_images().len(), judged.len());
    let _ = (
        workload.break_glass(),
        workload.doors(),
        workload.service_account(),
        workload.name(),
    );
}

pub(crate) fn image_review(bytes: &[u8]) -> Outcome {
    let Ok(review) = image_review::read(bytes) else {
        return Outcome::Refused;
    };
    let document: Value = serde_json::from_slice(bytes).expect("what was read is JSON");
    let containers = document["spec"]["containers"].as_array().map_or(0, Vec::len);
    let images = review.requested_images();
    assert!(
        containers > 0 && images.len() == containers,
        "every container is judged"
    );
    for (image, container) in images
        .iter()
        .zip(document["spec"]["containers"].as_array().into_iter().flatten())
    {
        assert_eq!(
            image.written.as_ref(),
            container["image"].as_str().unwrap_or_default()
        );
    }
    let _ = (review.break_glass(), review.doors(), review.namespace());
    Outcome::Read
}

pub(crate) fn manifest(bytes: &[u8]) -> Outcome {
    let read = manifest::read(bytes);
    for object in read.iter().flatten() {
        assert!(
            serde_json::from_str::<Value>(object.json()).is_ok(),
            "the object is written as JSON"
        );
        if let Ok(workload) = object.workload() {
            assert!(!workload.images().is_empty(), "a workload names an image");
        }
    }
    Outcome::of(&read)
}
