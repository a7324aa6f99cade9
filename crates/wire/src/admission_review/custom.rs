//! An AdmissionReview about a custom resource, read a second time: its object has a form that only the operator's paths
//! know, so it is kept whole.

use serde::Deserialize;
use serde_json::Value;

use super::{Envelope, Groups, InvalidReview, Matter, Request, Review, UserInfo, WireKind, review_of};
use crate::custom_resources::{CustomResource, CustomResources};
use crate::json;
use crate::strict::{self, Text, strict_struct};
use crate::workload::{InvalidWorkload, Workload};

strict_struct! {
    struct TreeEnvelope<'a> {
        api_version: Text<'a> = "apiVersion",
        kind: Text<'a> = "kind",
        request: TreeRequest<'a> = "request",
    }
}

strict_struct! {
    struct TreeRequest<'a> {
        uid: Text<'a> = "uid",
        kind: WireKind<'a> = "kind",
        resource: Resource<'a> = "resource",
        sub_resource: Text<'a> = "subResource",
        name: Text<'a> = "name",
        namespace: Text<'a> = "namespace",
        operation: Text<'a> = "operation",
        user_info: UserInfo<'a> = "userInfo",
        object: Tree = "object",
        old_object: Tree = "oldObject",
        dry_run: bool = "dryRun",
    }
}

strict_struct! {
    struct Resource<'a> {
        group: Text<'a> = "group",
        version: Text<'a> = "version",
        resource: Text<'a> = "resource",
    }
}

/// A whole object, with no key twice, of at most 200 000 values: a hundred times what etcd takes of real ones.
#[derive(Debug)]
pub(crate) struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        json::Value::deserialize(deserializer).map(|value| Tree(value.into()))
    }
}

/// A question about a custom resource whose image paths are configured.
#[derive(Debug)]
pub struct CustomReview<'a> {
    review: Review<'a>,
    resource: &'a CustomResource,
    object: Option<Tree>,
    old_object: Option<Tree>,
}

impl<'a> CustomReview<'a> {
    /// Reads a review; nothing if it is about something else than one of `resources`.
    pub fn read(
        body: &'a [u8],
        resources: &'a CustomResources,
    ) -> Result<Option<CustomReview<'a>>, InvalidReview> {
        let envelope: TreeEnvelope<'a> = strict::read(body).map_err(InvalidReview::Malformed)?;
        let request = envelope.request.ok_or(InvalidReview::NoRequest)?;
        let resource = request.resource.unwrap_or_default();
        let text = |text: &Option<Text<'a>>| text.as_ref().map_or("", |text| text.0.as_ref()).to_owned();
        let (group, version) = (text(&resource.group), text(&resource.version));
        let found = resources.find(&group, &version, &text(&resource.resource));
        let kind = request.kind.unwrap_or_default();
        let is_of_kind = text(&kind.group) == group && text(&kind.version) == version;
        let whole = text(&request.sub_resource).is_empty();
        let Some(resource) = found.filter(|_| is_of_kind && whole) else {
            return Ok(None);
        };
        let review = review_of(Envelope {
            api_version: envelope.api_version,
            kind: envelope.kind,
            request: Some(Request {
                uid: request.uid,
                kind: Some(kind),
                sub_resource: request.sub_resource,
                name: request.name,
                namespace: request.namespace,
                operation: request.operation,
                user_info: request.user_info,
                object: None,
                old_object: None,
                dry_run: request.dry_run,
            }),
        })?;
        Ok(Some(CustomReview {
            review,
            resource,
            object: request.object,
            old_object: request.old_object,
        }))
    }

    /// What is asked, but for the object.
    pub fn review(&self) -> &Review<'a> {
        &self.review
    }

    /// Takes the groups of whoever asks away.
    pub fn take_groups(&mut self) -> Groups<'a> {
        self.review.take_groups()
    }

    /// What is to be judged. An error ends as a denial.
    pub fn matter(&self) -> Result<Matter<'_>, InvalidWorkload> {
        let review = &self.review;
        if review.operation == "DELETE" {
            return Ok(Matter::Deletion);
        }
        let Tree(object) = self.object.as_ref().ok_or(InvalidWorkload::NoObject)?;
        let Some(workload) = Workload::extract_custom(self.resource, &review.kind, object)? else {
            return Ok(Matter::NoImage);
        };
        // As with every other kind: what cannot be read narrows nothing.
        let old = match (review.operation.as_ref(), &self.old_object) {
            ("UPDATE", Some(Tree(old))) => Workload::extract_custom(self.resource, &review.kind, old)
                .ok()
                .flatten(),
            _ => None,
        };
        Ok(Matter::Judge { workload, old })
    }
}

#[cfg(test)]
#[path = "custom/tests.rs"]
mod tests;
