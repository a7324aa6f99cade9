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

/// What is written once and meant twice means what it means in `kubectl`.
const ANCHORED: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: &meta {name: d, labels: {app: a}}
spec:
  template:
    metadata: *meta
    spec:
      containers:
      - &main {name: c, image: registry.test/app:1}
      - <<: *main
        name: e
      initContainers:
      - <<: [*main, {image: registry.test/never:1}]
        name: i
";

#[test]
fn anchors_aliases_and_merge_keys_are_followed() {
    let manifests = read(ANCHORED.as_bytes()).unwrap();
    let workload = manifests[0].workload().unwrap();
    let images: Vec<(&str, &str)> = workload
        .images()
        .iter()
        .map(|image| (image.container(), image.image()))
        .collect();
    let image = "registry.test/app:1";
    assert_eq!(images, [("c", image), ("e", image), ("i", image)]);
    assert_eq!(workload.label("app"), Some("a"));
}

#[test]
fn aliases_cannot_mean_more_than_a_file_can_say() {
    let mut laughs = "apiVersion: v1\nkind: ConfigMap\na: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..8 {
        let many = vec![format!("*a{}", level - 1); 10].join(",");
        laughs += &format!("l{level}: &a{level} [{many}]\n");
    }
    let quadratic = format!(
        "apiVersion: v1\nkind: ConfigMap\na: &a [{}]\nb: [{}]\n",
        vec!["x"; 5_000].join(","),
        vec!["*a"; 5_000].join(",")
    );
    for bomb in [
        laughs.as_str(),
        &quadratic,
        "apiVersion: v1\nkind: ConfigMap\na: &a [*a]\n",
        "apiVersion: v1\nkind: ConfigMap\na: &a {<<: *a}\n",
        "apiVersion: v1\nkind: ConfigMap\na: *nobody\n",
        "apiVersion: v1\nkind: ConfigMap\na: {b: 1, b: 2}\n",
    ] {
        assert!(
            read(bomb.as_bytes()).is_err(),
            "{}",
            bomb.get(..80).unwrap_or(bomb)
        );
    }
}

#[test]
fn a_rendered_chart_may_be_larger_than_a_request() {
    let padding = "x".repeat(crate::json::Limits::API.bytes);
    let text =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: \"{padding}\"}}\n");
    assert_eq!(read(text.as_bytes()).unwrap().len(), 1);
    let padding = "x".repeat(crate::json::Limits::MANIFEST.bytes);
    assert!(read(format!("a: {padding}").as_bytes()).is_err());
}

#[test]
fn only_lists_of_kubernetes_are_taken_apart() {
    let item = "{metadata: {name: x}, spec: {containers: [{image: i}]}}";
    for (api_version, kind, expected) in [
        ("v1", "PodList", "v1 Pod"),
        ("apps/v1", "DeploymentList", "apps/v1 Deployment"),
        ("v1", "SecretList", "v1 SecretList"),
        ("example.test/v1", "AllowList", "example.test/v1 AllowList"),
        ("example.test/v1", "PodList", "example.test/v1 PodList"),
        ("example.test/v1", "List", "example.test/v1 List"),
    ] {
        let text = format!("{{apiVersion: {api_version}, kind: {kind}, items: [{item}]}}");
        let manifests = read(text.as_bytes()).unwrap();
        assert_eq!(manifests[0].kind().to_string(), expected);
    }
}

#[test]
fn a_known_kind_of_an_unknown_version_is_not_passed_over() {
    for (api_version, kind, expected) in [
        ("apps/v2", "Deployment", "expected `apps/v1` or `apps/v1beta2`"),
        ("v2", "Pod", "expected `v1`"),
        ("batch/v2", "Job", "expected `batch/v1`"),
    ] {
        let text = format!("{{apiVersion: {api_version}, kind: {kind}}}");
        let error = read(text.as_bytes()).unwrap()[0]
            .workload()
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected) && error.contains(kind), "{error}");
    }
    for (api_version, kind) in [
        ("batch.volcano.sh/v1alpha1", "Job"),
        ("v1", "Service"),
        ("v1", "Deployment"),
    ] {
        let text = format!("{{apiVersion: {api_version}, kind: {kind}}}");
        let error = read(text.as_bytes()).unwrap()[0].workload().unwrap_err();
        assert!(
            matches!(error, InvalidObject::Workload(InvalidWorkload::UnknownKind(_))),
            "{error}"
        );
    }
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

#[test]
fn custom_resources_are_read_by_their_paths() {
    let custom = "customResources: [{group: a.example, versions: [v1], resource: runners, images: ['spec.steps[*].image'],
        mayNameNoImage: true}]";
    let custom = crate::custom_resources::read(custom.as_bytes()).unwrap();
    let text = "apiVersion: a.example/v1
kind: Runner
metadata: {name: r, namespace: prod}
spec: {steps: [{image: a}, {image: b}]}
---
{apiVersion: a.example/v1, kind: Runner, spec: {}}
---
{apiVersion: a.example/v1, kind: Runner, spec: {steps: 5}}
---
{apiVersion: a.example/v2, kind: Runner, spec: {steps: [{image: a}]}}
---
{apiVersion: b.example/v1, kind: Runner, spec: {steps: [{image: a}]}}
---
{apiVersion: v1, kind: Pod, spec: {containers: [{image: c}]}}
";
    let manifests = read(text.as_bytes()).unwrap();
    let images = |index: usize| {
        let workload = manifests[index].workload_among(&custom);
        workload.map(|workload| {
            let workload = workload?;
            let images = workload.images().iter();
            Some(images.map(|image| image.image().to_owned()).collect::<Vec<_>>())
        })
    };
    assert_eq!(images(0), Ok(Some(vec!["a".to_owned(), "b".to_owned()])));
    assert_eq!(manifests[0].namespace(), Some("prod"));
    assert_eq!((images(1), manifests[1].namespace()), (Ok(None), None));
    assert!(matches!(
        images(2),
        Err(InvalidObject::Workload(InvalidWorkload::Astray { .. }))
    ));
    let error = images(3).unwrap_err().to_string();
    assert!(error.contains("expected `a.example/v1`"), "{error}");
    assert!(matches!(
        images(4),
        Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_)))
    ));
    assert_eq!(images(5), Ok(Some(vec!["c".to_owned()])));
    // Without the file none of them is known.
    let none = CustomResources::default();
    assert!(matches!(
        manifests[0].workload_among(&none),
        Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_)))
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
