//! One HTTP/2 connection to the API port, over TLS or without, on which the generated clients call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::support::Desk;

/// The connection, and the credential that goes with every call.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: SendRequest<Body>,
    authorization: Option<HeaderValue>,
}

/// What a call was answered, without a client in between.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: tonic::Status,
    /// The message, out of its frame.
    pub(crate) message: Vec<u8>,
}

impl Channel {
    /// HTTP/2 without TLS, by prior knowledge, as the administrator.
    pub(crate) async fn plain(desk: &Desk) -> Channel {
        let stream = TcpStream::connect(desk.addresses().api).await.unwrap();
        Channel::on(stream).await.with_token(Some(desk.token()))
    }

    /// HTTP/2 over TLS, as the administrator; the server must offer it.
    pub(crate) async fn secure(desk: &Desk) -> Channel {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(desk.folder().join("webhook-ca.pem")).unwrap();
        roots.add(authority).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(desk.addresses().api).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Channel::on(stream).await.with_token(Some(desk.token()))
    }

    async fn on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Channel {
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Channel {
            sender,
            authorization: None,
        }
    }

    /// The same connection with another token, or none.
    pub(crate) fn with_token(&self, token: Option<&str>) -> Channel {
        Channel {
            sender: self.sender.clone(),
            authorization: token.map(|token| format!("Bearer {token}").parse().unwrap()),
        }
    }

    /// Any request on this connection.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        *request.uri_mut() = format!("http://localhost{}", request.uri()).parse().unwrap();
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.sender.clone().send_request(request).await
    }

    /// Calls a method with the bytes of a message.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Raw {
        self.call_with(path, framed(message), &[]).await
    }

    /// Calls a method with any bytes and more headers.
    pub(crate) async fn call_with(&self, path: &str, bytes: Vec<u8>, headers: &[(&str, &str)]) -> Raw {
        self.call_with_body(path, Body::new(Full::new(Bytes::from(bytes))), headers)
            .await
    }

    pub(crate) async fn call_with_body(&self, path: &str, body: Body, headers: &[(&str, &str)]) -> Raw {
        let mut request = Request::post(path).header(CONTENT_TYPE, "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        let at_once = tonic::Status::from_header_map(response.headers());
        let body = response.into_body().collect().await.unwrap();
        let at_the_end = body.trailers().and_then(tonic::Status::from_header_map);
        let bytes = body.to_bytes();
        Raw {
            status: at_once.or(at_the_end).expect("every answer has a status"),
            message: bytes.get(5..).unwrap_or_default().to_vec(),
        }
    }
}

/// A message in gRPC's frame: not compressed, its length, its bytes.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { channel.send(request).await })
    }
}
