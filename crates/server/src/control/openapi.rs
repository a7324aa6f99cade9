//! The API described for machines (OpenAPI 3.1), made of the route table: an address that is served is in it, and nothing
//! else is. Bodies are said to be objects and no more; the readers of `wire` say the rest, member by member, when asked
//! something wrong.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::call::Reply;
use super::routes::{Api, ApiVersion, Class, Route, Verb, table};

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    vec![Route {
        verb: Verb::Get,
        template: "/openapi.json",
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name: "GetOpenApi",
        permission: "binauthz.openApi.get",
        class: Class::Read,
        handler: |_, _| Box::pin(async { Ok(Reply::json(document().clone())) }),
    }]
}

/// The document. It never changes while the program runs.
fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let mut paths = Map::new();
        for route in table().routes() {
            for path in addresses(route) {
                let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
                item[route.verb.as_str().to_ascii_lowercase()] = operation(route, &path);
            }
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "binauthz",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Binary Authorization, Container Analysis, Cloud KMS and more, at Google's addresses; our own are below `/binauthz/v1/`.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "security": [{ "bearer": [] }],
            "paths": paths,
            "components": {
                "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
                "schemas": { "Error": error_schema() },
                "responses": { "Error": {
                    "description": "What went wrong, as Google's APIs say it.",
                    "content": json_of(&json!({ "$ref": "#/components/schemas/Error" })),
                } },
            },
        })
    });
    &DOCUMENT
}

/// The addresses of a row, one for each version of its API.
fn addresses(route: &Route) -> Vec<String> {
    let template = route.template.replace("**}", "}");
    if template.contains("{version}") {
        let with = |version: &ApiVersion| template.replace("{version}", version.as_str());
        route.versions.iter().map(with).collect()
    } else {
        vec![template]
    }
}

fn operation(route: &Route, path: &str) -> Value {
    let parameters: Vec<Value> = path
        .split('{')
        .skip(1)
        .filter_map(|rest| Some(parameter(rest.split_once('}')?.0)))
        .collect();
    let mut operation = json!({
        "operationId": operation_id(route.verb, path),
        "summary": format!("{}.{}", route.api.as_str(), route.name),
        "description": format!("Needs the permission `{}`.", route.permission),
        "tags": [route.api.as_str()],
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": json_of(&json!({ "type": "object" })) },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    if matches!(route.verb, Verb::Post | Verb::Put | Verb::Patch) {
        operation["requestBody"] = json!({ "content": json_of(&json!({ "type": "object" })) });
    }
    operation
}

fn parameter(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

/// Unique, because the address is: one method may have several of those.
fn operation_id(verb: Verb, path: &str) -> String {
    let words = path
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!("{}_{}", verb.as_str().to_ascii_lowercase(), words.join("_"))
}

fn json_of(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": { "type": "integer", "minimum": 400, "maximum": 599 },
                "message": { "type": "string" },
                "status": { "type": "string", "pattern": "^[A-Z_]+$" },
                "details": { "type": "array", "items": { "type": "object" } },
            },
        } },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let served: BTreeSet<(String, String)> = table()
            .routes()
            .flat_map(|route| {
                addresses(route)
                    .into_iter()
                    .map(|path| (path, route.verb.as_str().to_ascii_lowercase()))
            })
            .collect();
        let mut said = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut shapes = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().unwrap() {
            // Two addresses that differ in the names of what they capture would be one.
            let shape: Vec<&str> = path
                .split('{')
                .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest))
                .collect();
            assert!(shapes.insert(shape.join("{}")), "{path}");
            for (verb, operation) in item.as_object().unwrap() {
                said.insert((path.clone(), verb.clone()));
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}");
                let named = operation["parameters"].as_array().unwrap();
                assert_eq!(named.len(), path.matches('{').count(), "{path}");
                let has_body = operation.get("requestBody").is_some();
                assert_eq!(
                    has_body,
                    matches!(verb.as_str(), "post" | "put" | "patch"),
                    "{verb} {path}"
                );
            }
        }
        assert_eq!(said, served);
        assert!(said.len() > 150, "only {}", said.len());
        assert!(said.contains(&("/v1beta1/projects/{project}/policy".to_owned(), "put".to_owned())));
        assert!(said.contains(&("/openapi.json".to_owned(), "get".to_owned())));
    }
}
