//! Every address of the API, walked: who may call it, and what a call leaves behind.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, Desk, answer};

/// The route table as it is written down; a unit test sees to it that it is the one that is served.
const TABLE: &str = include_str!("../../src/control/routes.golden");

struct Route {
    method: Method,
    path: String,
    permission: &'static str,
    needs_write: bool,
    leaves_row: bool,
}

/// Every row in its first version, about things that are not there.
fn routes() -> Vec<Route> {
    let rows: Vec<Route> = TABLE
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut columns = line.split(' ');
            let method: Method = columns.next().unwrap().parse().unwrap();
            let template = columns.next().unwrap();
            let version = columns.next().unwrap().split(',').next().unwrap();
            let permission = columns.next().unwrap();
            let class = columns.next().unwrap();
            Route {
                method,
                path: fill(&template.replace("{version}", version)),
                permission,
                needs_write: class != "read",
                leaves_row: class == "write",
            }
        })
        .collect();
    assert!(rows.len() > 90, "only {} rows", rows.len());
    rows
}

pub(crate) fn fill(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap();
        path.push_str(before);
        path.push_str(match name {
            "location" => "us-central1",
            "number" => "7",
            "service" => "x.googleapis.com",
            "digest" => "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d",
            _ => "nothing",
        });
        rest = after;
    }
    path + rest
}

impl Route {
    fn of(&self, desk: &Desk, token: &str) -> reqwest::RequestBuilder {
        desk.request_as(token, self.method.clone(), &self.path)
    }

    fn shown(&self, answer: &Answer) -> String {
        format!("{} {}: {}", self.method, self.path, answer.body)
    }
}

#[tokio::test]
async fn nothing_is_answered_without_a_token() {
    let desk = Desk::new().await;
    for route in routes() {
        let answer = answer(route.of(&desk, "wrong")).await;
        assert_eq!(answer.status, 401, "{}", route.shown(&answer));
    }
    assert_eq!(desk.audit(10).await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_may_only_read_is_refused_every_change_by_the_name_of_its_permission() {
    let desk = Desk::new().await;
    let viewer = desk.viewer().await;
    for route in routes() {
        let answer = answer(route.of(&desk, &viewer)).await;
        if route.needs_write {
            assert_eq!(answer.status, 403, "{}", route.shown(&answer));
            let message = answer.body["error"]["message"].as_str().unwrap();
            let sentence = format!("`token:viewer` lacks the permission `{}`", route.permission);
            assert!(message.starts_with(&sentence), "{message}");
            if !route.leaves_row {
                continue;
            }
            let row = &desk.audit(1).await[0];
            assert_eq!(row["status"], "PERMISSION_DENIED");
            assert_eq!(row["principal"], "token:viewer");
            assert_eq!(row["detail"]["permission"], route.permission);
        } else {
            assert_ne!(answer.status, 403, "{}", route.shown(&answer));
        }
    }
}

#[tokio::test]
async fn every_call_that_may_change_something_leaves_a_row_also_when_it_fails() {
    let desk = Desk::new().await;
    let rows = async || {
        let newest = desk.audit(1).await;
        newest
            .first()
            .map_or(0, |row| row["sequence"].as_str().unwrap().parse::<u64>().unwrap())
    };
    for route in routes() {
        let before = rows().await;
        // No route means anything by this body.
        let request = desk
            .request(route.method.clone(), &route.path)
            .body("{\"no\": \"sense\"}");
        let answer = answer(request).await;
        assert!(answer.status.as_u16() < 500, "{}", route.shown(&answer));
        let after = rows().await;
        if route.leaves_row {
            assert!(!answer.status.is_success(), "{}", route.shown(&answer));
            assert_eq!(after, before + 1, "{}", route.shown(&answer));
            let row = &desk.audit(1).await[0];
            assert_ne!(row["status"], "OK", "{row}");
            assert_eq!(row["detail"]["permission"], route.permission);
        } else {
            assert_eq!(after, before, "{}", route.shown(&answer));
        }
    }
}
