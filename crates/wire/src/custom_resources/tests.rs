use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SHIPPED: &str = include_str!("../../../../deploy/custom-resources.yaml");

fn rollouts(fields: &str) -> String {
    format!(
        "customResources:\n- {{group: argoproj.io, versions: [v1alpha1], resource: rollouts, {fields}}}\n"
    )
}

fn error(file: &str) -> String {
    read(file.as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_shipped_file_is_read() {
    let resources = read(SHIPPED.as_bytes()).unwrap();
    let names: Vec<String> = resources.all().iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "rollouts.argoproj.io",
            "services.serving.knative.dev",
            "configurations.serving.knative.dev",
            "revisions.serving.knative.dev",
            "tasks.tekton.dev",
            "taskruns.tekton.dev",
        ]
    );
    let runs = resources.find("tekton.dev", "v1beta1", "taskruns").unwrap();
    assert!(runs.may_name_no_image);
    assert_eq!(
        runs.service_account.as_ref().map(ToString::to_string).as_deref(),
        Some("spec.serviceAccountName")
    );
    for (group, version, resource) in [
        ("tekton.dev", "v2", "taskruns"),
        ("tekton.dev", "v1", "pipelines"),
        ("", "v1", "services"),
        ("evil.dev", "v1", "tasks"),
        ("", "", ""),
    ] {
        assert!(
            resources.find(group, version, resource).is_none(),
            "{group}/{version} {resource}"
        );
    }
}

#[test]
fn what_says_nothing_that_can_be_done_is_refused_by_its_field() {
    let table = [
        ("", "empty"),
        ("{}", "`customResources`"),
        ("customResources: []", "`customResources`"),
        ("customResource: []", "`customResource` is not a known field"),
        ("- a", "the message must be an object"),
        ("customResources: [a]", "`customResources[0]` must be an object"),
    ];
    for (file, words) in table {
        let error = error(file);
        assert!(error.contains(words), "{file:?}: {error}");
    }
    let table = [
        ("images: []", "`customResources[0]`: expected a path in"),
        (
            "podTemplates: [spec..template]",
            "`customResources[0].podTemplates`: `spec..template` is no path",
        ),
        (
            "images: ['spec.steps[0].image']",
            "`customResources[0].images`: `spec.steps[0].image` is no path",
        ),
        ("images: ['[*]']", "is no path"),
        ("images: ['']", "is no path"),
        ("images: [spec/image]", "is no path"),
        ("images: [\"a\\u001b\"]", r"`a\u{1b}` is no path"),
        ("images: 5", "`customResources[0].images` must be"),
        (
            "images: [a], serviceAccount: a..b",
            "`customResources[0].serviceAccount`: `a..b` is no path",
        ),
        (
            "images: [a], mayNameNoImage: maybe",
            "`customResources[0].mayNameNoImage` must be",
        ),
        ("images: [a], image: [b]", "did you mean `images`?"),
        (
            "images: [a], kind: 'Roll out'",
            "`customResources[0].kind`: expected the kind of its objects",
        ),
        ("images: [a], kind: '1a'", "`customResources[0].kind`"),
        ("images: [a], kind: 5", "`customResources[0].kind`"),
        (
            "images: [a], kind: R}\n- {group: argoproj.io, versions: [v1, v1alpha1], resource: others, images: [a], kind: R",
            "`customResources[1]`: `R` is the kind of `rollouts.argoproj.io` in the same version",
        ),
    ];
    for (fields, words) in table {
        let error = error(&rollouts(fields));
        assert!(error.contains(words), "{fields}: {error}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_by_its_field() {
    let good = rollouts("images: [a]");
    read(good.as_bytes()).unwrap();
    for (from, to, words) in [
        (
            "group: argoproj.io",
            "group: apps",
            "`customResources[0].group`: expected the API group",
        ),
        ("group: argoproj.io", "group: ''", "`customResources[0].group`"),
        ("group: argoproj.io", "group: a..b", "`customResources[0].group`"),
        (
            "group: argoproj.io",
            "group: Argo.io",
            "`customResources[0].group`",
        ),
        (
            "resource: rollouts",
            "resource: Rollout",
            "`customResources[0].resource`",
        ),
        (
            "resource: rollouts",
            "resource: rollouts/scale",
            "`customResources[0].resource`",
        ),
        ("[v1alpha1]", "[]", "`customResources[0].versions`"),
        ("[v1alpha1]", "['*']", "`customResources[0].versions`"),
    ] {
        let error = error(&good.replace(from, to));
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn a_resource_has_one_meaning() {
    let item = "{group: a.b, versions: [v1, v2], resource: cs, images: [x]}";
    let twice = format!(
        "customResources:\n- {item}\n- {}\n",
        item.replace("[v1, v2]", "[v2, v3]")
    );
    assert!(error(&twice).contains("`customResources[1]`: `cs.a.b` is listed twice"));
    let apart = format!(
        "customResources:\n- {item}\n- {}\n",
        item.replace("[v1, v2]", "[v3]")
    );
    assert_eq!(read(apart.as_bytes()).unwrap().all().len(), 2);
}

#[test]
fn everything_has_a_limit() {
    let item = |at: usize| format!("- {{group: a.b, versions: [v1], resource: r{at}, images: [x]}}\n");
    let file = |count: usize| format!("customResources:\n{}", (0..count).map(item).collect::<String>());
    assert_eq!(
        read(file(MAX_RESOURCES).as_bytes()).unwrap().all().len(),
        MAX_RESOURCES
    );
    assert!(error(&file(MAX_RESOURCES + 1)).contains("1 to 64 resources"));
    let paths = |count: usize| rollouts(&format!("images: [{}]", vec!["x"; count].join(", ")));
    read(paths(MAX_ITEMS).as_bytes()).unwrap();
    assert!(error(&paths(MAX_ITEMS + 1)).contains("at most 32 paths"));
    let steps = |count: usize| vec!["x"; count].join(".").parse::<Path>();
    assert!(steps(32).is_ok() && steps(33).is_err());
}

fn locations(path: &str, object: &Value) -> Result<Vec<String>, Astray> {
    let path: Path = path.parse().unwrap();
    let nodes = path.nodes(object)?;
    Ok(nodes.into_iter().map(|node| node.location).collect())
}

#[test]
fn a_path_leads_to_what_is_there_and_strays_at_what_is_of_another_type() {
    let object = json!({"spec": {"image": "i", "none": null, "steps": [{"image": "a"}, null, {}, {"image": "b"}],
        "groups": [{"steps": [{"image": "c"}]}, {"steps": []}, {"steps": [{"image": "d"}]}]}});
    let found = |path| locations(path, &object).unwrap();
    assert_eq!(found("spec.image"), ["spec.image"]);
    assert_eq!(
        found("spec.steps[*].image"),
        ["spec.steps[0].image", "spec.steps[3].image"]
    );
    assert_eq!(
        found("spec.groups[*].steps[*].image"),
        ["spec.groups[0].steps[0].image", "spec.groups[2].steps[0].image"]
    );
    for nowhere in [
        "status",
        "spec.none",
        "spec.none.image",
        "spec.none[*]",
        "spec.Image",
        "spec.absent[*].image",
    ] {
        assert_eq!(found(nowhere), [""; 0], "{nowhere}");
    }
    for (path, at, what) in [
        ("spec.image.name", "spec.image", "an object"),
        ("spec.image[*]", "spec.image", "a list"),
        ("spec.steps.image", "spec.steps", "an object"),
        ("spec[*].image", "spec", "a list"),
        (
            "spec.groups[*].steps[*].image.name",
            "spec.groups[0].steps[0].image",
            "an object",
        ),
    ] {
        let expected = Astray::Unexpected {
            location: at.to_owned(),
            expected: what,
        };
        assert_eq!(locations(path, &object), Err(expected), "{path}");
    }
    let many = json!({"a": vec![json!("i"); 1_001]});
    assert_eq!(locations("a[*]", &many), Err(Astray::TooMany));
    assert_eq!(
        locations("a[*]", &json!({"a": vec!["i"; 1_000]})).unwrap().len(),
        1_000
    );
}

proptest! {
    #[test]
    fn a_path_is_written_as_it_was_read(text in r"[a-zA-Z_]{1,8}(\[\*\])?(\.[a-zA-Z-]{1,8}(\[\*\])?){0,6}") {
        prop_assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
    }

    #[test]
    fn no_text_is_a_path_by_accident(text in any::<String>()) {
        if let Ok(path) = text.parse::<Path>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn a_file_is_read_or_refused(text in any::<String>()) {
        let _ = read(text.as_bytes());
    }
}

#[test]
fn a_resource_is_found_by_the_kind_of_its_objects() {
    let file = "customResources:
- {group: a.example, versions: [v1, v2], resource: policies, images: [a]}
- {group: a.example, versions: [v1], resource: buses, images: [b]}
- {group: a.example, versions: [v1], resource: sheep, kind: Sheep, images: [c]}
- {group: a.example, versions: [v1], resource: geese, kind: Goose, images: [d]}
- {group: a.example, versions: [v2], resource: gooses, images: [e]}
";
    let resources = read(file.as_bytes()).unwrap();
    let kind = |group: &str, version: &str, kind: &str| Kind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: kind.to_owned().into(),
    };
    let found = |group: &str, version: &str, name: &str| {
        let found = resources.of_kind(&kind(group, version, name));
        found.map(|found| found.resource.clone())
    };
    for (name, resource) in [
        ("Policy", Some("policies")),
        ("Bus", Some("buses")),
        ("Sheep", Some("sheep")),
        ("Goose", Some("geese")),
        // Not by what another is said to be, nor by a name that is another's.
        ("Geese", None),
        ("Sheeps", None),
        ("policies", None),
        ("", None),
    ] {
        assert_eq!(found("a.example", "v1", name).as_deref(), resource, "{name}");
        assert_eq!(found("b.example", "v1", name), None);
        assert_eq!(found("", "v1", name), None);
    }
    // In a version in which it is not looked at, it is not another resource either.
    assert_eq!(found("a.example", "v2", "Goose"), None);
    let others = |version: &str, name: &str| resources.other_versions_of(&kind("a.example", version, name));
    assert_eq!(others("v2", "Goose").as_deref(), Some("`a.example/v1`"));
    assert_eq!(
        others("v9", "Policy").as_deref(),
        Some("`a.example/v1` or `a.example/v2`")
    );
    assert_eq!(others("v1", "Policy"), None);
    assert_eq!(others("v1", "Horse"), None);
}

#[test]
fn what_is_written_out_is_read_again() {
    for file in [
        SHIPPED,
        &rollouts("kind: Rollout, podSpecs: [a.b], containers: [\"c[*].d\"], serviceAccount: e"),
    ] {
        let resources = read(file.as_bytes()).unwrap();
        let written = json!({"customResources": resources.to_json()});
        assert_eq!(read(written.to_string().as_bytes()), Ok(resources));
    }
    assert_eq!(CustomResources::default().to_json(), json!([]));
}
