//! `gcloud artifacts docker` in front of a registry that can delete images and cannot delete tags.

use binauthz_conformance::Desk;
use binauthz_conformance::desk::IMAGES;
use serde_json::Value;

/// A desk with `myservice` in two versions, `v1` and `v2`.
fn with_images() -> Option<(Desk, [String; 2])> {
    let desk = Desk::with(&["gcloud", "docker-registry", "skopeo"])?;
    let digests = ["v1", "v2"].map(|tag| desk.push("myservice", tag, tag));
    Some((desk, digests))
}

fn image() -> String {
    format!("{IMAGES}/myservice")
}

/// Which digest each tag names, as `tags list` shows it.
fn tags(desk: &Desk) -> Vec<(String, String)> {
    let listed = desk
        .ok(&format!(
            "gcloud artifacts docker tags list {} --format=json",
            image()
        ))
        .json();
    let last = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let mut tags: Vec<(String, String)> = listed
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| (last(&tag["tag"]), last(&tag["version"])))
        .collect();
    tags.sort();
    tags
}

fn named(tags: &[(&str, &String)]) -> Vec<(String, String)> {
    tags.iter()
        .map(|(tag, digest)| ((*tag).to_owned(), (*digest).clone()))
        .collect()
}

#[test]
fn tags_are_added_moved_and_listed() {
    let Some((desk, [one, two])) = with_images() else {
        return;
    };
    let image = image();
    let add = |digest: &str, tag: &str| {
        desk.ok(&format!(
            "gcloud artifacts docker tags add {image}@{digest} {image}:{tag}"
        ))
        .says(&["Added tag"]);
    };
    add(&one, "stable");
    assert_eq!(
        tags(&desk),
        named(&[("stable", &one), ("v1", &one), ("v2", &two)])
    );
    add(&two, "stable");
    assert_eq!(
        tags(&desk),
        named(&[("stable", &two), ("v1", &one), ("v2", &two)])
    );
    // Where it was asked for, an answer that nothing was deleted is one.
    desk.sh(&format!("gcloud artifacts docker tags delete {image}:stable"))
        .refused(&["cannot delete tags"]);
    assert_eq!(
        tags(&desk),
        named(&[("stable", &two), ("v1", &one), ("v2", &two)])
    );
    desk.sh(&format!(
        "gcloud artifacts docker tags add {image}@sha256:{} {image}:stable",
        "0".repeat(64)
    ))
    .refused(&["not found"]);
    desk.ok(&format!("gcloud artifacts docker images describe {image}:stable"))
        .says(&[&two]);
}

#[test]
fn images_are_listed_and_described() {
    let Some((desk, [one, two])) = with_images() else {
        return;
    };
    let image = image();
    let listed = desk.ok(&format!(
        "gcloud artifacts docker images list {IMAGES} --include-tags --format='value(package,version,tags)'"
    ));
    listed.says(&[&image, &one, &two, "v1", "v2"]);
    for what in [format!("{image}:v1"), format!("{image}@{one}")] {
        let digest = desk.ok(&format!(
            "gcloud artifacts docker images describe {what} --format='value(image_summary.digest)'"
        ));
        assert_eq!(digest.text(), one);
    }
    desk.sh(&format!("gcloud artifacts docker images describe {image}:v3"))
        .refused(&["not found"]);
    // A filter this long makes gcloud send the list as a POST that stands for a GET.
    desk.ok(&format!(
        "gcloud artifacts docker images describe {image}:v1 --show-all-metadata \
         --metadata-filter=\"$(printf 'kind=\"BUILD\" OR %.0s' {{1..200}})kind=\\\"BUILD\\\"\""
    ))
    .says(&[&one]);
}

#[test]
fn an_image_is_deleted_and_no_tag_of_another() {
    let Some((desk, [one, two])) = with_images() else {
        return;
    };
    let image = image();
    let delete = format!("gcloud artifacts docker images delete {image}@");
    let refused = desk.sh(&format!("{delete}{one}"));
    refused.refused(&["it is tagged", "myservice:v1"]);
    // The registry cannot delete `v1`, and nobody asked it to delete `v2`.
    desk.sh(&format!("{delete}{one} --delete-tags"))
        .refused(&["cannot delete tags"]);
    assert_eq!(tags(&desk), named(&[("v1", &one), ("v2", &two)]));
    desk.ok(&format!(
        "gcloud artifacts docker tags add {image}@{two} {image}:v1"
    ));
    desk.ok(&format!("{delete}{one}"));
    desk.sh(&format!("gcloud artifacts docker images describe {image}@{one}"))
        .refused(&["not found"]);
    desk.ok(&format!("gcloud artifacts docker images describe {image}@{two}"));
    assert_eq!(tags(&desk), named(&[("v1", &two), ("v2", &two)]));
}
