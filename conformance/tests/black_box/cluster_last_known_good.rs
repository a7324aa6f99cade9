//! What was last known to be good starts while no server answers, judged by a real API server: that, nothing else, and
//! not for ever.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::{Cluster, Desk, Node};
use serde_json::{Value, json};

use crate::cluster_guard::entry;
use crate::cluster_inside;
use crate::cluster_install::{desk, install, typed};
use crate::own_commands::SIGN;
use crate::story;

const AWAY: &str = "failed calling webhook \"imagepolicywebhook.image-policy.k8s.io\"";
const REFUSED: &str =
    "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request: Image ";
const UNKNOWN: &str = "ValidatingAdmissionPolicy 'binauthz-last-known-good' with binding 'binauthz-last-known-good' denied \
                       request: no server of binauthz answers, and not last known to be good for ";
pub(crate) const SYSTEM: &str = "registry.k8s.io/pause:3.9";
const CANARY: &str =
    "binauthz.invalid/canary@sha256:0000000000000000000000000000000000000000000000000000000000000000";
pub(crate) const TERMS: &str = "kubectl get clusterrole binauthz-last-known-good -o json";
/// Everything that `install` writes beside the webhooks.
pub(crate) const OBJECTS: &str = "kubectl get validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,\
                       clusterrolebindings,configmaps,roles,rolebindings --all-namespaces \
                       -l app.kubernetes.io/managed-by=binauthz -o name";

fn image(digit: &str) -> String {
    format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64))
}

/// The options of a server in a hurry, always at the same address.
pub(crate) struct Options {
    folder: tempfile::TempDir,
    listen: String,
}

impl Options {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            listen: listener.local_addr().expect("it has an address").to_string(),
        }
    }

    fn of(&self, cluster: &Cluster) -> [String; 4] {
        self.with(cluster.kubeconfig())
    }

    /// Where another kubeconfig may be.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The same, and the server reaches the cluster by another kubeconfig.
    pub(crate) fn with(&self, kubeconfig: &Path) -> [String; 4] {
        let file: PathBuf = self.folder.path().join("binauthz.yaml");
        let kubeconfig = kubeconfig.display();
        let settings = format!(
            "guard: {{clusters: ['{CLUSTER}={CONTEXT}'], everySeconds: 1, kubeconfig: '{kubeconfig}', \
             lastKnownGood: {{afterSeconds: 16}}}}\n"
        );
        std::fs::write(&file, settings).expect("a file can be written");
        let file = file.display().to_string();
        [
            "--config".to_owned(),
            file,
            "--webhook-listen".to_owned(),
            self.listen.clone(),
        ]
    }
}

pub(crate) fn texts(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

fn restarted(desk: Desk, cluster: &Cluster, options: &[String]) -> Desk {
    let mut desk = desk.restarted_with(&texts(options));
    desk.shell
        .set("BINAUTHZ_DATA_DIR", desk.server.data.display().to_string());
    desk.shell.set("BINAUTHZ_PROJECT", "demo");
    desk.shell.set("WEBHOOK", desk.server.webhook.clone());
    cluster.attach(&mut desk);
    desk
}

fn sign(desk: &Desk, image: &str) {
    desk.ok(&format!("{SIGN} --artifact-url={image} {}", story::KEY_VERSION));
}

pub(crate) fn pod(name: &str, image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": image}]}})
}

pub(crate) fn create(desk: &Desk, object: &Value) -> binauthz_conformance::Ran {
    desk.write("object.json", &object.to_string());
    desk.sh("kubectl create -f object.json")
}

/// Whether the webhook is asked about the moments that a server moves on, or about all of them.
pub(crate) fn is_moved_on(yes: bool) -> String {
    format!(
        "{TERMS} | jq -e '.rules[] | select(.resources == [\"moments\"]) | has(\"resourceNames\") == {yes}'"
    )
}

/// Whether the list has this digest.
fn listed(digit: &str) -> String {
    format!(
        "kubectl -n default get configmap binauthz-last-known-good -o json | jq -e '.data | keys | any(endswith(\".{}\"))'",
        digit.repeat(64)
    )
}

#[test]
fn approved_images_start_while_the_server_is_away_and_nothing_else_does() {
    // An API server of its own: one from which such a policy was removed is of no use to another test.
    let Some(cluster) = Cluster::with_flags(&[]) else {
        return;
    };
    let files = Options::new();
    let options = files.of(&cluster);
    let Some(mut desk) = desk(&cluster, &texts(&options)) else {
        return;
    };
    is_installed(&desk);
    what_runs_is_listed_as_long_as_it_is_allowed(&desk);
    let attempts = Attempts::begin(&desk);

    desk.server.end();
    // At first nothing gets in, then what is on the list.
    create(&desk, &pod("again", &image("a"))).refused(&[AWAY]);
    Cluster::eventually(&desk, &format!("kubectl run again --image={}", image("a")));
    what_runs_goes_on(&desk);
    what_else_gets_in(&desk);
    assert!(cluster.restart_api_server());
    Cluster::eventually(&desk, &format!("kubectl run restarted --image={}", image("a")));
    create(&desk, &pod("p", &image("b"))).refused(&[UNKNOWN]);
    what_is_missing_or_old_is_no_list(&desk);

    desk = restarted(desk, &cluster, &options);
    entry(&desk, "LAST_KNOWN_GOOD_DECIDED", "FOUND");
    sign(&desk, &image("e"));
    Cluster::eventually(&desk, &format!("kubectl run back --image={}", image("e")));
    create(&desk, &pod("p", &image("b"))).refused(&[REFUSED, "No attestations found"]);
    desk.ok(&typed("status")).says(&["guarded"]);
    attempts.end(&desk);
    a_policy_that_is_gone_is_missed(desk, &cluster, &options);
}

/// Tries all the time to create a Pod of an image that nobody signed.
struct Attempts;

impl Attempts {
    fn begin(desk: &Desk) -> Self {
        let mut pod = pod("p", &image("b"));
        pod["metadata"] = json!({"generateName": "attempt-", "labels": {"attempt": "yes"}});
        desk.write("attempt.json", &pod.to_string());
        // It ends with this process, too, and with the folder.
        desk.ok(&format!(
            "(until [ -e enough ] || ! kill -0 {}; do
                [ -e attempt.json ] || exit
                kubectl create -f attempt.json || true
              done) >attempts.log 2>&1 &",
            std::process::id()
        ));
        Self
    }

    /// It met the webhook, its absence and the policy, and not one of them too late.
    #[track_caller]
    fn end(self, desk: &Desk) {
        desk.ok("touch enough && sleep 1");
        let log = desk.ok("cat attempts.log");
        log.says(&[REFUSED, AWAY, UNKNOWN]).never_says("created");
        assert_eq!(
            desk.ok("kubectl get pods --all-namespaces -l attempt -o name")
                .text(),
            ""
        );
    }
}

fn is_installed(desk: &Desk) {
    install(desk, "--last-known-good").refused(&["--last-known-good=NAMESPACE"]);
    install(desk, "--last-known-good=nowhere").refused(&["nowhere", "changed back"]);
    assert_eq!(desk.ok(OBJECTS).text(), "");
    let plan = [
        "while no server answers: what namespace default lists",
        "create ConfigMap default/binauthz-last-known-good",
        "create ClusterRole binauthz-last-known-good",
        "create ClusterRoleBinding binauthz-last-known-good",
        "create ValidatingAdmissionPolicy binauthz-last-known-good",
        "create ValidatingAdmissionPolicyBinding binauthz-last-known-good",
        "create ValidatingWebhookConfiguration binauthz",
    ];
    install(desk, "--last-known-good=default --dry-run")
        .ok()
        .says(&plan);
    assert_eq!(desk.ok(OBJECTS).text(), "");
    install(
        desk,
        "--last-known-good=default --dry-run --format=yaml >planned.yaml",
    )
    .ok();
    desk.ok("kubectl create --dry-run=server -f planned.yaml");
    install(desk, "--last-known-good=default").ok().says(&plan);
    Cluster::eventually(desk, &is_moved_on(true));
    // What the server keeps is left to it.
    install(desk, "--last-known-good=default")
        .ok()
        .says(&["everything is in its place"]);
    desk.ok(&typed("status")).says(&[
        "validating:   as shipped",
        "mutating:     as shipped",
        "last known:   namespace default, as shipped",
        "guarded",
    ]);
    desk.ok("binauthz cluster coverage --context=my-cluster");
}

fn what_runs_is_listed_as_long_as_it_is_allowed(desk: &Desk) {
    for digit in ["a", "d"] {
        sign(desk, &image(digit));
    }
    desk.ok(&format!(
        "kubectl create deployment running --image={}
         kubectl run system --image={SYSTEM}
         kubectl run withdrawn --image={}",
        image("a"),
        image("d")
    ));
    Cluster::eventually(desk, &format!("{} && {}", listed("a"), listed("d")));
    // The server is there: it decides, and what it has just approved needs no list.
    sign(desk, &image("c"));
    desk.ok(&format!("kubectl run new --image={}", image("c")));
    create(desk, &pod("p", &image("b"))).refused(&[REFUSED, "No attestations found"]);
    // Nor does what breaks the glass, which is no approval.
    let mut opened = pod("opened", &image("f"));
    opened["metadata"]["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": "INC-1"});
    create(desk, &opened).ok();
    // What is withdrawn is off the list with the next look, though it runs.
    let withdrawn = format!(
        "binauthz attestations list --artifact-url={} --format='value(name)'",
        image("d")
    );
    let name = desk.ok(&withdrawn);
    desk.api("DELETE", &format!("/v1/{}", name.text()), None).ok();
    Cluster::eventually(desk, &format!("! {} && {}", listed("d"), listed("c")));
    desk.sh(&listed("f")).exits(1);
}

/// What controllers do about what runs: new Pods of the same image, more of them, Jobs of a CronJob, finalizers.
fn what_runs_goes_on(desk: &Desk) {
    desk.ok(&format!(
        "kubectl run system-again --image={SYSTEM}
         kubectl create job good --image={}
         kubectl label pod system team=x
         kubectl scale deployment running --replicas=2
         kubectl delete pod -l app=running --force --grace-period=0",
        image("a")
    ));
    Cluster::eventually(
        desk,
        "[ \"$(kubectl get pods -l app=running -o name | wc -l)\" = 2 ] && kubectl get pods -l job-name=good -o name | grep .",
    );
    desk.ok("kubectl delete job good --timeout=60s && kubectl wait --for=delete pod -l job-name=good --timeout=60s");
}

/// Everything that could be taken for approved.
fn what_else_gets_in(desk: &Desk) {
    let (good, bad) = (image("a"), image("b"));
    let with = |field: &str, value: Value| {
        let mut pod = pod("p", &good);
        pod["spec"][field] = value;
        pod
    };
    let marked = |metadata: Value| {
        let mut pod = pod("p", &bad);
        pod["metadata"] = metadata;
        pod
    };
    let break_glass = json!({"alpha.image-policy.k8s.io/break-glass": "INC-1"});
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bad"},
        "spec": {"template": {"spec": pod("p", &bad)["spec"]}}});
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    for object in [
        pod("p", &bad),
        // They run, and are not approved, or no more.
        pod("p", &image("d")),
        pod("p", &image("f")),
        pod("p", "registry.k8s.io/pause:3.10"),
        pod("p", "registry.k8s.io/pause_c3.9"),
        pod("p", &bad.replace("@sha256:", ":v1@sha256:")),
        with("initContainers", json!([{"name": "i", "image": bad}])),
        with("volumes", json!([{"name": "v", "image": {"reference": bad}}])),
        with(
            "containers",
            json!([{"name": "one", "image": good}, {"name": "two", "image": bad}]),
        ),
        job.clone(),
        marked(json!({"name": "p", "creationTimestamp": "2020-01-01T00:00:00Z"})),
        marked(json!({"name": "p", "annotations": break_glass})),
        marked(
            json!({"name": "p", "labels": {"image-policy.k8s.io/break-glass": "true",
            "app.kubernetes.io/managed-by": "binauthz"}}),
        ),
    ] {
        create(desk, &object).refused(&[UNKNOWN]);
    }
    // An image that is good as somebody else, elsewhere.
    desk.ok("kubectl create serviceaccount other");
    create(desk, &with("serviceAccountName", json!("other"))).refused(&[UNKNOWN, "/other: Image "]);
    desk.sh(&format!("kubectl -n default run p --image={good}"))
        .refused(&[UNKNOWN, "default/default: Image "]);
    // What the webhooks are always asked about stays refused.
    let canary = with(
        "containers",
        json!([{"name": "one", "image": CANARY}, {"name": "two", "image": bad}]),
    );
    job["metadata"]["annotations"] = break_glass;
    for object in [canary, job] {
        create(desk, &object).refused(&[AWAY]);
    }
    for command in [
        format!("kubectl create deployment d --image={good}"),
        format!("kubectl set image deployment/running myservice={bad}"),
        format!("kubectl set image pod/system system={bad}"),
        format!("kubectl debug system --image={bad}"),
        "kubectl label pod system image-policy.k8s.io/break-glass=true".to_owned(),
        "kubectl annotate pod system alpha.image-policy.k8s.io/break-glass=INC-1".to_owned(),
    ] {
        desk.sh(&command).refused(&[AWAY]);
    }
}

/// Whatever somebody removes meanwhile, but for the policy itself, nothing starts until it is back.
fn what_is_missing_or_old_is_no_list(desk: &Desk) {
    let good = format!("kubectl run p --image={} --dry-run=server", image("a"));
    desk.ok(&good);
    let removed = |remove: &str, put_back: &str, why: &str| {
        desk.ok(remove);
        Cluster::eventually(desk, &format!("! {good} 2>said.txt && grep -F '{why}' said.txt"));
        create(desk, &pod("p", &image("b"))).refused(&["binauthz-last-known-good' denied request"]);
        desk.ok(put_back);
        Cluster::eventually(desk, &good);
    };
    desk.ok(&format!(
        "clean='del(.metadata.uid, .metadata.resourceVersion, .metadata.managedFields)'
         {TERMS} | jq \"$clean\" >terms.json
         kubectl -n default get configmap binauthz-last-known-good -o json | jq \"$clean\" >list.json
         kubectl get clusterrolebinding binauthz-last-known-good -o json | jq \"$clean\" >binding.json
         jq '(.rules[] | select(.resources == [\"hours\"]) | .resourceNames) = [\"1\"]' terms.json >old.json
         jq '.data.revision = \"1\"' list.json >other.json"
    ));
    removed(
        "kubectl replace -f old.json",
        "kubectl replace -f terms.json",
        "is too old",
    );
    removed(
        "kubectl replace -f other.json",
        "kubectl replace -f list.json",
        "this is not the list that was written last",
    );
    removed(
        "kubectl delete -f list.json",
        "kubectl create -f list.json",
        "denied request",
    );
    for file in ["terms.json", "binding.json"] {
        removed(
            &format!("kubectl delete -f {file}"),
            &format!("kubectl create -f {file}"),
            "this is not the list that was written last",
        );
    }
}

/// Found while the server is there, and then nothing starts any more when it is not; and `uninstall` leaves nothing behind.
fn a_policy_that_is_gone_is_missed(mut desk: Desk, cluster: &Cluster, options: &[String]) {
    desk.ok("kubectl delete validatingadmissionpolicybinding binauthz-last-known-good");
    entry(&desk, "LAST_KNOWN_GOOD_NOT_KEPT", "FOUND");
    Cluster::eventually(&desk, &is_moved_on(false));
    desk.sh(&typed("status"))
        .exits(1)
        .says(&["ValidatingAdmissionPolicyBinding.spec is absent"]);
    // What the webhook leaves to a policy that is not there is covered by nobody.
    desk.sh("binauthz cluster coverage --context=my-cluster --format=json >covered.json")
        .exits(1);
    desk.ok("jq -e '[.[] | select(.why | contains(\"nobody judges\")) | .resource] | sort == [\"jobs.batch\", \"pods\"]' \
             covered.json");
    create(&desk, &pod("p", &image("b"))).refused(&[REFUSED]);
    desk.server.end();
    // Longer than the webhook would be asked.
    desk.ok("sleep 25");
    for image in [image("a"), image("b")] {
        create(&desk, &pod("p", &image)).refused(&[AWAY]);
    }

    // The API server of Kubernetes 1.36 stops to watch ConfigMaps for policies once it has no such policy. That it misses a
    // change of the list is found out, and the webhook goes on being asked.
    desk = restarted(desk, cluster, options);
    install(&desk, "--last-known-good=default").ok();
    desk.ok(&format!("kubectl run changed --image={SYSTEM} -n default"));
    Cluster::eventually(
        &desk,
        "kubectl -n default get configmap binauthz-last-known-good -o json | grep s.default.default",
    );
    create(&desk, &pod("p", &image("b"))).refused(&[REFUSED]);
    desk.ok(&format!("kubectl run seen --image={}", image("a")));
    // What it would need is said, and helps.
    assert!(cluster.restart_api_server());
    Cluster::eventually(&desk, &is_moved_on(true));

    what_cannot_be_taken_away_is_left_as_it_was(&desk);
    // Without it, the webhook is asked about everything again.
    install(&desk, "").ok().says(&[
        "webhooks[0].matchConditions is ",
        "remove what was last known to be good",
    ]);
    desk.ok(&typed("status"))
        .says(&["guarded"])
        .never_says("last known:");
    create(&desk, &pod("p", &image("b"))).refused(&[REFUSED]);
    install(&desk, "--last-known-good=default").ok();
    desk.server.end();
    desk.sh(&typed("uninstall"))
        .refused(&["cannot be reached", "nothing is guarded any more"])
        .says(&["remove ValidatingAdmissionPolicy binauthz-last-known-good"]);
    assert_eq!(desk.ok(OBJECTS).text(), "");
}

/// Somebody who may remove the binding and not the policy takes nothing away: an install that fails leaves list, policy and
/// terms as they were before it.
fn what_cannot_be_taken_away_is_left_as_it_was(desk: &Desk) {
    desk.ok("kubectl create serviceaccount -n default deployer
         kubectl create clusterrole deployer --verb=get,list,create,update,patch --resource='*.*'
         kubectl create clusterrole deployer-deletes --verb=delete --resource=validatingadmissionpolicybindings,validatingwebhookconfigurations
         kubectl create clusterrole deployer-escalates --verb=bind,escalate --resource=clusterroles,roles
         for role in deployer deployer-deletes deployer-escalates; do
           kubectl create clusterrolebinding $role --clusterrole=$role --serviceaccount=default:deployer
         done
         kubectl config set-credentials deployer --token=$(kubectl -n default create token deployer)
         kubectl config set-context deployer --cluster=test --user=deployer");
    let noted =
        format!("{TERMS} | jq -c '[.metadata.annotations[\"binauthz/in-force\"], (.rules | length)]'");
    let (before, objects) = (desk.ok(&noted), desk.ok(OBJECTS));
    assert_eq!(before.text(), "[\"20\",3]");
    desk.sh(&format!(
        "{} --webhook-url=\"$WEBHOOK\"",
        typed("install").replace("--context=my-cluster", "--context=deployer")
    ))
    .refused(&[
        "cannot delete resource",
        "validatingadmissionpolicies",
        "changed back",
    ]);
    desk.ok(&is_moved_on(true));
    assert_eq!(desk.ok(&noted).text(), before.text());
    assert_eq!(desk.ok(OBJECTS).text(), objects.text());
    desk.ok(&typed("status"))
        .says(&["last known:   namespace default, as shipped", "guarded"]);
}

/// A server in the cluster has the rights that it needs, and no more of them than that.
#[test]
fn a_server_in_the_cluster_keeps_the_list_by_itself() {
    let Some(cluster) = Cluster::with_flags(&[]) else {
        return;
    };
    let Some(desk) = cluster_inside::desk(&cluster) else {
        return;
    };
    let node = Node::start(&desk, "binauthz");
    cluster_inside::install(&desk, cluster_inside::IMAGE, "--last-known-good")
        .ok()
        .says(&[
            "while no server answers: what namespace binauthz lists",
            "create Role binauthz/binauthz-keeper",
        ]);
    desk.ok(&format!("kubectl -n default run running --image={SYSTEM}"));
    // It looks twice a minute, and leaves nothing to the policy for ten.
    let looked = format!("{TERMS} | jq -e '.metadata.annotations[\"binauthz/in-force\"] | tonumber >= 1'");
    Cluster::eventually(&desk, &format!("{looked} && {}", is_moved_on(false)));
    Cluster::eventually(
        &desk,
        "kubectl get configmap binauthz-last-known-good -o json | grep s.default.default",
    );
    for (verb, what) in [
        ("update", "validatingadmissionpolicies"),
        ("update", "clusterroles"),
        ("delete", "clusterroles/binauthz-last-known-good"),
        ("update", "configmaps"),
        ("create", "pods -n kube-system"),
    ] {
        desk.sh(&format!(
            "kubectl auth can-i {verb} {what} --as=system:serviceaccount:binauthz:binauthz"
        ))
        .exits(1);
    }
    desk.ok(&typed("uninstall"));
    assert_eq!(desk.ok(OBJECTS).text(), "");
    drop(node);
}
