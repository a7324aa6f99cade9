//! The chart, judged by helm and by a real API server.

use binauthz_conformance::{Cluster, Desk, Node, tools};

use crate::cluster_install::typed;
use crate::cluster_last_known_good::{TERMS, is_moved_on};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm/binauthz");
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/monitoring-crds.yaml");
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/manifests");
const IMAGE: &str = "--set=image.repository=registry.example/binauthz --set-string=image.tag=1 \
                     --set=credentialsSecret=binauthz-credentials";
const CUSTOM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/custom-resources.yaml");
const DATABASE: &str = "--set=store.kind=postgresql --set=store.postgresql.urlSecret.name=database";

/// A desk with helm; `helm` in it is the one that was built.
fn desk() -> Option<Desk> {
    if !tools::needs(&["helm"]) {
        return None;
    }
    let mut desk = Desk::with(&["jq", "openssl"])?;
    if let Some(folder) = tools::helm() {
        let path = desk.shell.variable("PATH").unwrap_or_default().to_owned();
        desk.shell.set("PATH", format!("{}:{path}", folder.display()));
    }
    Some(desk)
}

#[test]
fn what_cannot_work_is_not_rendered() {
    let Some(desk) = desk() else { return };
    desk.ok(&format!("helm lint --strict {CHART} {IMAGE}"));
    desk.ok(&format!("helm lint --strict {CHART} {IMAGE} {DATABASE}"));
    let refused = [
        ("--set=image.repository=", "image.repository is missing"),
        (
            "--set-string=image.tag=",
            "image.digest (sha256:…) or image.tag is missing",
        ),
        ("--set=image.digest=sha256:abc", "/image/digest"),
        ("--set=image.tga=1", "tga"),
        ("--set=credentialsSecret=", "credentialsSecret is missing"),
        ("--set=replicas=2", "a SQLite file has one server"),
        ("--set=replicas=0", "/replicas"),
        ("--set=store.kind=mysql", "/store/kind"),
        (
            "--set=store.kind=postgresql",
            "store.postgresql.urlSecret.name is missing",
        ),
        ("--set=clusters[0]=my-cluster", "/clusters/0"),
        ("--set=config.apiListen=0.0.0.0:1", "apiListen"),
        (
            "--set=podSecurityContext.runAsUser=0",
            "/podSecurityContext/runAsUser",
        ),
        (
            "--set=terminationGracePeriodSeconds=1",
            "/terminationGracePeriodSeconds",
        ),
        ("--set=guard.enabled=true", "clusters is empty"),
        ("--set=guard.events=5", "/guard/events"),
        ("--set=guard.lastKnownGood.forHours=2", "without guard.enabled"),
        (
            "--set=guard.enabled=true --set=clusters[0]=projects/p/locations/l/clusters/c \
             --set=guard.lastKnownGood.afterSeconds=70",
            "expected 75 (guard.everySeconds and 15)",
        ),
        (
            "--set=guard.lastKnownGood.forHours=169",
            "/guard/lastKnownGood/forHours",
        ),
        (
            "--set=webhookSecret=a --set=webhookCertificateSecret=b",
            "webhookSecret and webhookCertificateSecret exclude each other",
        ),
        ("--set=webhookSecret=A", "/webhookSecret"),
        ("--set=config.webhookSecret=a", "webhookSecret"),
        ("--set=clientAuthorities.webhook=a", "/clientAuthorities/webhook"),
        ("--set=customResources[0].group=a.example", "/customResources/0"),
        ("--set=extraVolumes[0].emptyDir.medium=Memory", "/extraVolumes/0"),
        ("--set=nonsense=1", "nonsense"),
    ];
    for (value, words) in refused {
        desk.sh(&format!("helm template {CHART} {IMAGE} {value}"))
            .refused(&[words]);
    }
    let replicas = |values: &str| {
        let script =
            format!("helm template {CHART} {IMAGE} {values} | grep -E '^(kind: (Dep|Stat)|  replicas)'");
        desk.ok(&script).text().replace('\n', " ")
    };
    assert_eq!(replicas(""), "kind: Deployment   replicas: 1");
    assert_eq!(replicas(DATABASE), "kind: StatefulSet   replicas: 3");
    assert_eq!(
        replicas(&format!("{DATABASE} --set=replicas=5")),
        "kind: StatefulSet   replicas: 5"
    );
}

#[test]
fn rights_are_there_for_what_is_asked_and_for_nothing_else() {
    let Some(desk) = desk() else { return };
    let guarded =
        format!("{IMAGE} --set=guard.enabled=true --set=clusters[0]=projects/p/locations/l/clusters/c");
    let rendered = |values: &str| desk.ok(&format!("helm template {CHART} {guarded} {values}"));
    rendered("")
        .never_says("resources: [secrets]")
        .never_says("subjectaccessreviews")
        .never_says("tokenreviews")
        .never_says("resources: [events]")
        .never_says("reviewBreakGlass");
    rendered("--set=guard.events=true --set=guard.reviewBreakGlass=true").says(&[
        "resources: [subjectaccessreviews]",
        "resources: [events]",
        "      events: true",
        "      reviewBreakGlass: true",
    ]);
    rendered("--set=webhookSecret=shared").says(&[
        "resources: [secrets]",
        "resourceNames: [shared]",
        "    webhookSecret: shared",
    ]);
    // A server that keeps its certificates there speaks to the API server, whether it guards or not.
    let token = |values: &str| desk.ok(&format!("helm template {CHART} {IMAGE} {values}"));
    token("--set=webhookSecret=shared").says(&["automountServiceAccountToken: true"]);
    token("").never_says("automountServiceAccountToken: true");
    // An issuer whose tokens the cluster judges brings the right to ask it, and another does not.
    rendered("--set=config.issuers[0].issuer=https://k.example").never_says("tokenreviews");
    rendered("--set=config.issuers[0].tokenReview=projects/p/locations/l/clusters/c")
        .says(&["resources: [tokenreviews]"]);
}

/// The manifests that are compiled into the program are those of the chart.
#[test]
fn the_manifests_are_those_of_the_chart() {
    let Some(desk) = desk() else { return };
    desk.ok(&format!(
        "{MANIFESTS}/generate \"$PWD/now.yaml\"
         diff -u {MANIFESTS}/binauthz.yaml now.yaml || {{ echo 'run deploy/manifests/generate'; exit 1; }}"
    ));
}

/// Value sets that between them reach every line of the templates.
#[test]
fn an_api_server_takes_what_is_rendered() {
    let Some(mut desk) = desk() else { return };
    let Some(cluster) = Cluster::take() else { return };
    let namespace = cluster.attach(&mut desk);
    desk.write(
        "everything.yaml",
        "clusters: [projects/demo/locations/us-central1-a/clusters/my-cluster]
config: {requirePolicy: true, journalKeepDays: 90, issuers: [
  {issuer: 'https://kubernetes.default.svc', audiences: [binauthz], tokenReview: projects/demo/locations/us-central1-a/clusters/my-cluster}]}
extraArgs: [--googleapis]
guard: {enabled: true, everySeconds: 30, events: true, reviewBreakGlass: true, lastKnownGood: {afterSeconds: 60, forHours: 2}}
webhookSecret: shared
clientAuthorities: {webhook: \"-----BEGIN CERTIFICATE-----\", api: \"-----BEGIN CERTIFICATE-----\"}
customResources: [{group: a.example, versions: [v1], resource: runners, kind: Runner, images: ['spec.image']}]
extraEnv: [{name: RUST_BACKTRACE, value: '1'}]
extraVolumes: [{name: more, emptyDir: {}}]
extraVolumeMounts: [{name: more, mountPath: /more}]
image: {pullSecrets: [registry], digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}
service: {type: LoadBalancer, annotations: {team: platform}}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [
  {weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {}}}]}}
podAnnotations: {team: platform}
networkPolicy:
  webhookFrom: [{ipBlock: {cidr: 10.0.0.0/28}}]
  apiFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ci}}}]
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  egress: [{ports: [{port: 443}]}]
monitoring: {serviceMonitor: {enabled: true, labels: {team: a}}, rules: {enabled: true, labels: {team: a}}}
",
    );
    desk.ok(&format!(
        "kubectl apply -f {CRDS}
         kubectl wait --for=condition=Established -f {CRDS}
         # What a Pod in it needs is the strictest there is.
         kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=restricted"
    ));
    for values in [
        "",
        DATABASE,
        "--values=everything.yaml",
        &format!("{DATABASE} --values=everything.yaml"),
        "--set=webhookCertificateSecret=webhook",
    ] {
        let applied = desk.ok(&format!(
            "helm template binauthz {CHART} --namespace={namespace} {IMAGE} {values} >rendered.yaml
             kubectl apply --server-side --validate=strict --dry-run=server -f rendered.yaml >/dev/null
             kubectl apply --server-side --validate=strict -f rendered.yaml
             kubectl get deployment,statefulset -o json |
                 jq '{{apiVersion: \"v1\", kind: \"Pod\", metadata: {{name: \"probe\"}},
                     spec: (.items[0].spec.template.spec | .volumes += (if any(.volumes[]; .name == \"data\") then []
                         else [{{name: \"data\", emptyDir: {{}}}}] end))}}' |
                 kubectl create --dry-run=server -f -
             kubectl delete -f rendered.yaml --wait=false >/dev/null"
        ));
        applied.says(&[
            "serviceaccount/binauthz",
            "service/binauthz-webhook",
            "poddisruptionbudget",
        ]);
    }
    desk.ok(&format!("kubectl delete -f {CRDS}"));
}

#[test]
fn helm_installs_upgrades_and_uninstalls_and_the_webhooks_come_and_go_beside_it() {
    let Some(mut desk) = desk() else { return };
    let Some(cluster) = Cluster::take() else { return };
    let namespace = cluster.attach(&mut desk);
    let name = "projects/demo/locations/us-central1-a/clusters/my-cluster";
    let release = format!(
        "binauthz {CHART} --namespace={namespace} {IMAGE} --set='clusters[0]={name}' --set=config.requirePolicy=true"
    );
    desk.ok(&format!(
        "binauthz cluster credentials --namespace={namespace} >secret.yaml
         kubectl create -f secret.yaml
         kubectl get secret binauthz-credentials -o jsonpath='{{.data.authority\\.pem}}' | base64 -d >authority.pem"
    ));
    desk.ok(&format!("helm install {release}")).says(&[
        "STATUS: deployed",
        "cluster install",
        "cluster uninstall",
    ]);
    // Before the server runs nothing is guarded, and nothing is stopped.
    let anything = "kubectl --namespace=default run anything --image=registry.k8s.io/pause:3.9";
    desk.ok(&format!("{anything} --dry-run=server"));

    let node = Node::start(&desk, &namespace);
    desk.ok("kubectl rollout status deployment/binauthz --timeout=60s");
    let binauthz =
        |verb: &str, flags: &str| format!("{} --project=demo {flags} {}", typed(verb), node.flags());
    let webhook = format!("--service={namespace}/binauthz-webhook:8443 --webhook-ca=authority.pem");
    desk.ok(&binauthz("install", &webhook))
        .says(&["is denied", "Installed"]);
    desk.sh(anything).refused(&["denied the request"]);

    // Another replica takes the place of the first, and the webhooks stay as they are.
    let pod = "kubectl get pods -o name";
    let before = desk.ok(pod).text().to_owned();
    desk.ok(&format!("helm upgrade {release} --set=config.journalKeepDays=90"));
    desk.ok("kubectl rollout status deployment/binauthz --timeout=60s");
    assert_ne!(desk.ok(pod).text(), before);
    desk.ok(&binauthz("status", "")).says(&["guarded"]);
    desk.sh(&format!("helm upgrade {release} --set=replicas=3"))
        .refused(&["a SQLite file has one server"]);
    desk.ok(&binauthz("status", "")).says(&["guarded"]);

    desk.ok(&binauthz("uninstall", "")).says(&["Uninstalled"]);
    desk.ok(
        "helm uninstall binauthz --namespace=$(kubectl config view --minify -o jsonpath='{..namespace}')",
    );
    // The keys and the log stay.
    let left = "kubectl get deployment,service,persistentvolumeclaim,networkpolicy,poddisruptionbudget,configmap -o name";
    assert_eq!(
        desk.ok(left).text(),
        "persistentvolumeclaim/binauthz\nconfigmap/kube-root-ca.crt"
    );
    desk.ok(&format!("{anything} --dry-run=server"));
}

/// Values that are files, rights and settings of a server, as one does that runs with them.
#[test]
fn what_the_values_say_the_server_does() {
    let Some(mut desk) = desk() else { return };
    // What is last known to be good takes an API server that had no such policy before.
    let Some(cluster) = Cluster::with_flags(&[]) else {
        return;
    };
    let Some(callers) = cluster.callers() else { return };
    let namespace = cluster.attach(&mut desk);
    let name = "projects/demo/locations/us-central1-a/clusters/my-cluster";
    desk.write(
        "values.yaml",
        &format!(
            "clusters: [{name}]
webhookSecret: shared
guard: {{enabled: true, everySeconds: 1, lastKnownGood: {{afterSeconds: 16, forHours: 2}}}}
"
        ),
    );
    desk.ok(&format!(
        "binauthz cluster credentials --namespace={namespace} | kubectl create -f -
         helm install binauthz {CHART} --namespace={namespace} {IMAGE} --values=values.yaml --values={CUSTOM} \
             --set-file=clientAuthorities.webhook={}",
        callers.display()
    ));
    let node = Node::start(&desk, &namespace);
    desk.ok("kubectl rollout status deployment/binauthz --timeout=60s");
    // The replicas' authority is in the Secret, and whoever shows no certificate is not answered: curl hears of the alert, or
    // only of the end of a connection that there was.
    desk.ok("kubectl get secret shared
         cp node/var/lib/binauthz/data/webhook-ca.pem authority.pem
         ended=0
         curl --silent --show-error --cacert authority.pem \
             \"https://$(kubectl get service binauthz-webhook -o jsonpath='{.spec.clusterIP}'):8443/\" || ended=$?
         echo $ended | grep --line-regexp -e 35 -e 56");
    let can = |verb: &str, what: &str| {
        desk.sh(&format!(
            "kubectl auth can-i {verb} {what} --as=system:serviceaccount:{namespace}:binauthz"
        ))
    };
    can("update", "secrets/shared").ok();
    for (verb, what) in [
        ("get", "secrets/binauthz-credentials"),
        ("delete", "secrets/shared"),
        ("list", "secrets"),
        ("create", "secrets -n default"),
    ] {
        can(verb, what).exits(1);
    }
    desk.ok(&format!(
        "{} --project=demo --service={namespace}/binauthz-webhook:8443 --webhook-ca=authority.pem \
             --custom-resources={CUSTOM} --last-known-good {}",
        typed("install"),
        node.flags()
    ))
    .says(&["create Role", "Installed"]);
    // It keeps the list, for the hours that were said.
    Cluster::eventually(&desk, &is_moved_on(true));
    desk.ok(&format!(
        "{TERMS} | jq -e '[.rules[] | select(.resources == [\"hours\"]) | .resourceNames[]] | length == 3'"
    ));
    // And it knows what a Rollout is.
    desk.write(
        "rollout.yaml",
        "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r},
          spec: {template: {spec: {containers: [{name: c, image: a}]}}}}",
    );
    desk.ok(&format!(
        "binauthz decide rollout.yaml --project=demo {}",
        node.flags()
    ))
    .says(&["ADMITTED"]);
    desk.ok(&format!("{} --project=demo {}", typed("uninstall"), node.flags()));
}
