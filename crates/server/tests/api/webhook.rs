//! The webhook's verdicts over real TLS.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use binauthz_server::Flags;
use serde_json::{Value, json};

use crate::court::{
    ATTESTOR, CLUSTER, Court, KEY_ID, always, client, created, pod, require_attestation, updated,
};
use crate::support::{Desk, audit_row, flags};

const BREAK_GLASS: &str = "image-policy.k8s.io/break-glass";
const BREAK_GLASS_REASON: &str = "alpha.image-policy.k8s.io/break-glass";

#[tokio::test]
async fn an_unsigned_image_is_denied_with_the_sentence_people_know() {
    let court = Court::new().await;
    let image = court.unsigned();
    let verdict = court.pod(&[&image]).await;
    let id = court.record().await["id"].as_str().unwrap().to_owned();
    assert_eq!(
        verdict.denial(),
        format!(
            "Image {image} denied by attestor {ATTESTOR}: No attestations found. \
             By the default admission rule of projects/p/policy. To see why: binauthz explain {id} --project=p"
        )
    );
    let cause = &verdict.0["response"]["status"]["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.containers[0]");

    let tag = "us-central1-docker.pkg.dev/p/app/unattested-image:latest";
    let verdict = court.pod(&[tag]).await;
    let sentence = format!("Image {tag} denied by attestor {ATTESTOR}: No attestations found");
    assert!(verdict.denial().starts_with(&sentence), "{}", verdict.denial());

    let record = court.record().await;
    assert_eq!(
        (&record["verdict"], &record["reason"]),
        (&json!("DENY"), &json!("NOT_PINNED"))
    );
    assert_eq!(record["user"], "alice@example.com");
    assert_eq!(record["cluster"], CLUSTER);
}

#[tokio::test]
async fn the_same_image_is_admitted_once_it_is_signed() {
    let court = Court::new().await;
    let image = court.unsigned();
    court.pod(&[&image]).await.denial();
    let occurrence = court.attest(&image).await;
    for (http2, version) in [(true, "HTTP/2.0"), (false, "HTTP/1.1")] {
        let url = court.url(&format!("/admit/{CLUSTER}"));
        let answer = client(&court.desk, http2)
            .post(url)
            .json(&created(pod(&[&image])))
            .send()
            .await
            .unwrap();
        assert_eq!(format!("{:?}", answer.version()), version);
        assert_eq!(answer.json::<Value>().await.unwrap()["response"]["allowed"], true);
    }
    // Cold, then warm: the same verdict.
    for _ in 0..2 {
        court.pod(&[&image]).await.admitted();
        let record = court.record().await;
        assert_eq!(
            (&record["verdict"], &record["reason"]),
            (&json!("ALLOW"), &json!("ATTESTED"))
        );
        let reason = &record["images"][0]["reasons"][0];
        assert_eq!(
            (&reason["attestor"], &reason["key"]),
            (&json!(ATTESTOR), &json!(KEY_ID))
        );
        assert_eq!(reason["occurrence"], occurrence.as_str());
        assert!(
            record["attestors"][ATTESTOR].is_u64(),
            "which keys were trusted: {record}"
        );
    }
}

#[tokio::test]
async fn break_glass_opens_and_is_recorded_with_the_verdict_it_overrode() {
    let court = Court::new().await;
    let image = court.unsigned();
    let opened = |kind: &str, key: &str, value: &str| {
        let mut pod = pod(&[&image]);
        pod["metadata"][kind] = json!({ key: value });
        created(pod)
    };
    let doors = [
        ("labels", BREAK_GLASS, "true", ""),
        (
            "annotations",
            BREAK_GLASS_REASON,
            "INC-1234: payments are down",
            "INC-1234: payments are down",
        ),
    ];
    for (kind, key, value, justification) in doors {
        let verdict = court.admit(&opened(kind, key, value)).await;
        verdict.admitted();
        let annotations = &verdict.0["response"]["auditAnnotations"];
        assert_eq!(annotations["break-glass"], "true");
        assert!(
            annotations["overridden-verification-result"]
                .as_str()
                .unwrap()
                .contains("No attestations found")
        );
        let record = court.record().await;
        assert_eq!(
            (&record["verdict"], &record["effect"]),
            (&json!("ALLOW"), &json!("BREAK_GLASS"))
        );
        assert_eq!(
            (&record["conforms"], &record["reason"]),
            (&json!(false), &json!("NO_ATTESTATIONS"))
        );
        assert_eq!(record["justification"], justification);
    }
    for (kind, key, value) in [
        ("labels", BREAK_GLASS, "false"),
        ("labels", BREAK_GLASS, "TRUE"),
        ("labels", BREAK_GLASS, ""),
        ("labels", BREAK_GLASS_REASON, "true"),
        ("annotations", BREAK_GLASS, "true"),
        ("annotations", BREAK_GLASS_REASON, "false"),
        ("annotations", BREAK_GLASS_REASON, " "),
    ] {
        court.admit(&opened(kind, key, value)).await.denial();
    }
    // A Pod that conforms is recorded as opened all the same, with nothing overridden.
    let signed = court.signed().await;
    let mut conforming = pod(&[&signed]);
    conforming["metadata"]["labels"] = json!({ BREAK_GLASS: "true" });
    court.admit(&created(conforming)).await.admitted();
    let record = court.record().await;
    assert_eq!(
        (&record["effect"], &record["conforms"]),
        (&json!("BREAK_GLASS"), &json!(true))
    );
}

#[tokio::test]
async fn dry_run_lets_through_warns_and_records() {
    let court = Court::new().await;
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    let verdict = court.pod(&[&court.unsigned()]).await;
    verdict.admitted();
    assert!(
        verdict.0["response"]["warnings"][0]
            .as_str()
            .unwrap()
            .contains("No attestations found"),
        "{}",
        verdict.0
    );
    assert_eq!(verdict.0["response"]["auditAnnotations"]["dry-run"], "true");
    let record = court.record().await;
    assert_eq!(
        (&record["effect"], &record["conforms"]),
        (&json!("DRY_RUN"), &json!(false))
    );
    assert_eq!(record["dryRun"], false, "that is the request's own dry run");
}

#[tokio::test]
async fn a_request_that_is_itself_a_dry_run_is_judged_flagged_and_counted_nowhere() {
    let court = Court::new().await;
    let mut opened = pod(&[&court.unsigned()]);
    opened["metadata"]["labels"] = json!({ BREAK_GLASS: "true" });
    let mut review = created(opened);
    review["request"]["dryRun"] = true.into();
    court.admit(&review).await.admitted();
    assert_eq!(court.record().await["dryRun"], true);
    let metrics = court.desk.health("/metrics").await.1;
    let counted = metrics
        .lines()
        .any(|line| line.contains("BREAK_GLASS") && !line.starts_with('#') && !line.ends_with(" 0"));
    assert!(!counted, "{metrics}");
}

#[tokio::test]
async fn every_change_takes_effect_on_the_next_request() {
    let court = Court::new().await;
    let image = court.unsigned();
    let occurrence = court.attest(&image).await;
    court.pod(&[&image]).await.admitted();

    court.desk.delete(&format!("/v1/{occurrence}")).await.ok();
    court.pod(&[&image]).await.denial();
    court.attest(&image).await;
    court.pod(&[&image]).await.admitted();

    court
        .desk
        .put(&format!("/v1/{ATTESTOR}"), court.attestor(false))
        .await
        .ok();
    assert!(
        court
            .pod(&[&image])
            .await
            .denial()
            .contains("the attestor has no public keys")
    );
    court
        .desk
        .put(&format!("/v1/{ATTESTOR}"), court.attestor(true))
        .await
        .ok();
    court.pod(&[&image]).await.admitted();

    court.policy(always("ALWAYS_DENY")).await;
    assert!(
        court
            .pod(&[&image])
            .await
            .denial()
            .contains("default admission rule")
    );
    court
        .policy(require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG"))
        .await;
    court.pod(&[&image]).await.admitted();

    court.desk.delete(&format!("/v1/{CLUSTER}")).await.ok();
    assert!(court.pod(&[&image]).await.denial().contains("is not registered"));
    assert_eq!(court.record().await["reason"], "CLUSTER_NOT_REGISTERED");
}

/// A thousand changes, each followed at once by a question, while others keep asking and filling the caches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verdict_is_older_than_the_last_answered_change() {
    let court = Arc::new(Court::new().await);
    let done = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..3)
        .map(|_| {
            let (court, done) = (Arc::clone(&court), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    court.pod(&["nginx"]).await.allowed();
                }
            })
        })
        .collect();
    let mut verdicts = std::collections::BTreeMap::new();
    for flip in 0..1_000 {
        let allow = flip % 2 == 0;
        let stored = court
            .policy(always(if allow { "ALWAYS_ALLOW" } else { "ALWAYS_DENY" }))
            .await;
        verdicts.insert(stored["etag"].as_str().unwrap().to_owned(), allow);
        assert_eq!(court.pod(&["nginx"]).await.allowed(), allow, "flip {flip}");
    }
    done.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
    // Every record names the policy it was decided by, and says what that policy says.
    let mut judged = 0;
    for record in journal(court.desk.folder()) {
        let Some(etag) = record["policy"]["etag"].as_str() else {
            continue;
        };
        // The first asked while the policy of `Court::new` was in force.
        if let Some(allow) = verdicts.get(etag) {
            let verdict = if *allow { "ALLOW" } else { "DENY" };
            assert_eq!(record["verdict"], verdict, "{record}");
            judged += 1;
        } else {
            assert_eq!(
                record["images"][0]["reasons"][0]["code"], "NOT_PINNED",
                "{record}"
            );
        }
    }
    assert!(judged >= 1_000, "{judged}");
}

/// Every verdict of the journal, as it is on disk.
fn journal(folder: &std::path::Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder.join("journal")).unwrap();
    let segments = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
    let records = segments.flat_map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text
            .trim_end_matches('\0')
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines
    });
    // The others are what the log writes about itself.
    records.filter(|record| record.get("log").is_none()).collect()
}

/// PO-01: of two writers who read the same policy, the second is told.
#[tokio::test]
async fn the_second_of_two_writers_with_one_etag_is_refused() {
    let court = Court::new().await;
    let read = court.desk.get("/v1/projects/p/policy").await.ok();
    let with = |mode: &str| json!({ "defaultAdmissionRule": always(mode), "etag": read["etag"] });
    court
        .desk
        .put("/v1/projects/p/policy", with("ALWAYS_DENY"))
        .await
        .ok();
    let second = court
        .desk
        .put("/v1/projects/p/policy", with("ALWAYS_ALLOW"))
        .await;
    second.refused("ABORTED", "etag");
    court.pod(&["nginx"]).await.denial();
}

/// The same for evidence: attested, asked, deleted, asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_proof_outlives_its_occurrence() {
    let court = Arc::new(Court::new().await);
    let image = court.unsigned();
    let done = Arc::new(AtomicBool::new(false));
    let other = {
        let (court, done, image) = (Arc::clone(&court), Arc::clone(&done), image.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                court.pod(&[&image]).await.allowed();
            }
        })
    };
    for _ in 0..150 {
        let occurrence = court.attest(&image).await;
        court.pod(&[&image]).await.admitted();
        court.desk.delete(&format!("/v1/{occurrence}")).await.ok();
        court.pod(&[&image]).await.denial();
    }
    done.store(true, Ordering::Relaxed);
    other.await.unwrap();
}

#[tokio::test]
async fn without_a_journal_enforced_verdicts_deny_and_break_glass_opens() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let flags = flags(folder.path());
    let folder = Desk::with(folder, flags.clone()).await.stop().await;
    let segment = journal.join("segment-0000000001.jsonl");
    std::fs::remove_file(&segment).unwrap();
    symlink("/dev/full", segment).unwrap();
    let desk = Desk::with(folder, flags).await;
    // The full disk is found by the first record; without a folder there is no second segment either.
    std::fs::remove_dir_all(&journal).unwrap();
    let court = Court::on(desk).await;
    let image = court.signed().await;
    for _ in 0..2 {
        let verdict = court.pod(&[&image]).await;
        assert!(
            verdict.denial().contains("could not be recorded"),
            "{}",
            verdict.denial()
        );
        let mut opened = pod(&[&image]);
        opened["metadata"]["labels"] = json!({ BREAK_GLASS: "true" });
        court.admit(&created(opened)).await.admitted();
    }
    let metrics = court.desk.health("/metrics").await.1;
    let shouted = metrics
        .lines()
        .any(|line| line.contains("unrecorded") && line.contains("break_glass") && line.ends_with(" 2"));
    assert!(shouted, "{metrics}");
}

#[tokio::test]
async fn where_allows_may_wait_they_are_recorded_and_a_full_disk_denies_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, "auditAllowsMayWait: true\n").unwrap();
    let journal_folder = folder.path().join("journal");
    let flags = Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    let court = Court::on(Desk::with(folder, flags.clone()).await).await;
    let image = court.signed().await;
    for _ in 0..20 {
        court.pod(&[&image]).await.admitted();
    }
    // What waits is written when the server stops.
    drop(court.webhook);
    let folder = court.desk.stop().await;
    let recorded = journal(folder.path());
    let allowed = recorded
        .iter()
        .filter(|record| record["verdict"] == "ALLOW")
        .count();
    assert_eq!(allowed, 20, "{recorded:#?}");

    // A disk that takes nothing: of a server that has written nothing yet nobody goes ahead.
    let newest = journal_folder.join("segment-0000000001.jsonl");
    std::fs::remove_dir_all(&journal_folder).unwrap();
    let folder = Desk::with(folder, flags.clone()).await.stop().await;
    std::fs::remove_file(&newest).unwrap();
    symlink("/dev/full", newest).unwrap();
    let desk = Desk::with(folder, flags).await;
    std::fs::remove_dir_all(&journal_folder).unwrap();
    let court = Court::on_again(desk);
    for _ in 0..2 {
        let verdict = court.pod(&[&image]).await;
        assert!(
            verdict.denial().contains("could not be recorded"),
            "{}",
            verdict.denial()
        );
    }
    let metrics = court.desk.health("/metrics").await.1;
    assert!(
        metrics.contains("\nbinauthz_unrecorded_allows_total 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn evidence_that_cannot_be_read_denies_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let flags = flags(folder.path());
    let court = Court::on(Desk::with(folder, flags.clone()).await).await;
    let image = court.signed().await;
    let (court_image, folder) = (image.clone(), court.desk.stop().await);
    damage(folder.path(), &court_image).await;
    let desk = Desk::with(folder, flags).await;
    let webhook = client(&desk, true);
    let url = format!("https://{}/admit/{CLUSTER}", desk.addresses().webhook);
    let answer: Value = webhook
        .post(url)
        .json(&created(pod(&[&image])))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["response"]["allowed"], false);
    let causes = &answer["response"]["status"]["details"]["causes"];
    assert_eq!(causes[0]["reason"], "EVIDENCE_UNAVAILABLE", "{answer}");
}

/// Overwrites the one stored attestation with something that is none.
async fn damage(folder: &std::path::Path, image: &str) {
    use binauthz_store::{Change, Commit, Store};
    let store = Store::open(&folder.join("binauthz.db")).unwrap();
    let digest: binauthz_core::image::Digest = image.split_once('@').unwrap().1.parse().unwrap();
    let mut rows = store
        .occurrences_of("projects/p/notes/signed", digest.as_bytes(), None, 10)
        .await
        .unwrap();
    let mut row = rows.remove(0);
    row.document = "{}".to_owned();
    let audit = audit_row();
    store
        .commit(Commit {
            audit,
            changes: vec![Change::ReplaceOccurrence(row)],
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_update_that_changes_no_image_and_a_deletion_pass_and_nothing_else_does() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    // Unsigned when it was admitted, so that only the narrowing can let the update pass.
    let mut labelled = pod(&[&unsigned]);
    labelled["metadata"]["labels"] = json!({ "team": "a" });
    court
        .admit(&updated(pod(&[&unsigned]), labelled))
        .await
        .admitted();
    court
        .admit(&updated(pod(&[&signed]), pod(&[&unsigned])))
        .await
        .denial();
    court
        .admit(&updated(pod(&[&signed]), pod(&[&signed, &unsigned])))
        .await
        .denial();
    court
        .admit(&updated(json!(null), pod(&[&unsigned])))
        .await
        .denial();
    let mut dying = pod(&[&unsigned]);
    dying["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z".into();
    court
        .admit(&updated(dying.clone(), dying.clone()))
        .await
        .admitted();
    court.admit(&created(dying)).await.denial();

    let mut deletion = created(pod(&[&unsigned]));
    deletion["request"]["operation"] = "DELETE".into();
    deletion["request"]["oldObject"] = deletion["request"]["object"].take();
    court.admit(&deletion).await.admitted();
    let mut other = created(pod(&[&unsigned]));
    other["request"]["operation"] = "CONNECT".into();
    court.admit(&other).await.denial();
    let mut scale =
        created(json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "web" } }));
    scale["request"]["subResource"] = "scale".into();
    court.admit(&scale).await.admitted();
}

#[tokio::test]
async fn the_mutating_webhook_carries_an_opened_door_to_the_pods() {
    let court = Court::new().await;
    let image = court.unsigned();
    let deployment = |own: Value, template: Value| {
        created(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "annotations": own },
            "spec": { "template": { "metadata": { "annotations": template }, "spec": { "containers": [{ "name": "c", "image": image }] } } },
        }))
    };
    let reason = "Emergency fix for incident INC-1234";
    let review = deployment(json!({ BREAK_GLASS_REASON: reason }), json!({ "a": "b" }));
    court.admit(&review).await.admitted();
    let reply = court.ask("mutate", &review).await;
    assert_eq!(
        (&reply["response"]["allowed"], &reply["response"]["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let patch = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        reply["response"]["patch"].as_str().unwrap(),
    )
    .unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(
        patch,
        json!([{
            "op": "add", "path": "/spec/template/metadata/annotations/alpha.image-policy.k8s.io~1break-glass", "value": reason,
        }])
    );
    let untouched = [
        deployment(json!({}), json!({})),
        deployment(
            json!({ BREAK_GLASS_REASON: reason }),
            json!({ BREAK_GLASS_REASON: "INC-1" }),
        ),
        deployment(json!({ BREAK_GLASS_REASON: "false" }), json!({})),
        created(pod(&[&image])),
    ];
    for review in untouched {
        let reply = court.ask("mutate", &review).await;
        assert_eq!(reply["response"]["allowed"], true);
        assert!(reply["response"].get("patch").is_none(), "{reply}");
    }
    assert_eq!(
        court.records().await.len(),
        1,
        "it decides nothing, so it records nothing"
    );
}

/// BG-04: the door of a Deployment is no door of its Pods, unless they carry it.
#[tokio::test]
async fn a_pod_that_does_not_carry_the_door_of_its_deployment_is_denied() {
    let court = Court::new().await;
    let image = court.unsigned();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "annotations": { BREAK_GLASS_REASON: "INC-1234" } },
        "spec": { "template": { "metadata": {}, "spec": { "containers": [{ "name": "c", "image": image }] } } },
    });
    court.admit(&created(deployment)).await.admitted();
    let mut owned = pod(&[&image]);
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "1", "controller": true,
    }]);
    court.admit(&created(owned.clone())).await.denial();
    // What the mutating webhook writes into the template, the ReplicaSet's controller copies.
    owned["metadata"]["annotations"] = json!({ BREAK_GLASS_REASON: "INC-1234" });
    court.admit(&created(owned)).await.admitted();
}

#[tokio::test]
async fn an_image_review_is_judged_by_the_same_policy() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let review = |images: &[&str], annotations: Value| {
        let containers: Vec<Value> = images.iter().map(|image| json!({ "image": image })).collect();
        json!({
            "apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "metadata": {},
            "spec": { "containers": containers, "annotations": annotations, "namespace": "default" },
            "status": { "allowed": false },
        })
    };
    let reply = court.ask("imagepolicy", &review(&[&signed], json!({}))).await;
    assert_eq!(reply["status"]["allowed"], true, "{reply}");
    let reply = court
        .ask("imagepolicy", &review(&[&signed, &unsigned], json!({})))
        .await;
    let expected =
        format!("Image {unsigned} denied by attestor {ATTESTOR}: No attestations found. By the default");
    assert_eq!(reply["status"]["allowed"], false);
    let reason = reply["status"]["reason"].as_str().unwrap();
    assert!(reason.starts_with(&expected), "{reason}");
    let reply = court
        .ask(
            "imagepolicy",
            &review(&[&unsigned], json!({ BREAK_GLASS_REASON: "INC-1" })),
        )
        .await;
    assert_eq!(
        (
            &reply["status"]["allowed"],
            &reply["status"]["auditAnnotations"]["break-glass"]
        ),
        (&json!(true), &json!("true"))
    );
    assert_eq!(court.record().await["dialect"], "ImageReview");

    let policy = json!({
        "defaultAdmissionRule": always("ALWAYS_ALLOW"),
        "kubernetesServiceAccountAdmissionRules": { "default:default": always("ALWAYS_DENY") },
    });
    court.desk.put("/v1/projects/p/policy", policy).await.ok();
    let reply = court.ask("imagepolicy", &review(&[&signed], json!({}))).await;
    assert_eq!(
        reply["status"]["allowed"], false,
        "an ImageReview carries no service account: {reply}"
    );
}

#[tokio::test]
async fn every_denial_leaves_exactly_one_record() {
    let court = Court::new().await;
    let unsigned = court.unsigned();
    let mut no_object = created(pod(&["nginx"]));
    no_object["request"]["object"] = Value::Null;
    let mut bad_namespace = created(pod(&["nginx"]));
    bad_namespace["request"]["namespace"] = "Not A Namespace".into();
    let unknown = json!({ "apiVersion": "example.com/v1", "kind": "Foo", "metadata": { "name": "x" } });
    let denials = [
        (created(pod(&[&unsigned])), "NO_ATTESTATIONS"),
        (created(pod(&[&unsigned, "nginx", "redis:7"])), "NO_ATTESTATIONS"),
        (created(pod(&["nginx"])), "NOT_PINNED"),
        (created(pod(&["not a reference"])), "INVALID_REFERENCE"),
        (created(unknown), "UNREVIEWABLE"),
        (no_object, "UNREVIEWABLE"),
        (bad_namespace, "UNREVIEWABLE"),
        (
            created(json!({ "apiVersion": "v1", "kind": "Pod" })),
            "UNREVIEWABLE",
        ),
    ];
    for (count, (review, reason)) in (1_usize..).zip(denials) {
        court.admit(&review).await.denial();
        let records = journal(court.desk.folder());
        assert_eq!(records.len(), count, "{reason}");
        let record = court.record().await;
        assert_eq!(
            (&record["verdict"], &record["reason"]),
            (&json!("DENY"), &json!(reason))
        );
        assert_eq!(record["uid"], review["request"]["uid"]);
    }
}

/// PO-05, AT-05: an attestor is its keys, whatever hangs on its note.
#[tokio::test]
async fn an_attestor_made_anew_with_another_key_trusts_nothing_of_before() {
    let court = Court::new().await;
    let image = court.signed().await;
    court.pod(&[&image]).await.admitted();
    let attestor = format!("/v1/{ATTESTOR}");
    let create = "/v1/projects/p/attestors?attestorId=image-signing-attestor";
    court.policy(always("ALWAYS_DENY")).await;
    court.desk.delete(&attestor).await.ok();
    court.desk.post(create, court.attestor_of_another()).await.ok();
    court
        .policy(require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG"))
        .await;
    for _ in 0..2 {
        let verdict = court.pod(&[&image]).await;
        assert!(
            verdict.denial().contains("does not verify"),
            "{}",
            verdict.denial()
        );
    }
    // With the old key it is trusted again.
    court.policy(always("ALWAYS_DENY")).await;
    court.desk.delete(&attestor).await.ok();
    court.desk.post(create, court.attestor(true)).await.ok();
    court
        .policy(require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG"))
        .await;
    court.pod(&[&image]).await.admitted();
}

/// PO-02: cold and warm, before and after a change of the other one.
#[tokio::test]
async fn the_policies_of_two_projects_are_independent() {
    let court = Court::new().await;
    let register = json!({ "cluster": {
        "name": "c", "binaryAuthorization": { "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" } } });
    let clusters = "/v1/projects/q/locations/us-central1-a/clusters";
    court.desk.post(clusters, register).await.ok();
    let body = created(pod(&["nginx"])).to_string().into_bytes();
    for (ours, theirs) in [
        ("ALWAYS_DENY", "ALWAYS_ALLOW"),
        ("ALWAYS_ALLOW", "ALWAYS_ALLOW"),
        ("ALWAYS_ALLOW", "ALWAYS_DENY"),
        ("ALWAYS_DENY", "ALWAYS_DENY"),
    ] {
        court.policy(always(ours)).await;
        let policy = json!({ "defaultAdmissionRule": always(theirs) });
        court.desk.put("/v1/projects/q/policy", policy).await.ok();
        for _ in 0..3 {
            for (project, mode) in [("p", ours), ("q", theirs)] {
                let path = format!("/admit/projects/{project}/locations/us-central1-a/clusters/c");
                let reply: Value = serde_json::from_str(&court.raw(&path, body.clone()).await.1).unwrap();
                assert_eq!(
                    reply["response"]["allowed"],
                    mode == "ALWAYS_ALLOW",
                    "{project} {reply}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_project_without_a_policy_is_denied_where_one_is_required() {
    for require_policy in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let flags = Flags {
            require_policy,
            ..flags(folder.path())
        };
        let court = Court::on(Desk::with(folder, flags).await).await;
        let register = json!({ "cluster": {
            "name": "c", "binaryAuthorization": { "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" } } });
        let clusters = "/v1/projects/q/locations/us-central1-a/clusters";
        court.desk.post(clusters, register).await.ok();
        let path = "/admit/projects/q/locations/us-central1-a/clusters/c";
        let body = created(pod(&["nginx"])).to_string().into_bytes();
        let reply: Value = serde_json::from_str(&court.raw(path, body).await.1).unwrap();
        assert_eq!(reply["response"]["allowed"], !require_policy, "{reply}");
        if require_policy {
            let cause = &reply["response"]["status"]["details"]["causes"][0];
            assert_eq!(cause["reason"], "NO_POLICY");
        }
    }
}
