//! The API of a Kubernetes cluster: one object at a time, refusals as its server words them.

use std::path::Path;

use binauthz_core::time::UnixTime;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::{Value, json};

use crate::{
    inside::{Inside, NotInside},
    kubeconfig::{self, InvalidKubeconfig},
    transport::{Credentials, Transport, TransportError},
};

/// Why a call brought no object.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server said no.
    #[error("Kubernetes refused it: {message} ({reason})")]
    Refused {
        /// The HTTP status.
        http: u16,
        /// Such as `Forbidden`.
        reason: String,
        /// Its sentence.
        message: String,
    },
    /// There was no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Something answered that is no API server.
    #[error("`{server}` answered HTTP {code} with something that is not of a Kubernetes API")]
    NotKubernetes {
        /// The base address that was asked.
        server: String,
        /// The HTTP status.
        code: u16,
    },
}

/// A connection to one API server.
#[derive(Debug)]
pub struct Api {
    transport: Transport,
}

impl Api {
    /// Connects to the cluster of a context of a kubeconfig, which is a file or, without one, what kubectl would read.
    ///
    /// # Errors
    /// [`InvalidKubeconfig`] when it cannot be used.
    pub fn of_context(kubeconfig: Option<&Path>, context: &str) -> Result<Api, InvalidKubeconfig> {
        kubeconfig::connect(kubeconfig, context)
    }

    /// Connects to the cluster that this process runs in, as its service account.
    ///
    /// # Errors
    /// [`NotInside`] when it runs in none.
    pub fn inside(inside: &Inside) -> Result<Api, NotInside> {
        inside.connect()
    }

    pub(crate) fn new(server: Url, credentials: Credentials<'_>) -> Result<Api, reqwest::Error> {
        Transport::new(server, credentials).map(|transport| Api { transport })
    }

    /// Its address.
    #[must_use]
    pub fn server(&self) -> &str {
        self.transport.server()
    }

    /// The object at a path, if there is one.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn read(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.call(Method::GET, path, None).await {
            Ok(object) => Ok(Some(object)),
            Err(ApiError::Refused { http: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds an object to a collection.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn create(&self, collection: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Method::POST, collection, Some(object)).await
    }

    /// What time it is there, in whole seconds; nothing where its answers do not say.
    ///
    /// # Errors
    /// [`ApiError`] when there is no answer.
    pub async fn time(&self) -> Result<Option<UnixTime>, ApiError> {
        // Whoever may ask nothing else may ask this; a refusal has its time, too.
        let request = self.transport.request(Method::GET, "/version")?;
        Ok(self.transport.send(request).await?.time)
    }

    /// Does everything that creating an object does, except keeping it.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn try_create(&self, collection: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Method::POST, &format!("{collection}?dryRun=All"), Some(object))
            .await
    }

    /// Has the fields of an object be as given, whoever set them before, and those that this program set earlier and that
    /// are not given go; makes the object where there is none. `dry_run` does everything except keeping it.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn apply(&self, path: &str, object: &Value, dry_run: bool) -> Result<Value, ApiError> {
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager=binauthz&force=true{dry_run}");
        let request = self.transport.request(Method::PATCH, &path)?;
        // JSON is YAML, too.
        let request = request
            .header("content-type", "application/apply-patch+yaml")
            .body(object.to_string());
        self.exchange(request).await
    }

    /// Puts an object in the place of the one whose `resourceVersion` it carries.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Method::PUT, path, Some(object)).await
    }

    /// Removes an object; whether it was there.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn delete(&self, path: &str) -> Result<bool, ApiError> {
        self.deletion(path, &json!({})).await
    }

    /// Removes the very object that was read, and no other that took its name meanwhile.
    ///
    /// # Errors
    /// [`ApiError`] when it is refused or there is no answer.
    pub async fn delete_exactly(&self, path: &str, object: &Value) -> Result<bool, ApiError> {
        let metadata = |field: &str| object.pointer(&format!("/metadata/{field}"));
        let preconditions = json!({"uid": metadata("uid"), "resourceVersion": metadata("resourceVersion")});
        self.deletion(path, &json!({"preconditions": preconditions}))
            .await
    }

    async fn deletion(&self, path: &str, options: &Value) -> Result<bool, ApiError> {
        match self.call(Method::DELETE, path, Some(options)).await {
            Ok(_) => Ok(true),
            Err(ApiError::Refused { http: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let request = self.transport.request(method, path)?;
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.exchange(request).await
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Value, ApiError> {
        let answer = self.transport.send(request).await?;
        let object: Option<Value> = serde_json::from_slice(&answer.bytes).ok();
        match (answer.code, object) {
            (200..=299, Some(object)) if object.is_object() => Ok(object),
            (code, object) => Err(object
                .and_then(|status| refusal(&status, code))
                .unwrap_or_else(|| ApiError::NotKubernetes {
                    server: self.server().to_owned(),
                    code,
                })),
        }
    }
}

/// Reads a `Status`.
fn refusal(status: &Value, http: u16) -> Option<ApiError> {
    let text = |field: &str| status.get(field).and_then(Value::as_str).map(str::to_owned);
    if text("kind")? != "Status" {
        return None;
    }
    Some(ApiError::Refused {
        http,
        reason: text("reason").unwrap_or_else(|| "no reason".to_owned()),
        message: text("message")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_refusal_and_nothing_else_is() {
        let status = json!({"kind": "Status", "message": "no", "reason": "Forbidden", "code": 403});
        assert!(matches!(
            refusal(&status, 403),
            Some(ApiError::Refused { http: 403, reason, message }) if reason == "Forbidden" && message == "no"
        ));
        for other in [
            json!({}),
            json!({"kind": "Pod", "message": "no"}),
            json!({"kind": "Status"}),
        ] {
            assert!(refusal(&other, 500).is_none(), "{other}");
        }
    }
}
