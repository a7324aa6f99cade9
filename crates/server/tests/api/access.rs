//! Who may do what: IAM policies, tokens that stand for people, and their bounds.

use reqwest::Method;
use serde_json::{Value, json};

use crate::court::{Court, always};
use crate::support::{Answer, Desk, answer};

/// Somebody with a token.
struct Person<'a> {
    desk: &'a Desk,
    token: String,
}

impl<'a> Person<'a> {
    async fn new(desk: &'a Desk, name: &str) -> Person<'a> {
        let principal = format!("user:{name}@example.com");
        Person::with(desk, name, json!({ "principal": principal })).await
    }

    async fn with(desk: &'a Desk, id: &str, body: Value) -> Person<'a> {
        let path = format!("/binauthz/v1/tokens?tokenId={id}");
        let made = desk.post(&path, body).await.ok();
        let token = made["token"].as_str().unwrap().to_owned();
        Person { desk, token }
    }

    async fn get(&self, path: &str) -> Answer {
        answer(self.desk.request_as(&self.token, Method::GET, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        answer(self.desk.request_as(&self.token, method, path).json(&body)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body).await
    }
}

fn binding(role: &str, name: &str) -> Value {
    json!({ "role": role, "members": [format!("user:{name}@example.com")] })
}

async fn bind(desk: &Desk, resource: &str, bindings: Value) {
    let body = json!({ "policy": { "bindings": bindings } });
    desk.post(&format!("/v1/{resource}:setIamPolicy"), body)
        .await
        .ok();
}

const ATTESTOR: &str = "projects/p/attestors/image-signing-attestor";

#[tokio::test]
async fn a_grant_counts_where_it_is_made_and_below_and_at_once() {
    let court = Court::new().await;
    let desk = &court.desk;
    let jane = Person::new(desk, "jane").await;
    let (one, all) = (format!("/v1/{ATTESTOR}"), "/v1/projects/p/attestors");
    let refused = jane.get(&one).await;
    let details = refused.body["error"]["details"][0].clone();
    refused.refused(
        "PERMISSION_DENIED",
        "`user:jane@example.com` lacks the permission `binaryauthorization.attestors.get` on \
         `projects/p/attestors/image-signing-attestor` (or it does not exist)",
    );
    assert_eq!(details["reason"], "IAM_PERMISSION_DENIED");
    assert_eq!(
        details["metadata"]["permission"],
        "binaryauthorization.attestors.get"
    );
    assert_eq!(
        details["metadata"]["resource"],
        "//binaryauthorization.googleapis.com/projects/p/attestors/image-signing-attestor"
    );
    bind(
        desk,
        ATTESTOR,
        json!([binding("roles/binaryauthorization.attestorsViewer", "jane")]),
    )
    .await;
    jane.get(&one).await.ok();
    jane.get(all)
        .await
        .refused("PERMISSION_DENIED", "on `projects/p`");
    jane.get("/v1/projects/p/attestors/other")
        .await
        .refused("PERMISSION_DENIED", "attestors/other");
    jane.send(Method::DELETE, &one, json!({}))
        .await
        .refused("PERMISSION_DENIED", "binaryauthorization.attestors.delete");
    bind(desk, ATTESTOR, json!([])).await;
    jane.get(&one).await.refused("PERMISSION_DENIED", "attestors.get");
    bind(
        desk,
        "projects/p",
        json!([binding("roles/binaryauthorization.attestorsViewer", "jane")]),
    )
    .await;
    jane.get(&one).await.ok();
    jane.get(all).await.ok();
    jane.get("/v1/projects/p/attestors/other")
        .await
        .refused("NOT_FOUND", "other");
    // Groups of names: a domain, and everybody.
    for member in ["domain:example.com", "allAuthenticatedUsers"] {
        bind(
            desk,
            "projects/p",
            json!([{ "role": "roles/viewer", "members": [member] }]),
        )
        .await;
        jane.get(all).await.ok();
    }
    bind(
        desk,
        "projects/p",
        json!([{ "role": "roles/viewer", "members": ["domain:ample.com"] }]),
    )
    .await;
    jane.get(all).await.refused("PERMISSION_DENIED", "attestors.list");
}

#[tokio::test]
async fn a_condition_bounds_a_grant_in_time() {
    let desk = Desk::new().await;
    let jane = Person::new(&desk, "jane").await;
    let under = |expression: &str| {
        json!([{ "role": "roles/viewer", "members": ["user:jane@example.com"],
            "condition": { "title": "t", "expression": expression } }])
    };
    let policy = "/v1/projects/p/policy";
    bind(
        &desk,
        "projects/p",
        under("request.time < timestamp(\"2100-01-01T00:00:00Z\")"),
    )
    .await;
    jane.get(policy).await.ok();
    bind(
        &desk,
        "projects/p",
        under("request.time < timestamp(\"2001-01-01T00:00:00Z\")"),
    )
    .await;
    jane.get(policy).await.refused("PERMISSION_DENIED", "policy.get");
    let body = json!({ "policy": { "bindings": under("resource.name == 'x'") } });
    desk.post("/v1/projects/p:setIamPolicy", body)
        .await
        .refused("INVALID_ARGUMENT", "policy.bindings[0].condition.expression");
    for (role, expected) in [
        ("roles/binaryauthorization.policyEditr", "does not exist: see"),
        ("projects/p/roles/none", "does not exist in the project"),
        ("projects/q/roles/none", "does not exist in the project"),
    ] {
        let body = json!({ "policy": { "bindings": [binding(role, "jane")] } });
        desk.post("/v1/projects/p:setIamPolicy", body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
}

#[tokio::test]
async fn what_a_caller_has_is_what_is_tested() {
    let court = Court::new().await;
    let desk = &court.desk;
    let jane = Person::new(desk, "jane").await;
    let asked = json!({ "permissions": ["binaryauthorization.attestors.get", "binaryauthorization.attestors.update", "a.b.c"] });
    let path = format!("/v1/{ATTESTOR}:testIamPermissions");
    assert_eq!(jane.post(&path, asked.clone()).await.ok(), json!({}));
    bind(
        desk,
        "projects/p",
        json!([binding("roles/binaryauthorization.attestorsViewer", "jane")]),
    )
    .await;
    let has = json!({ "permissions": ["binaryauthorization.attestors.get"] });
    assert_eq!(jane.post(&path, asked.clone()).await.ok(), has);
    // Of what is not there nobody has anything, which is how Google answers.
    let nothing = "/v1/projects/p/attestors/none:testIamPermissions";
    assert_eq!(jane.post(nothing, asked.clone()).await.ok(), json!({}));
    assert_eq!(desk.post(nothing, asked).await.ok(), json!({}));
}

#[tokio::test]
async fn a_scope_bounds_even_an_administrator() {
    let desk = Desk::new().await;
    desk.post("/binauthz/v1/projects?projectId=p", json!({}))
        .await
        .ok();
    desk.post("/binauthz/v1/projects?projectId=q", json!({}))
        .await
        .ok();
    let here = Person::with(&desk, "here", json!({ "role": "admin", "projects": ["p"] })).await;
    here.get("/v1/projects/p/policy").await.ok();
    here.get("/v1/projects/q/policy")
        .await
        .refused("PERMISSION_DENIED", "`projects/q/policy`");
    here.get("/binauthz/v1/tokens")
        .await
        .refused("PERMISSION_DENIED", "binauthz.tokens.list");
    let listed = here.get("/v1/projects").await.ok();
    assert_eq!(listed["projects"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["projects"][0]["projectId"], "p");
    let reader = Person::with(
        &desk,
        "reader",
        json!({ "role": "admin", "permissions": ["binaryauthorization.policy.get", "binauthz.tokens.*"] }),
    )
    .await;
    reader.get("/v1/projects/q/policy").await.ok();
    reader
        .send(Method::PUT, "/v1/projects/q/policy", json!({}))
        .await
        .refused("PERMISSION_DENIED", "binaryauthorization.policy.update");
    let listed = reader.get("/binauthz/v1/tokens").await.ok();
    assert_eq!(listed["tokens"][0]["projects"], json!(["p"]));
    reader
        .post("/binauthz/v1/tokens?tokenId=more", json!({ "role": "admin" }))
        .await
        .refused("PERMISSION_DENIED", "makes no tokens");
    for (body, expected) in [
        (json!({ "projects": ["Not A Project"] }), "Not A Project"),
        (json!({ "projects": "p" }), "projects"),
        (
            json!({ "permissions": ["binauthz.nothing.*"] }),
            "`binauthz.nothing.*`, which matches no permission",
        ),
        (json!({ "permissions": vec!["*"; 51] }), "more than 50"),
        (json!({ "principal": "admin" }), "principal"),
        (json!({ "principal": "token:here" }), "principal"),
        (
            json!({ "principal": "serviceAccount:x@binauthz.invalid" }),
            "principal",
        ),
        (json!({ "principal": "user:a@b@c" }), "principal"),
        (json!({ "principal": "user:a b@c" }), "principal"),
    ] {
        desk.post("/binauthz/v1/tokens?tokenId=bad", body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
}

#[tokio::test]
async fn a_token_stands_for_a_person_and_says_so() {
    let desk = Desk::new().await;
    let jane = Person::new(&desk, "jane").await;
    bind(
        &desk,
        "projects/p",
        json!([binding("roles/containeranalysis.notes.editor", "jane")]),
    )
    .await;
    let note = json!({ "attestation": {} });
    jane.post("/v1/projects/p/notes?noteId=n", note.clone())
        .await
        .ok();
    let row = &desk.audit(1).await[0];
    assert_eq!(
        (&row["principal"], &row["status"]),
        (&json!("user:jane@example.com"), &json!("OK"))
    );
    jane.post("/v1/projects/q/notes?noteId=n", note)
        .await
        .refused("PERMISSION_DENIED", "`projects/q`");
    let row = &desk.audit(1).await[0];
    assert_eq!(row["status"], "PERMISSION_DENIED");
    // A policy may name the token itself, and not another one.
    let body = json!({ "policy": { "bindings": [{ "role": "roles/viewer", "members": ["token:jane"] }] } });
    desk.post("/v1/projects/p:setIamPolicy", body).await.ok();
    jane.get("/v1/projects/p/notes/n").await.ok();
    let other = Person::with(&desk, "other", json!({})).await;
    other
        .get("/v1/projects/p/notes/n")
        .await
        .refused("PERMISSION_DENIED", "`token:other`");
}

#[tokio::test]
async fn a_project_makes_its_own_roles() {
    let desk = Desk::new().await;
    let jane = Person::new(&desk, "jane").await;
    let roles = "/v1/projects/p/roles";
    let body = json!({ "roleId": "releaser", "role": { "title": "Releaser", "stage": "GA",
        "includedPermissions": ["binaryauthorization.policy.get", "binaryauthorization.policy.update"] } });
    let made = desk.post(roles, body.clone()).await.ok();
    assert_eq!(made["name"], "projects/p/roles/releaser");
    desk.post(roles, body).await.refused("ALREADY_EXISTS", "releaser");
    bind(
        &desk,
        "projects/p",
        json!([binding("projects/p/roles/releaser", "jane")]),
    )
    .await;
    jane.get("/v1/projects/p/policy").await.ok();
    jane.get(roles)
        .await
        .refused("PERMISSION_DENIED", "iam.roles.list");
    let one = format!("{roles}/releaser");
    let narrower =
        json!({ "includedPermissions": ["binaryauthorization.policy.update"], "etag": made["etag"] });
    let path = format!("{one}?updateMask=includedPermissions");
    let changed = desk.patch(&path, narrower.clone()).await.ok();
    assert_eq!(
        (&changed["title"], &changed["includedPermissions"]),
        (&json!("Releaser"), &json!(["binaryauthorization.policy.update"]))
    );
    desk.patch(&path, narrower).await.refused("ABORTED", "releaser");
    jane.get("/v1/projects/p/policy")
        .await
        .refused("PERMISSION_DENIED", "policy.get");
    desk.delete(&one).await.ok();
    jane.send(Method::PUT, "/v1/projects/p/policy", json!({}))
        .await
        .refused("PERMISSION_DENIED", "policy.update");
    for (body, expected) in [
        (json!({ "roleId": "x" }), "is not a role id"),
        (
            json!({ "roleId": "xxx", "role": { "includedPermissions": ["a.b.c"] } }),
            "`a.b.c`",
        ),
        (
            json!({ "roleId": "xxx", "role": { "includedPermissions": ["binauthz.tokens.create"] } }),
            "`binauthz.tokens.create`",
        ),
        (json!({ "roleId": "xxx", "role": { "stage": "NEVER" } }), "stage"),
    ] {
        desk.post(roles, body).await.refused("INVALID_ARGUMENT", expected);
    }
    let listed = jane.get("/v1/roles?view=FULL").await.ok();
    assert!(listed["roles"].as_array().unwrap().len() > 40);
    jane.get("/v1/roles/binaryauthorization.policyViewer").await.ok();
    jane.get("/v1/roles/nothing")
        .await
        .refused("NOT_FOUND", "roles/nothing");
}

/// Deployer, attestor, note and attestation in four projects; everybody has what the documentation gives them.
#[tokio::test]
async fn four_projects_work_together_by_grants_and_not_without() {
    let desk = Desk::new().await;
    let makes = an_attestor_is_made(&desk).await;
    a_policy_is_set(&desk, &makes).await;
    an_image_is_attested(&desk, &makes).await;
}

/// By whoever may read what hangs on the note.
async fn an_attestor_is_made(desk: &Desk) -> Person<'_> {
    let owner = Person::new(desk, "owner").await;
    bind(desk, "projects/notes", json!([binding("roles/owner", "owner")])).await;
    owner
        .post("/v1/projects/notes/notes?noteId=n", json!({ "attestation": {} }))
        .await
        .ok();
    let attestor = json!({ "name": "projects/attestors/attestors/a",
        "userOwnedGrafeasNote": { "noteReference": "projects/notes/notes/n" } });
    let makes = Person::new(desk, "makes").await;
    bind(
        desk,
        "projects/attestors",
        json!([binding("roles/binaryauthorization.attestorsAdmin", "makes"),]),
    )
    .await;
    let create = "/v1/projects/attestors/attestors?attestorId=a";
    let absent = json!({ "name": "projects/attestors/attestors/a",
        "userOwnedGrafeasNote": { "noteReference": "projects/notes/notes/absent" } });
    for (body, note) in [(&attestor, "n"), (&absent, "absent")] {
        makes.post(create, body.clone()).await.refused(
            "PERMISSION_DENIED",
            &format!("`containeranalysis.notes.listOccurrences` on `projects/notes/notes/{note}` (or it does not exist)"),
        );
    }
    let on_note = json!([
        binding("roles/containeranalysis.notes.occurrences.viewer", "makes"),
        binding("roles/containeranalysis.notes.attacher", "signs"),
    ]);
    let body = json!({ "policy": { "bindings": on_note } });
    owner
        .post("/v1/projects/notes/notes/n:setIamPolicy", body)
        .await
        .ok();
    makes.post(create, attestor).await.ok();
    makes
}

/// By whoever may read the attestor.
async fn a_policy_is_set(desk: &Desk, makes: &Person<'_>) {
    let deploys = Person::new(desk, "deploys").await;
    bind(
        desk,
        "projects/deployer",
        json!([binding("roles/binaryauthorization.policyEditor", "deploys")]),
    )
    .await;
    let policy = |attestor: &str| {
        json!({ "defaultAdmissionRule": {
        "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        "requireAttestationsBy": [format!("projects/attestors/attestors/{attestor}")] } })
    };
    for name in ["a", "absent"] {
        deploys.send(Method::PUT, "/v1/projects/deployer/policy", policy(name)).await.refused(
            "PERMISSION_DENIED",
            &format!("`binaryauthorization.attestors.get` on `projects/attestors/attestors/{name}` (or it does not exist)"),
        );
    }
    bind(
        desk,
        "projects/attestors/attestors/a",
        json!([binding("roles/binaryauthorization.attestorsViewer", "deploys")]),
    )
    .await;
    deploys
        .send(Method::PUT, "/v1/projects/deployer/policy", policy("a"))
        .await
        .ok();
    // Who deletes the attestor is not told whose policy needs it.
    let refusal = makes
        .send(Method::DELETE, "/v1/projects/attestors/attestors/a", json!({}))
        .await;
    assert!(!refusal.body.to_string().contains("deployer"), "{}", refusal.body);
    refusal.refused("FAILED_PRECONDITION", "the policy of another project");
}

/// By whoever may attach to the note.
async fn an_image_is_attested(desk: &Desk, makes: &Person<'_>) {
    let signs = Person::new(desk, "signs").await;
    let other = Person::new(desk, "other").await;
    bind(
        desk,
        "projects/signed",
        json!([
            binding("roles/containeranalysis.occurrences.editor", "signs"),
            binding("roles/containeranalysis.occurrences.editor", "other"),
        ]),
    )
    .await;
    let digest = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
    let payload = json!({ "critical": { "identity": { "docker-reference": "r.example/a" },
        "image": { "docker-manifest-digest": digest }, "type": "Google cloud binauthz container signature" } });
    let payload = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, payload.to_string());
    let occurrence = json!({ "noteName": "projects/notes/notes/n", "kind": "ATTESTATION",
        "resourceUri": format!("https://r.example/a@{digest}"),
        "attestation": { "serializedPayload": payload, "signatures": [{ "publicKeyId": "k", "signature": "AAAA" }] } });
    let path = "/v1/projects/signed/occurrences";
    other.post(path, occurrence.clone()).await.refused(
        "PERMISSION_DENIED",
        "`containeranalysis.notes.attachOccurrence` on `projects/notes/notes/n`",
    );
    signs.post(path, occurrence).await.ok();
    // Seen through the note by who may, and by nobody through somebody else's project.
    let through = makes.get("/v1/projects/notes/notes/n/occurrences").await.ok();
    assert_eq!(through["occurrences"].as_array().unwrap().len(), 1);
    makes
        .get(path)
        .await
        .refused("PERMISSION_DENIED", "containeranalysis.occurrences.list");
    signs
        .get("/v1/projects/notes/notes/n/occurrences")
        .await
        .refused("PERMISSION_DENIED", "notes.listOccurrences");
}

#[tokio::test]
async fn logs_and_projects_are_shown_to_those_who_may_see_them() {
    let court = Court::new().await;
    let desk = &court.desk;
    court.policy(always("ALWAYS_DENY")).await;
    court.pod(&[&court.unsigned()]).await.denial();
    let jane = Person::new(desk, "jane").await;
    let list = |projects: &[&str]| json!({ "resourceNames": projects });
    let entries = "/v2/entries:list";
    jane.post(entries, list(&["projects/p"]))
        .await
        .refused("PERMISSION_DENIED", "`logging.logEntries.list` on `projects/p`");
    jane.post(entries, list(&["projects/_"]))
        .await
        .refused("PERMISSION_DENIED", "administrators");
    bind(
        desk,
        "projects/p",
        json!([binding("roles/logging.viewer", "jane")]),
    )
    .await;
    let found = jane.post(entries, list(&["projects/p"])).await.ok();
    assert!(!found["entries"].as_array().unwrap().is_empty());
    jane.post(entries, list(&["projects/p", "projects/q"]))
        .await
        .refused("PERMISSION_DENIED", "`projects/q`");
    let entry = json!({ "entries": [{ "logName": "projects/p/logs/mine", "textPayload": "x", "resource": { "type": "global" } }] });
    jane.post("/v2/entries:write", entry.clone())
        .await
        .refused("PERMISSION_DENIED", "`logging.logEntries.create` on `projects/p`");
    bind(
        desk,
        "projects/p",
        json!([binding("roles/logging.logWriter", "jane")]),
    )
    .await;
    jane.post("/v2/entries:write", entry).await.ok();
    for id in ["aaa", "bbb", "ccc"] {
        desk.post(&format!("/binauthz/v1/projects?projectId={id}"), json!({}))
            .await
            .ok();
    }
    assert_eq!(jane.get("/v1/projects").await.ok(), json!({}));
    for id in ["aaa", "ccc"] {
        bind(
            desk,
            &format!("projects/{id}"),
            json!([binding("roles/browser", "jane")]),
        )
        .await;
    }
    let first = jane.get("/v1/projects?pageSize=1").await.ok();
    assert_eq!(first["projects"][0]["projectId"], "aaa");
    let token = first["nextPageToken"].as_str().unwrap();
    let second = jane
        .get(&format!("/v1/projects?pageSize=1&pageToken={token}"))
        .await
        .ok();
    assert_eq!(
        (&second["projects"][0]["projectId"], &second["nextPageToken"]),
        (&json!("ccc"), &Value::Null)
    );
}

#[tokio::test]
async fn who_can_do_something_and_who_does_too_much_is_told() {
    let court = Court::new().await;
    let desk = &court.desk;
    let jane = Person::new(desk, "jane").await;
    let who = "/binauthz/v1/projects/p/iam:whoCan?permission=binaryauthorization.policy.update&resource=projects/p/policy";
    jane.get(who)
        .await
        .refused("PERMISSION_DENIED", "binauthz.iam.analyze");
    bind(
        desk,
        "projects/p",
        json!([
            binding("roles/iam.securityReviewer", "jane"),
            binding("roles/binaryauthorization.policyEditor", "bob"),
            binding("roles/binaryauthorization.policyViewer", "carol"),
        ]),
    )
    .await;
    bind(
        desk,
        "projects/p/policy",
        json!([{ "role": "roles/editor", "members": ["user:dan@example.com"],
        "condition": { "title": "t", "expression": "request.time.getFullYear() < 2000" } }]),
    )
    .await;
    let found = jane.get(who).await.ok();
    let members: Vec<&str> = found["bindings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["member"].as_str().unwrap())
        .collect();
    assert_eq!(
        members,
        ["user:dan@example.com", "user:bob@example.com"],
        "{found}"
    );
    assert_eq!(found["bindings"][0]["holds"], false);
    let all = desk.get(who).await.ok();
    let admin = json!({ "member": "admin", "role": "admin", "resource": "the installation" });
    assert!(all["bindings"].as_array().unwrap().contains(&admin), "{all}");
    for (query, expected) in [
        ("permission=no.such.thing", "is no permission of resources"),
        (
            "permission=binaryauthorization.policy.get&resource=projects/q",
            "must be `projects/p` or",
        ),
        ("", "permission"),
    ] {
        desk.get(&format!("/binauthz/v1/projects/p/iam:whoCan?{query}"))
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
    who_does_too_much_is_told(desk, &jane).await;
}

/// Whoever edits the policy begins to attest.
async fn who_does_too_much_is_told(desk: &Desk, jane: &Person<'_>) {
    let check = "/binauthz/v1/projects/p/iam:reportSeparation";
    assert_eq!(jane.get(check).await.ok()["conflicts"], json!([]));
    bind(
        desk,
        "projects/p/notes/signed",
        json!([
            binding("roles/containeranalysis.notes.attacher", "bob"),
            binding("roles/containeranalysis.notes.attacher", "erin")
        ]),
    )
    .await;
    let report = jane.get(check).await.ok();
    let conflicts = report["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "{report}");
    assert_eq!(conflicts[0]["member"], "user:bob@example.com");
    assert!(
        conflicts[0]["signsBy"][0]
            .as_str()
            .unwrap()
            .contains("projects/p/notes/signed")
    );
    what_is_of_other_projects_is_not_named(desk, jane).await;
}

/// The policy requires an attestor of another project, whose note and keys are that project's to tell.
async fn what_is_of_other_projects_is_not_named(desk: &Desk, jane: &Person<'_>) {
    let check = "/binauthz/v1/projects/p/iam:reportSeparation";
    desk.post(
        "/v1/projects/q/notes?noteId=secret-note",
        json!({ "attestation": {} }),
    )
    .await
    .ok();
    let attestor = json!({ "userOwnedGrafeasNote": { "noteReference": "projects/q/notes/secret-note" } });
    desk.post("/v1/projects/q/attestors?attestorId=theirs", attestor)
        .await
        .ok();
    let policy = json!({ "defaultAdmissionRule": {
        "evaluationMode": "REQUIRE_ATTESTATION", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        "requireAttestationsBy": ["projects/q/attestors/theirs"] } });
    desk.put("/v1/projects/p/policy", policy).await.ok();
    let unseen = async || jane.get(check).await.ok()["unseen"].clone();
    let before = unseen().await;
    assert!(!before.to_string().contains("secret-note"), "{before}");
    // It is the same when there is no such attestor any more: the policy's own word.
    assert!(
        before == json!(["projects/q/attestors/theirs"]) || before == json!(["projects/p/policy"]),
        "{before}"
    );
    bind(
        desk,
        "projects/p/policy",
        json!([binding("roles/binaryauthorization.policyViewer", "jane")]),
    )
    .await;
    assert_eq!(unseen().await, json!(["projects/q/attestors/theirs"]));
    bind(
        desk,
        "projects/q/attestors/theirs",
        json!([binding("roles/binaryauthorization.attestorsViewer", "jane")]),
    )
    .await;
    assert_eq!(
        unseen().await,
        json!(["projects/q", "projects/q/notes/secret-note"])
    );
}
