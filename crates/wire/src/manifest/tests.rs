use proptest::prelude::*;

use super::*;

const FILE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: s}
---
# nothing here
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: d
  namespace: team-a
spec:
  template:
    spec:
      containers:
      - {name: c, image: registry.test/app:1}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: p}
  spec: {containers: [{name: c, image: registry.test/pod:1}]}
- apiVersion: v1
  kind: PodList
  items:
  - metadata: {name: q}
    spec: {containers: [{name: c, image: registry.test/listed:1}]}
";

#[test]
fn documents_and_lists_are_read_in_order() {
    let manifests = read(FILE.as_bytes()).unwrap();
    let shown: Vec<String> = manifests
        .iter()
        .map(|manifest| format!("{} {} {}", manifest.document(), manifest.kind(), manifest.name()))
        .collect();
    assert_eq!(
        shown,
        [
            "1 v1 Service s",
            "2 apps/v1 Deployment d",
            "3 v1 Pod p",
            "3 v1 Pod q"
        ]
    );
    assert!(matches!(
        manifests[0].workload(),
        Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_)))
    ));
    let deployment = manifests[1].workload().unwrap();
    assert_eq!(deployment.images()[0].image(), "registry.test/app:1");
    assert_eq!(deployment.written_namespace(), Some("team-a"));
    assert_eq!(
        manifests[3].workload().unwrap().images()[0].image(),
        "registry.test/listed:1"
    );
}

#[test]
fn json_is_a_manifest_too() {
    let text =
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"image":"i"}]}}"#;
    assert_eq!(
        read(text.as_bytes()).unwrap()[0]
            .workload()
            .unwrap()
            .images()
            .len(),
        1
    );
}

#[test]
fn what_is_no_manifest_is_refused() {
    let nested = format!(
        "{}[]{}",
        "{apiVersion: v1, kind: List, items: [".repeat(6),
        "]}".repeat(6)
    );
    for text in [
        "",
        "---\n",
        "- a\n",
        "just text\n",
        "kind: Pod\n",
        "apiVersion: v1\n",
        "a: 1\na: 2\n",
        &nested,
    ] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
    let error = read(b"apiVersion: v1\nkind: Pod\n---\nfoo: bar\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("document 2: expected a Kubernetes object"),
        "{error}"
    );
}

#[test]
fn an_object_of_the_wrong_form_is_refused_when_it_is_looked_at() {
    let manifests = read(b"apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 5}]}\n").unwrap();
    assert!(matches!(
        manifests[0].workload(),
        Err(InvalidObject::Malformed(_))
    ));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-:{}\\[\\], \na-zA-Z0-9\"']{0,200}") {
        for manifest in read(text.as_bytes()).into_iter().flatten() {
            let _ = manifest.workload();
        }
    }
}
