//! Where the API server of a cluster finds the webhook: at a URL, or behind a Service of its own.

use std::{fmt, str::FromStr};

use binauthz_core::name::ClusterName;
use reqwest::Url;
use serde_json::{Map, Value, json};

/// The port of a Service when none is said, as Kubernetes has it.
const SERVICE_PORT: u16 = 443;

/// Where the webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A server outside of the cluster: `https://HOST:PORT`, with a prefix or without.
    Url(String),
    /// A server inside of it.
    Service {
        /// Namespace of the Service, which is not guarded: the server must be able to start.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// What is no place of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not what an API server accepts as the URL of a webhook.
    #[error(
        "`{0}` is not an https:// URL without query, fragment and user, such as https://binauthz.example:8443"
    )]
    Url(String),
    /// Not the name of a Service.
    #[error("`{0}` is not NAMESPACE/NAME or NAMESPACE/NAME:PORT of a Service")]
    Service(String),
}

impl Endpoint {
    /// `https://HOST:PORT`.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] when an API server would not take it.
    pub fn url(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = || InvalidEndpoint::Url(text.to_owned());
        let url = Url::parse(text).map_err(|_| invalid())?;
        let bare = url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !url.has_host() || !bare || !anonymous {
            return Err(invalid());
        }
        Ok(Endpoint::Url(text.trim_end_matches('/').to_owned()))
    }

    /// `NAMESPACE/NAME[:PORT]`.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] when it is something else.
    pub fn service(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = || InvalidEndpoint::Service(text.to_owned());
        let (namespace, rest) = text.split_once('/').ok_or_else(invalid)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, u16::from_str(port).map_err(|_| invalid())?),
            None => (rest, SERVICE_PORT),
        };
        if !is_label(namespace) || !is_label(name) || port == 0 {
            return Err(invalid());
        }
        Ok(Endpoint::Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
        })
    }

    /// The namespace that the server itself runs in.
    #[must_use]
    pub fn own_namespace(&self) -> Option<&str> {
        match self {
            Endpoint::Url(_) => None,
            Endpoint::Service { namespace, .. } => Some(namespace),
        }
    }

    /// The `clientConfig` of a webhook that is called for a cluster. `route` is `admit` or `mutate`.
    pub(crate) fn client_config(&self, route: &str, cluster: &ClusterName, ca_bundle: &str) -> Value {
        let path = format!("/{route}/{cluster}");
        match self {
            Endpoint::Url(base) => json!({"url": format!("{base}{path}"), "caBundle": ca_bundle}),
            Endpoint::Service {
                namespace,
                name,
                port,
            } => json!({
                "service": {"namespace": namespace, "name": name, "port": port, "path": path},
                "caBundle": ca_bundle,
            }),
        }
    }

    /// The endpoint that a `clientConfig` names, if it is of the form above, whatever the cluster.
    pub(crate) fn of_client_config(config: &Map<String, Value>, route: &str) -> Option<Endpoint> {
        if let Some(url) = config.get("url").and_then(Value::as_str) {
            let (base, _) = url.split_once(&format!("/{route}/projects/"))?;
            return Endpoint::url(base).ok();
        }
        let service = config.get("service")?;
        let text = |field: &str| service.get(field).and_then(Value::as_str);
        let port = service.get("port").and_then(Value::as_u64);
        let port = port.unwrap_or(u64::from(SERVICE_PORT));
        Endpoint::service(&format!("{}/{}:{port}", text("namespace")?, text("name")?)).ok()
    }
}

/// For the person who reads the plan.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Url(base) => f.write_str(base),
            Endpoint::Service {
                namespace,
                name,
                port,
            } => write!(f, "Service {namespace}/{name}:{port}"),
        }
    }
}

/// A DNS label, which is what names of namespaces and Services are.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_an_api_server_takes() {
        for (text, base) in [
            ("https://b.example:8443", "https://b.example:8443"),
            ("https://b.example:8443/", "https://b.example:8443"),
            ("https://10.0.0.7/prefix", "https://10.0.0.7/prefix"),
        ] {
            assert_eq!(Endpoint::url(text), Ok(Endpoint::Url(base.to_owned())));
        }
        for text in [
            "",
            "b.example:8443",
            "http://b.example",
            "https://",
            "https://u@b.example",
            "https://b.example?x=1",
            "https://b.example#x",
        ] {
            assert_eq!(Endpoint::url(text), Err(InvalidEndpoint::Url(text.to_owned())));
        }
    }

    #[test]
    fn services_have_a_namespace_a_name_and_perhaps_a_port() {
        let service = |port| {
            Ok(Endpoint::Service {
                namespace: "ns".to_owned(),
                name: "b".to_owned(),
                port,
            })
        };
        assert_eq!(Endpoint::service("ns/b"), service(443));
        assert_eq!(Endpoint::service("ns/b:8443"), service(8443));
        for text in [
            "",
            "b",
            "ns/",
            "/b",
            "ns/b:",
            "ns/b:0",
            "ns/b:65536",
            "Ns/b",
            "ns/-b",
            "a/b/c",
        ] {
            assert_eq!(
                Endpoint::service(text),
                Err(InvalidEndpoint::Service(text.to_owned()))
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cluster: ClusterName = "projects/p/locations/l/clusters/c".parse().expect("a name");
        for endpoint in [
            Endpoint::url("https://b.example:8443/x"),
            Endpoint::service("ns/b:8443"),
        ] {
            let endpoint = endpoint.expect("an endpoint");
            let config = endpoint.client_config("admit", &cluster, "Q0E=");
            let config = config.as_object().expect("an object");
            assert_eq!(Endpoint::of_client_config(config, "admit"), Some(endpoint));
        }
        let elsewhere = json!({"url": "https://evil.example/allow"});
        assert_eq!(
            Endpoint::of_client_config(elsewhere.as_object().expect("an object"), "admit"),
            None
        );
    }
}
