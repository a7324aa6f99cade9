//! A refusal as an Event of Kubernetes, and the object that it is about.

use std::collections::BTreeMap;

use binauthz_core::time::UnixTime;
use serde_json::{Value, json};

use crate::json::timestamp_out;
use crate::strict::{self, List, Text, strict_struct};

/// Kubernetes cuts longer notes of its own at this.
const MESSAGE_BYTES: usize = 1_024;

strict_struct! {
    struct Envelope<'a> {
        request: Request<'a> = "request",
    }
}

strict_struct! {
    struct Request<'a> {
        kind: Kind<'a> = "kind",
        name: Text<'a> = "name",
        namespace: Text<'a> = "namespace",
        object: Object<'a> = "object",
    }
}

strict_struct! {
    struct Kind<'a> {
        group: Text<'a> = "group",
        version: Text<'a> = "version",
        kind: Text<'a> = "kind",
    }
}

strict_struct! {
    struct Object<'a> {
        metadata: Metadata<'a> = "metadata",
    }
}

strict_struct! {
    struct Metadata<'a> {
        name: Text<'a> = "name",
        generate_name: Text<'a> = "generateName",
        uid: Text<'a> = "uid",
        owner_references: List<Owner<'a>> = "ownerReferences",
    }
}

strict_struct! {
    struct Owner<'a> {
        api_version: Text<'a> = "apiVersion",
        kind: Text<'a> = "kind",
        name: Text<'a> = "name",
        uid: Text<'a> = "uid",
        controller: bool = "controller",
    }
}

/// The object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its namespace, which is the Event's.
    pub namespace: String,
    /// Its kind.
    pub kind: String,
    /// Group and version of its kind.
    pub api_version: String,
    /// Its name.
    pub name: String,
    /// Its uid, if it is there already.
    pub uid: String,
}

impl About {
    /// Of the body of an AdmissionReview that was refused: the controller that made the object, else the object. Nothing
    /// for what is in no namespace or has no name. What an owner reference says decides nothing but where people find the
    /// Event.
    pub fn of_review(body: &[u8]) -> Option<About> {
        let envelope: Envelope<'_> = strict::read(body).ok()?;
        let request = envelope.request?;
        let text = |text: Option<Text<'_>>| text.unwrap_or_default().0.into_owned();
        let metadata = request
            .object
            .and_then(|object| object.metadata)
            .unwrap_or_default();
        let namespace = Some(text(request.namespace)).filter(|namespace| !namespace.is_empty())?;
        let owners = metadata.owner_references.unwrap_or_default().0;
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true));
        if let Some(owner) = owner {
            return Some(About {
                namespace,
                kind: text(owner.kind),
                api_version: text(owner.api_version),
                name: text(owner.name),
                uid: text(owner.uid),
            });
        }
        let kind = request.kind.unwrap_or_default();
        let (group, version) = (text(kind.group), text(kind.version));
        let names = [request.name, metadata.name, metadata.generate_name];
        let name = names.into_iter().map(text).find(|name| !name.is_empty())?;
        Some(About {
            namespace,
            kind: text(kind.kind),
            api_version: match group.as_str() {
                "" => version,
                group => format!("{group}/{version}"),
            },
            name,
            uid: text(metadata.uid),
        })
    }

    /// What tells it apart from others.
    pub fn key(&self) -> String {
        let About {
            namespace,
            kind,
            api_version,
            name,
            ..
        } = self;
        format!("{namespace}/{api_version}/{kind}/{name}")
    }
}

/// The Event of a refusal, with its sentence and the name of its record.
pub fn write(about: &About, time: UnixTime, (message, decision): (&str, &str)) -> Value {
    let time = timestamp_out(UnixTime::from_seconds(time.as_micros().div_euclid(1_000_000)));
    let fields = [
        ("kind", &about.kind),
        ("apiVersion", &about.api_version),
        ("namespace", &about.namespace),
        ("name", &about.name),
        ("uid", &about.uid),
    ];
    // What is not there yet has no uid.
    let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
    let object: BTreeMap<&str, &String> = fields.collect();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": format!("binauthz.{decision}"),
            "namespace": about.namespace,
            "annotations": {"binauthz/decision": decision},
        },
        "involvedObject": object,
        "type": "Warning",
        "reason": "BinaryAuthorizationDenied",
        "message": cut(message),
        "source": {"component": "binauthz"},
        "reportingComponent": "binauthz",
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

fn cut(message: &str) -> String {
    if message.len() <= MESSAGE_BYTES {
        return message.to_owned();
    }
    let mut end = MESSAGE_BYTES - '…'.len_utf8();
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}…", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(metadata: &Value) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": "apps", "version": "v1", "kind": "ReplicaSet"}, "namespace": "n",
            "object": {"metadata": metadata, "spec": {}}}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn it_is_about_the_controller_or_the_object() {
        let owner = |controller: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "x", "controller": controller});
        let found = |metadata: Value| {
            let about = About::of_review(&review(&metadata))?;
            Some(format!("{} {}", about.key(), about.uid))
        };
        let own = Some("n/apps/v1/ReplicaSet/r ".to_owned());
        assert_eq!(found(json!({"name": "r"})), own);
        assert_eq!(
            found(json!({"name": "r", "ownerReferences": [owner(json!(false)), owner(Value::Null)]})),
            own
        );
        assert_eq!(
            found(json!({"name": "r", "ownerReferences": [owner(json!(false)), owner(json!(true))]})),
            Some("n/apps/v1/Deployment/d x".to_owned())
        );
        assert_eq!(
            found(json!({"generateName": "g-", "uid": "y"})),
            Some("n/apps/v1/ReplicaSet/g- y".to_owned())
        );
        assert_eq!(found(json!({})), None);
        assert_eq!(found(json!({"name": "r", "ownerReferences": 5})), None);
        let elsewhere = String::from_utf8(review(&json!({"name": "r"})))
            .unwrap()
            .replace("\"namespace\"", "\"x\"");
        assert_eq!(About::of_review(elsewhere.as_bytes()), None);
        assert_eq!(About::of_review(b"{"), None);
    }

    #[test]
    fn it_is_written_as_kubernetes_reads_it() {
        let about = About::of_review(&review(&json!({"name": "r"}))).unwrap();
        let event = write(
            &about,
            UnixTime::from_micros(1_800_000_000_999_999),
            ("why", "0199"),
        );
        assert_eq!(
            (
                &event["metadata"]["name"],
                &event["firstTimestamp"],
                &event["message"]
            ),
            (
                &json!("binauthz.0199"),
                &json!("2027-01-15T08:00:00Z"),
                &json!("why")
            )
        );
        assert_eq!(
            event["involvedObject"].get("uid"),
            None,
            "what is not there has no uid"
        );
        let long = write(&about, UnixTime::from_seconds(0), (&"ä".repeat(600), "1"));
        let message = long["message"].as_str().unwrap();
        assert!(
            message.len() <= 1_024 && message.len() > 1_020 && message.ends_with("ä…"),
            "{}",
            message.len()
        );
    }
}
