//! Projects, as Resource Manager shows them.

use serde_json::json;

use crate::support::Desk;

#[tokio::test]
async fn projects_are_made_listed_and_read() {
    let desk = Desk::new().await;
    for id in ["c", "a", "b"] {
        let body = json!({ "displayName": format!("Project {id}") });
        desk.post(&format!("/binauthz/v1/projects?projectId={id}"), body)
            .await
            .ok();
    }
    desk.post("/binauthz/v1/projects?projectId=a", json!({}))
        .await
        .refused("ALREADY_EXISTS", "projects/a");
    let too_long = json!({ "displayName": "x".repeat(31) });
    desk.post("/binauthz/v1/projects?projectId=d", too_long)
        .await
        .refused("INVALID_ARGUMENT", "displayName");
    for path in ["/v1/projects", "/binauthz/v1/projects"] {
        let listed = desk.pages(path, "projects", 2).await;
        let ids: Vec<_> = listed
            .iter()
            .map(|project| project["projectId"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["a", "b", "c"], "{path}");
    }
    for (filter, expected) in [
        // What gcloud always sends.
        ("lifecycleState:ACTIVE", vec!["a", "b", "c"]),
        ("lifecycleState:DELETE_REQUESTED", vec![]),
        ("projectId=b%20OR%20id:c", vec!["b", "c"]),
        ("lifecycleState:ACTIVE%20AND%20name:%22project%20a%22", vec!["a"]),
    ] {
        let path = format!("/v1/projects?filter={filter}");
        let listed = desk.pages(&path, "projects", 1).await;
        let ids: Vec<_> = listed
            .iter()
            .map(|project| project["projectId"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{filter}");
    }
    desk.get("/v1/projects?filter=labels.color:red")
        .await
        .refused("INVALID_ARGUMENT", "`labels.color` is not a field");
    let shown = desk.get("/v1/projects/b").await.ok();
    assert_eq!(shown["name"], "Project b");
    assert_eq!(shown["lifecycleState"], "ACTIVE");
    assert_eq!(shown["projectNumber"].as_str().unwrap().len(), 12);
    // With `--dev` a project is there because somebody names it.
    assert_eq!(desk.get("/v1/projects/new").await.ok()["name"], "new");
    desk.get("/v1/projects/a%20b")
        .await
        .refused("INVALID_ARGUMENT", "PROJECT");
}
