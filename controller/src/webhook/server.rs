//! The webhook's HTTPS server: decodes admission requests and answers with verdicts.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{Next, from_fn},
    response::IntoResponse,
    routing::post,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use kube::core::{
    DynamicObject, Resource,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
};
use lodestone_controller_core::admission::{AdmissionEdit, AdmissionVerdict, Edit};
use lodestone_crds::{IPAddressPool, L2Advertisement};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::de::DeserializeOwned;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// The path that the API server calls.
const PATH: &str = "/validate";

/// How many connections are served at once. The API server needs few; others wait.
const CONNECTIONS: usize = 32;

/// The time limit of a TLS handshake, and of one answer. The API server waits 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest request in bytes. The API server accepts objects up to 1.5 MiB, and a request
/// contains the old object and the new one.
const MAX_REQUEST: usize = 4 << 20;

/// How long a connection may wait for the headers of the next request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the server waits after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// An edit for the owner of the state to review.
#[derive(Debug)]
pub struct ReviewRequest {
    /// What a user wants to change: the object before and after.
    pub edit: Edit,
    /// Where the answer goes.
    pub answer: oneshot::Sender<AdmissionVerdict>,
}

/// The certificate that is served now.
type Certificate = watch::Receiver<Option<Arc<CertifiedKey>>>;

#[derive(Debug)]
struct CurrentCertificate(Certificate);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

/// Serves until it is dropped. `namespace` is the only one that configuration may be in.
///
/// # Errors
/// When this build's cryptography does not support TLS.
pub(super) async fn serve(
    listener: TcpListener,
    certificate: Certificate,
    namespace: String,
    reviews: mpsc::Sender<ReviewRequest>,
) -> Result<(), rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(CurrentCertificate(certificate)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));
    let router = router(namespace, reviews);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (tls, router) = (tls.clone(), router.clone());
                connections.spawn(async move {
                    serve_connection(stream, &tls, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn router(namespace: String, reviews: mpsc::Sender<ReviewRequest>) -> Router {
    let answer = move |Json(review): Json<AdmissionReview<DynamicObject>>| {
        let (namespace, reviews) = (namespace.clone(), reviews.clone());
        async move { Json(answer(review, &namespace, &reviews).await.into_review()) }
    };
    // A client that sends half a request must not keep its place.
    let in_time = |request: Request, next: Next| async move {
        let answer = timeout(ANSWER_TIMEOUT, next.run(request)).await;
        answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
    };
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(from_fn(in_time))
}

async fn serve_connection(stream: TcpStream, tls: &TlsAcceptor, router: Router) {
    // A client that speaks no TLS, or does not trust the certificate, learns that from the
    // protocol.
    let Ok(Ok(stream)) = timeout(ANSWER_TIMEOUT, tls.accept(stream)).await else {
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    if let Err(error) = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
    {
        tracing::debug!(%error, "a connection to the webhook ended");
    }
}

async fn answer(
    review: AdmissionReview<DynamicObject>,
    namespace: &str,
    reviews: &mpsc::Sender<ReviewRequest>,
) -> AdmissionResponse {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return AdmissionResponse::invalid(error),
    };
    let mut response = AdmissionResponse::from(&request);
    let AdmissionVerdict { denied, warnings } = match parse_edit(&request, namespace) {
        Ok(Some(edit)) => request_review(edit, reviews).await,
        Ok(None) => AdmissionVerdict::default(),
        Err(text) => AdmissionVerdict::denied(text),
    };
    if !warnings.is_empty() {
        response.warnings = Some(warnings);
    }
    match denied {
        Some(text) => response.deny(text),
        None => response,
    }
}

async fn request_review(edit: Edit, reviews: &mpsc::Sender<ReviewRequest>) -> AdmissionVerdict {
    let (sender, answer) = oneshot::channel();
    let asked = async {
        reviews.send(ReviewRequest { edit, answer: sender }).await.ok()?;
        answer.await.ok()
    };
    // Without an answer the edit is allowed. A condition on the object then says what is wrong.
    timeout(ANSWER_TIMEOUT / 2, asked)
        .await
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The edit that the request is about; `None` when it does not concern the configuration.
fn parse_edit(request: &AdmissionRequest<DynamicObject>, namespace: &str) -> Result<Option<Edit>, String> {
    let here = request.namespace.as_deref() == Some(namespace);
    if request.operation == Operation::Create && !here {
        return Err(format!(
            "resource must be created in {namespace} namespace: Lodestone reads no other"
        ));
    }
    if !here {
        // An object in another namespace has no effect, so it may be edited and deleted.
        return Ok(None);
    }
    let kind = request.kind.kind.as_str();
    Ok(if kind == IPAddressPool::kind(&()) {
        Some(Edit::Pool(object_edit(request)?))
    } else if kind == L2Advertisement::kind(&()) {
        Some(Edit::L2Advertisement(object_edit(request)?))
    } else {
        None
    })
}

fn object_edit<K>(request: &AdmissionRequest<DynamicObject>) -> Result<AdmissionEdit<K>, String>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let parse = |object: &DynamicObject| object.clone().try_parse::<K>();
    let new = request.object.as_ref().map(parse).transpose();
    Ok(AdmissionEdit {
        // An object that is older than the schema may not be decodable.
        old: request.old_object.as_ref().and_then(|object| parse(object).ok()),
        new: new.map_err(|error| error.to_string())?,
    })
}
