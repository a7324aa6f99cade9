//! Every address of the API by every role.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::routes::fill;
use crate::support::{Desk, answer};

/// What each role may, and what each address needs, as written down; unit tests see to it that both are what is served.
const ROLES: &str = include_str!("../../src/access/roles.golden");
const ROUTES: &str = include_str!("../../src/control/routes.golden");

/// Requests under way at once: the server has 1 000 connections, and this is one machine.
const AT_ONCE: usize = 16;

#[derive(Clone)]
struct Address {
    method: Method,
    path: String,
    permission: &'static str,
    guard: &'static str,
}

fn addresses() -> Vec<Address> {
    let read = |line: &'static str| {
        let columns: Vec<&str> = line.split(' ').collect();
        let [method, template, versions, permission, _, _, guard] = columns.try_into().unwrap();
        let version = versions.split(',').next().unwrap();
        Address {
            method: method.parse().unwrap(),
            path: fill(&template.replace("{version}", version)),
            permission,
            guard,
        }
    };
    ROUTES.lines().map(read).collect()
}

fn roles() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut roles = BTreeMap::new();
    let mut last = "";
    for line in ROLES.lines() {
        match line.strip_prefix("  ") {
            Some(permission) => {
                roles.entry(last).or_insert_with(BTreeSet::new).insert(permission);
            }
            None => last = line,
        }
    }
    assert!(roles.len() > 40, "only {} roles", roles.len());
    roles
}

fn member(role: &str) -> String {
    format!("user:{}@example.com", role.replace('/', "."))
}

/// A token for each role, and the policy of a project that gives it to its owner.
async fn tokens(desk: &Desk, project: &str) -> Vec<(&'static str, String)> {
    let mut tokens = Vec::new();
    let mut bindings = Vec::new();
    for (number, role) in roles().into_keys().enumerate() {
        let made = desk
            .post(
                &format!("/binauthz/v1/tokens?tokenId=walker-{number}"),
                json!({ "principal": member(role) }),
            )
            .await
            .ok();
        tokens.push((role, made["token"].as_str().unwrap().to_owned()));
        bindings.push(json!({ "role": role, "members": [member(role)] }));
    }
    let policy = json!({ "policy": { "bindings": bindings } });
    desk.post(&format!("/v1/projects/{project}:setIamPolicy"), policy)
        .await
        .ok();
    tokens
}

/// Whether the answer is a refusal for want of the permission.
fn is_denied(status: u16, body: &Value, permission: &str) -> bool {
    let message = body["error"]["message"].as_str().unwrap_or_default();
    status == 403 && message.contains(&format!("lacks the permission `{permission}`"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_opens_the_addresses_of_its_permissions_and_no_others() {
    let desk = Desk::new().await;
    let (addresses, roles) = (addresses(), roles());
    // `fill` calls every project that.
    for (role, token) in tokens(&desk, "nothing").await {
        let mut asked = JoinSet::new();
        for address in &addresses {
            let request = desk.request_as(&token, address.method.clone(), &address.path);
            let address = address.clone();
            asked.spawn(async move { (address, answer(request).await) });
            if asked.len() >= AT_ONCE {
                check(role, &roles[role], asked.join_next().await.unwrap().unwrap());
            }
        }
        while let Some(answered) = asked.join_next().await {
            check(role, &roles[role], answered.unwrap());
        }
        // What somebody changed who may must not change what is asked next.
        tokens_again(&desk).await;
    }
}

/// The owner's walk may have replaced the policy by an empty one; then nobody would have anything.
async fn tokens_again(desk: &Desk) {
    let policy = desk
        .post("/v1/projects/nothing:getIamPolicy", json!({}))
        .await
        .ok();
    assert_eq!(policy["bindings"].as_array().map(Vec::len), Some(roles().len()));
}

fn check(role: &str, has: &BTreeSet<&str>, (address, answer): (Address, crate::support::Answer)) {
    let denied = is_denied(answer.status.as_u16(), &answer.body, address.permission);
    let expected = match address.guard {
        "resource" => !has.contains(address.permission),
        "installation" => true,
        "anyone" => false,
        "handler" => !address.path.ends_with("entries:list"),
        other => panic!("{other}"),
    };
    let shown = format!("{role}: {} {}: {}", address.method, address.path, answer.body);
    assert_eq!(denied, expected, "{shown}");
    assert!(
        answer.status.as_u16() < 500 && answer.status.as_u16() != 401,
        "{shown}"
    );
}

/// Makes what addresses name, as far as names can be chosen.
async fn everything_is_there(desk: &Desk) {
    let signs =
        json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": "EC_SIGN_P256_SHA256" } });
    let attestor = json!({ "userOwnedGrafeasNote": { "noteReference": "projects/nothing/notes/nothing" } });
    let role = json!({ "roleId": "nothing", "role": { "title": "t", "includedPermissions": ["cloudkms.keyRings.get"] } });
    let place = "locations/us-central1";
    for (path, body) in [
        ("notes?noteId=nothing".to_owned(), json!({ "attestation": {} })),
        ("attestors?attestorId=nothing".to_owned(), attestor),
        (format!("{place}/keyRings?keyRingId=nothing"), json!({})),
        (
            format!("{place}/keyRings/nothing/cryptoKeys?cryptoKeyId=nothing"),
            signs,
        ),
        (
            format!("{place}/clusters"),
            json!({ "cluster": { "name": "nothing" } }),
        ),
        ("roles".to_owned(), role),
    ] {
        desk.post(&format!("/v1/projects/nothing/{path}"), body)
            .await
            .ok();
    }
    let metric = json!({ "name": "nothing", "filter": "severity>=ERROR" });
    desk.post("/v2/projects/nothing/metrics", metric).await.ok();
    let policy = json!({ "defaultAdmissionRule": {
        "evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" } });
    desk.put("/v1/projects/nothing/policy", policy).await.ok();
}

/// Somebody who owns one project learns nothing of another: not even whether it, or something in it, is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_another_project_sees_no_difference_between_what_is_there_and_what_is_not() {
    let desk = Desk::new().await;
    let stranger = tokens(&desk, "theirs").await;
    let (_, token) = stranger.iter().find(|(role, _)| *role == "roles/owner").unwrap();
    everything_is_there(&desk).await;
    for address in addresses() {
        if !address.path.contains("/projects/nothing") {
            continue;
        }
        let absent = address.path.replace("nothing", "absent");
        let there = answer(desk.request_as(token, address.method.clone(), &address.path)).await;
        let not = answer(desk.request_as(token, address.method.clone(), &absent)).await;
        assert_eq!(there.status, not.status, "{}", there.body);
        let expected = there.body.to_string().replace("nothing", "absent");
        assert_eq!(expected, not.body.to_string(), "{}", address.path);
        let is_shut = is_denied(there.status.as_u16(), &there.body, address.permission);
        assert_eq!(
            is_shut,
            address.guard == "resource",
            "{} {}",
            address.path,
            there.body
        );
    }
}
