//! A call from the moment it came in: from where, by whom, and what came of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use binauthz_core::time::UnixTime;
use http::{Extensions, HeaderMap, Request};

use super::error::ApiError;
use crate::app::App;
use crate::auth::{self, Caller};
use crate::listen::{Peer, Shown};
use crate::metrics::Outcome;
use crate::trace::{Attribute, Finished, Parent};

/// A call that came in just now, whatever protocol it came by.
pub(crate) struct Entry {
    started: Instant,
    pub(super) now: UnixTime,
    pub(super) request_id: String,
    /// The API and the method, once they are known.
    pub(super) label: (&'static str, &'static str),
    parent: Option<Parent>,
    source: Option<Source>,
}

/// Where a request came from, among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    address: IpAddr,
    certificate: Option<Arc<Shown>>,
}

impl Source {
    /// The request, told of its peer.
    pub(crate) fn told<B>(peer: &Peer, mut request: Request<B>) -> Request<B> {
        request.extensions_mut().insert(Source {
            address: peer.address.ip(),
            certificate: peer.certificate.clone(),
        });
        request
    }
}

impl Entry {
    pub(crate) fn new(app: &App) -> Entry {
        Entry {
            started: Instant::now(),
            now: (app.clock)(),
            request_id: uuid::Uuid::now_v7().to_string(),
            label: ("none", "none"),
            parent: None,
            source: None,
        }
    }

    /// As a request that came from somewhere.
    pub(crate) fn from(mut self, extensions: &Extensions) -> Entry {
        self.source = extensions.get().cloned();
        self
    }

    /// Refuses an address that has asked too often. Nothing else of a request is looked at before.
    pub(crate) fn knock(&self, app: &App) -> Result<(), ApiError> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        app.rates.source(source.address).map_err(|wait| {
            ApiError::too_many("too many requests, or wrong credentials, from this address", wait)
        })
    }

    /// Remembers that what the caller showed was no credential.
    pub(crate) fn was_wrong(&self, app: &App) {
        if let Some(source) = &self.source {
            app.rates.wrong(source.address);
        }
    }

    /// As part of the trace that its headers name, where traces are told of at all.
    pub(crate) fn within(mut self, app: &App, headers: &HeaderMap) -> Entry {
        self.parent = app.tracer.as_ref().and_then(|_| Parent::of(headers));
        self
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// When it came in.
    pub(crate) fn now(&self) -> UnixTime {
        self.now
    }

    /// Says which API's method it is, where no row of the route table says it.
    pub(crate) fn is_about(&mut self, api: &'static str, method: &'static str) {
        self.label = (api, method);
    }

    /// Who calls.
    pub(crate) async fn caller(&self, app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
        self.knock(app)?;
        let caller = match self.certified(headers) {
            Some(caller) => Some(caller),
            None => auth::authenticate(headers, app, self.now).await?,
        };
        let Some(caller) = caller else {
            if headers.contains_key(http::header::AUTHORIZATION) {
                self.was_wrong(app);
            }
            return Err(ApiError::unauthenticated());
        };
        app.rates
            .principal(caller.principal())
            .map_err(|wait| ApiError::too_many("too many calls of this principal, or refused ones", wait))?;
        Ok(caller)
    }

    /// Whom the client certificate names. Whoever shows a token as well acts by the token. A browser shows its certificate
    /// wherever a page of anybody sends it, and says that it is one by these headers: such a call needs a token.
    fn certified(&self, headers: &HeaderMap) -> Option<Caller> {
        let certificate = self.source.as_ref()?.certificate.as_ref()?;
        let is_alone = [http::header::AUTHORIZATION.as_str(), "origin", "sec-fetch-site"]
            .iter()
            .all(|name| !headers.contains_key(*name));
        // The connection may have been made long ago.
        let holds = is_alone && certificate.holds(SystemTime::now());
        holds
            .then(|| auth::of_certificate(certificate.certificate()))
            .flatten()
    }

    /// Counts what came of it.
    pub(crate) fn count(self, app: &App, outcome: Outcome) {
        let took = self.started.elapsed();
        app.control_counters.count(self.label, outcome, took);
        if let Some(tracer) = &app.tracer {
            let (api, method) = self.label;
            let text = |text: &str| Attribute::Text(text.to_owned());
            tracer.tell(Finished {
                name: format!("{api}.{method}"),
                parent: self.parent,
                ended: (app.clock)(),
                took,
                attributes: vec![
                    ("rpc.service", text(api)),
                    ("rpc.method", text(method)),
                    ("binauthz.outcome", text(outcome.as_str())),
                    ("binauthz.request_id", text(&self.request_id)),
                ],
                parts: Vec::new(),
                failed: outcome == Outcome::Failed,
            });
        }
    }
}
