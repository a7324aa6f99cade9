//! Certificates of the webhook, changed while a real API server asks: nobody notices, and nobody else is let in.

use std::path::{Path, PathBuf};

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::shell::Shell;
use binauthz_conformance::{Cluster, Desk, tools};
use tempfile::TempDir;

use crate::cluster_install::{desk, desk_with, install, typed};
use crate::own_commands::SIGN;
use crate::story;

/// Two authorities and a dozen serving certificates follow each other within a minute.
const LIFETIMES: &str = "authorityLifetimeSeconds: 30\ncertificateLifetimeSeconds: 10\n";

/// A folder for what is there before the server is.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn configuration(folder: &Path, text: &str) -> String {
    let file = folder.join("binauthz.yaml");
    std::fs::write(&file, text).expect("a file can be written");
    file.display().to_string()
}

/// Asks the API server in a dry run, again and again and two at a time, for so many seconds: an attested image must be
/// admitted and another denied by the policy. Everything else is a failure; prints how many requests there were.
fn load(desk: &Desk, seconds: u32) -> u32 {
    let image = |digit: &str| format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64));
    desk.ok(&format!(
        "{SIGN} --artifact-url={} {}",
        image("a"),
        story::KEY_VERSION
    ));
    for (name, digit) in [("signed", "a"), ("unsigned", "b")] {
        let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", "image": image(digit)}]}});
        desk.write(&format!("{name}.json"), &pod.to_string());
    }
    let asked = desk.ok(&format!(
        r#"kubectl config view --raw --minify -o json >raw.json
        part() {{ jq -r ".$1" raw.json | base64 -d >"$2"; }}
        part 'clusters[0].cluster["certificate-authority-data"]' api-ca.pem
        part 'users[0].user["client-certificate-data"]' api.pem
        part 'users[0].user["client-key-data"]' api.key
        url="$(jq -r '.clusters[0].cluster.server' raw.json)/api/v1/namespaces/default/pods?dryRun=All"
        ask() {{ curl -sS --max-time 20 --cacert api-ca.pem --cert api.pem --key api.key \
            -H 'Content-Type: application/json' --data-binary @"$1.json" "$url"; }}
        work() {{
            local count=0
            while [ "$SECONDS" -lt {seconds} ]; do
                ask signed >"answer-$1.json"
                grep -q '"kind": *"Pod"' "answer-$1.json" || {{ cat "answer-$1.json"; return 1; }}
                ask unsigned >"answer-$1.json"
                grep -q 'No attestations found' "answer-$1.json" || {{ cat "answer-$1.json"; return 1; }}
                count=$((count + 2))
            done
            echo "$count" >"count-$1"
        }}
        work 1 & first=$!
        work 2 & second=$!
        wait "$first"
        wait "$second"
        echo $(($(cat count-1) + $(cat count-2)))"#
    ));
    asked.text().parse().expect("a number of requests")
}

/// In the background: each certificate that the webhook serves with, and each authority there is.
fn watch(desk: &Desk, seconds: u32) -> std::thread::JoinHandle<(usize, usize)> {
    let mut shell = desk.shell.clone();
    shell.set("ADDRESS", desk.server.webhook.trim_start_matches("https://"));
    let script = format!(
        r#"while [ "$SECONDS" -lt {seconds} ]; do
            openssl s_client -connect "$ADDRESS" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint >>leaves || true
            head -n 3 "$DATA/webhook-ca.pem" | sha256sum >>authorities
            sleep 0.5
        done
        sort -u leaves | wc -l
        sort -u authorities | wc -l"#
    );
    std::thread::spawn(move || {
        let ran = shell.run(&script).ok();
        let mut numbers = ran
            .text()
            .lines()
            .map(|line| line.trim().parse().unwrap_or(0))
            .collect::<Vec<_>>();
        let authorities = numbers.pop().unwrap_or(0);
        (numbers.pop().unwrap_or(0), authorities)
    })
}

#[test]
fn authorities_follow_each_other_and_no_request_fails() {
    let Some(cluster) = Cluster::take() else { return };
    let folder = folder();
    let kubeconfig = cluster.kubeconfig().display();
    let text = format!(
        "guard: {{clusters: ['{CLUSTER}={CONTEXT}'], everySeconds: 1, kubeconfig: '{kubeconfig}'}}\n{LIFETIMES}"
    );
    let config = configuration(folder.path(), &text);
    let Some(desk) = desk(&cluster, &["--config", &config]) else {
        return;
    };
    install(&desk, "").ok();
    let first = std::fs::read_to_string(desk.server.webhook_ca()).expect("it is there");
    let watching = watch(&desk, 55);
    let requests = load(&desk, 55);
    let (leaves, authorities) = watching.join().expect("it ended well");
    assert!(requests > 200, "{requests}");
    assert!(leaves >= 5, "{leaves}");
    assert!(authorities >= 3, "{authorities}");
    // What is written is what `install` would write, and the first authority is gone from it.
    desk.ok(&typed("status"))
        .says(&["validating:   as shipped", "mutating:     as shipped"]);
    let bundle = desk.ok(
        "kubectl get validatingwebhookconfiguration binauthz -o jsonpath='{.webhooks[0].clientConfig.caBundle}' | base64 -d",
    );
    assert!(
        !bundle.text().contains(first.trim()),
        "the first authority has ended"
    );
    assert!(!desk.server.logged().contains("TRUST_NOT_RENEWED"));
}

/// A service account with the rights that the reference names, and nothing else; its folder as the kubelet would fill it.
fn service_account(cluster: &Cluster, folder: &Path, with_secrets: bool) -> (Shell, PathBuf) {
    let account = folder.join("account");
    let mut shell = cluster.administrator(folder);
    shell.set("ACCOUNT", account.display().to_string());
    shell.run(r#"mkdir -p "$ACCOUNT"
        kubectl create namespace by-hand --dry-run=client -o yaml | kubectl apply -f -
        kubectl delete secret --namespace=by-hand binauthz-webhook --ignore-not-found
        kubectl delete role,rolebinding --namespace=by-hand --all
        kubectl delete role,rolebinding --namespace=default canary-by-hand --ignore-not-found
        kubectl delete clusterrole,clusterrolebinding guard-by-hand --ignore-not-found
        kubectl create serviceaccount binauthz --namespace=by-hand --dry-run=client -o yaml | kubectl apply -f -
        kubectl create clusterrole guard-by-hand --verb=get,update \
            --resource=validatingwebhookconfigurations,mutatingwebhookconfigurations
        kubectl create clusterrolebinding guard-by-hand --clusterrole=guard-by-hand --serviceaccount=by-hand:binauthz
        kubectl create role canary-by-hand --namespace=default --verb=create --resource=pods
        kubectl create rolebinding canary-by-hand --namespace=default --role=canary-by-hand \
            --serviceaccount=by-hand:binauthz
        kubectl create token binauthz --namespace=by-hand >"$ACCOUNT/token"
        printf by-hand >"$ACCOUNT/namespace"
        kubectl config view --raw --minify -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' |
            base64 -d >"$ACCOUNT/ca.crt""#).ok();
    if with_secrets {
        shell.run("kubectl create role binauthz-webhook --namespace=by-hand --verb=get,create,update --resource=secrets
            kubectl create rolebinding binauthz-webhook --namespace=by-hand --role=binauthz-webhook \
                --serviceaccount=by-hand:binauthz").ok();
    }
    (shell, account)
}

/// What the kubelet would set.
fn environment(shell: &Shell) -> Vec<(&'static str, String)> {
    let server = shell
        .run("kubectl config view --raw --minify -o jsonpath='{.clusters[0].cluster.server}'")
        .ok();
    let server = server.text();
    let (host, port) = server
        .trim_start_matches("https://")
        .rsplit_once(':')
        .expect("a host and a port");
    vec![
        ("KUBERNETES_SERVICE_HOST", host.to_owned()),
        ("KUBERNETES_SERVICE_PORT", port.to_owned()),
    ]
}

fn fingerprint(desk: &Desk) -> String {
    let address = desk.server.webhook.trim_start_matches("https://").to_owned();
    desk.ok(&format!(
        "openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    ))
    .text()
    .to_owned()
}

#[test]
fn replicas_share_their_certificates_in_a_secret_and_do_not_fight() {
    let Some(cluster) = Cluster::take() else { return };
    let folder = folder();
    let (shell, account) = service_account(&cluster, folder.path(), true);
    let text = format!(
        "guard: {{clusters: ['{CLUSTER}'], everySeconds: 1, serviceAccount: '{}'}}\nwebhookSecret: binauthz-webhook\n{LIFETIMES}",
        account.display()
    );
    let config = configuration(folder.path(), &text);
    let inside = environment(&shell);
    let options = ["--config", config.as_str()];
    let Some(one) = desk_with(&cluster, &options, &inside) else {
        return;
    };
    let Some(other) = Desk::with_environment(&["jq"], &options, &inside) else {
        return;
    };
    install(&one, "").ok();
    let bundle = |desk: &Desk| std::fs::read_to_string(desk.server.webhook_ca()).expect("it is there");
    let first = bundle(&one);
    assert_eq!(first, bundle(&other));
    assert_eq!(fingerprint(&one), fingerprint(&other));
    let requests = load(&one, 40);
    assert!(requests > 100, "{requests}");
    // Another authority signs by now, and both have the same one.
    Cluster::eventually(
        &one,
        &format!(
            "cmp \"$DATA/webhook-ca.pem\" '{}'",
            other.server.webhook_ca().display()
        ),
    );
    assert!(!bundle(&one).starts_with(&first));
    let shared = shell
        .run("kubectl get secret binauthz-webhook --namespace=by-hand -o jsonpath='{.data.ca\\.crt}' | base64 -d")
        .ok();
    assert!(shared.text().contains("BEGIN CERTIFICATE"));
    for desk in [&one, &other] {
        assert!(!desk.server.logged().contains("cannot renew"), "they take turns");
    }
    one.ok(&typed("status")).says(&["as shipped"]);
    // The other speaks for the same cluster with the same authority: a replica's end is nobody's outage.
    let url = other.server.webhook.clone();
    one.ok(&format!("{} --webhook-url={url}", typed("install")));
}

#[test]
fn a_secret_without_the_right_to_it_is_said_at_the_start() {
    let Some(cluster) = Cluster::take() else { return };
    let folder = folder();
    let (shell, account) = service_account(&cluster, folder.path(), false);
    let text = format!(
        "guard: {{serviceAccount: '{}'}}\nwebhookSecret: binauthz-webhook\n",
        account.display()
    );
    let config = configuration(folder.path(), &text);
    let mut shell = shell;
    let data = folder.path().join("data").display().to_string();
    let command = format!(
        "{} serve --dev --data-dir '{data}' --config '{config}'",
        tools::binauthz().display()
    );
    shell
        .run(&command)
        .refused(&["webhookSecret", "KUBERNETES_SERVICE_HOST"]);
    for (name, value) in environment(&shell) {
        shell.set(name, value);
    }
    shell
        .run(&command)
        .refused(&["the Secret `binauthz-webhook`", "Forbidden"]);
}

/// A certificate as cert-manager would have it made.
fn issue(desk: &Desk, name: &str) {
    desk.ok(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} \
            -keyout {name}.key -out {name}.pem
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=webhook \
            -keyout {name}-tls.key -out {name}-tls.csr
         printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n' >{name}.ext
         openssl x509 -req -in {name}-tls.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 \
            -extfile {name}.ext -out {name}-tls.crt"
    ));
}

#[test]
fn a_certificate_of_cert_manager_is_taken_from_its_files_and_its_authority_is_left_to_it() {
    let Some(cluster) = Cluster::take() else { return };
    let folder = folder();
    // The first certificate, before there is a server.
    let mut shell = cluster.administrator(folder.path());
    let tls = folder.path().join("tls");
    std::fs::create_dir(&tls).expect("a folder can be made");
    shell.set("TLS", tls.display().to_string());
    shell
        .run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=first \
            -addext subjectAltName=IP:127.0.0.1 -keyout \"$TLS/tls.key\" -out \"$TLS/tls.crt\"",
        )
        .ok();
    let kubeconfig = cluster.kubeconfig().display();
    let text = format!(
        "guard: {{clusters: ['{CLUSTER}={CONTEXT}'], everySeconds: 1, kubeconfig: '{kubeconfig}'}}\n\
         webhookCertificates: '{}'\n",
        tls.display()
    );
    let config = configuration(folder.path(), &text);
    let Some(mut desk) = desk(&cluster, &["--config", &config]) else {
        return;
    };
    desk.shell.set("TLS", tls.display().to_string());
    install(
        &desk,
        "--webhook-ca=\"$TLS/tls.crt\" --inject-ca-from=binauthz/webhook",
    )
    .ok();
    desk.ok(
        "kubectl get validatingwebhookconfiguration,mutatingwebhookconfiguration binauthz -o yaml | \
         grep -c 'cert-manager.io/inject-ca-from: binauthz/webhook' | grep -qx 2",
    );
    desk.ok(&typed("status"));

    // cert-manager renews: it writes both authorities, then the certificate.
    issue(&desk, "second");
    desk.ok("bundle=\"$(cat \"$TLS/tls.crt\" second.pem | base64 -w0)\"
        for kind in validating mutating; do
            kubectl patch ${kind}webhookconfiguration binauthz --type=json \
                -p \"[{\\\"op\\\": \\\"replace\\\", \\\"path\\\": \\\"/webhooks/0/clientConfig/caBundle\\\", \\\"value\\\": \\\"$bundle\\\"}]\"
        done");
    desk.ok(&typed("status")).says(&["validating:   as shipped"]);
    let before = fingerprint(&desk);
    let swap = {
        let shell = desk.shell.clone();
        std::thread::spawn(move || {
            shell
                .run(
                    "sleep 3; cp second-tls.crt \"$TLS/new.crt\"; cp second-tls.key \"$TLS/new.key\"
                    mv \"$TLS/new.crt\" \"$TLS/tls.crt\"; mv \"$TLS/new.key\" \"$TLS/tls.key\"",
                )
                .ok();
        })
    };
    assert!(load(&desk, 10) > 50);
    swap.join().expect("it ended well");
    assert_ne!(before, fingerprint(&desk), "served within five seconds");
    // `install` leaves to cert-manager what is its own, and mends the rest.
    desk.ok(
        "kubectl patch validatingwebhookconfiguration binauthz --type=json \
        -p '[{\"op\": \"replace\", \"path\": \"/webhooks/0/failurePolicy\", \"value\": \"Ignore\"}]'",
    );
    desk.sh(&typed("status")).exits(1);
    install(&desk, "--webhook-ca=second.pem --inject-ca-from=binauthz/webhook").ok();
    desk.ok(&typed("status"));
    assert!(!desk.server.logged().contains("wrote the certificate authorities"));
    // A damaged file changes nothing.
    desk.ok("printf broken >\"$TLS/tls.crt\"; sleep 3");
    desk.ok(&typed("status"));
}

#[test]
fn an_api_server_without_the_right_certificate_is_not_answered() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(callers) = cluster.callers() else { return };
    let folder = folder();
    let right = configuration(
        folder.path(),
        &format!("webhookClientAuthorities: '{}'\n", callers.display()),
    );
    {
        let Some(desk) = desk(&cluster, &["--config", &right]) else {
            return;
        };
        install(&desk, "").ok().says(&["is denied: Image"]);
        desk.ok(&typed("status"));
        desk.ok(&typed("uninstall"));
        // The certificate speaks for one cluster and for no other.
        let other = typed("install").replace("cluster install my-cluster", "cluster install other");
        desk.sh(&format!("{other} --webhook-url=\"$WEBHOOK\""))
            .refused(&["does not reach the webhook", "changed back"]);
        assert!(desk.server.logged().contains("is not bound to the cluster"));
        // Nobody else comes as far as a request.
        let curl = "curl -sS -w '%{http_code}' --cacert \"$DATA/webhook-ca.pem\" \"$WEBHOOK/admit/projects/demo/locations/us-central1-a/clusters/my-cluster\"";
        // curl may hear of the alert or only of the end of the connection; either way there was no answer.
        desk.sh(curl).refused(&["000"]);
    }
    let mut shell = cluster.administrator(folder.path());
    shell.set("OUT", folder.path().display().to_string());
    shell.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=strangers \
        -keyout \"$OUT/strangers.key\" -out \"$OUT/strangers.pem\"").ok();
    let strangers = folder.path().join("strangers.pem");
    let wrong = configuration(
        folder.path(),
        &format!("webhookClientAuthorities: '{}'\n", strangers.display()),
    );
    let Some(desk) = desk(&cluster, &["--config", &wrong]) else {
        return;
    };
    install(&desk, "").refused(&["does not reach the webhook", "changed back"]);
}
