//! The webhook's HTTPS server.

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

use crate::admission::{Change, Edit, Verdict};

/// The path that the API server asks at.
pub const PATH: &str = "/validate";

/// How many connections there may be. The API server needs few; the others wait.
const CONNECTIONS: usize = 32;

/// How long a client may take to say who it is, and how long the answer may take. The API server itself waits for 5 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// How large a question may be. The API server takes no object of more than 1.5 MiB, and sends the old one along.
const LARGEST: usize = 4 << 20;

/// An edit to be looked at by whoever owns the state.
#[derive(Debug)]
pub struct Review {
    /// The edit.
    pub edit: Edit,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Verdict>,
}

/// The certificate that is served now.
pub type Certificate = watch::Receiver<Option<Arc<CertifiedKey>>>;

#[derive(Debug)]
struct Current(Certificate);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

/// Serves for ever. `namespace` is the only one that configuration may be in.
///
/// # Errors
/// When this build's cryptography can't speak TLS.
pub async fn serve(
    listener: TcpListener,
    certificate: Certificate,
    namespace: String,
    reviews: mpsc::Sender<Review>,
) -> Result<(), rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Current(certificate)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));
    let answer = move |Json(review): Json<AdmissionReview<DynamicObject>>| {
        let (namespace, reviews) = (namespace.clone(), reviews.clone());
        async move { Json(answer(review, &namespace, &reviews).await.into_review()) }
    };
    // Whoever begins a question and does not end it holds nobody up.
    let in_time = |request: Request, next: Next| async move {
        let answer = timeout(PATIENCE, next.run(request)).await;
        answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
    };
    let router = Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(from_fn(in_time));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Nobody closes the semaphore.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (tls, router) = (tls.clone(), router.clone());
                connections.spawn(async move {
                    connection(stream, &tls, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the webhook can't take a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: &TlsAcceptor, router: Router) {
    // Whoever does not speak TLS, or does not trust us, is told so by the protocol.
    let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await else {
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(Duration::from_secs(120));
    if let Err(error) = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
    {
        tracing::debug!(%error, "a connection to the webhook has ended");
    }
}

async fn answer(
    review: AdmissionReview<DynamicObject>,
    namespace: &str,
    reviews: &mpsc::Sender<Review>,
) -> AdmissionResponse {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return AdmissionResponse::invalid(error),
    };
    let mut response = AdmissionResponse::from(&request);
    let Verdict { denied, warnings } = match edit(&request, namespace) {
        Ok(Some(edit)) => ask(edit, reviews).await,
        Ok(None) => Verdict::default(),
        Err(text) => Verdict::denied(text),
    };
    if !warnings.is_empty() {
        response.warnings = Some(warnings);
    }
    match denied {
        Some(text) => response.deny(text),
        None => response,
    }
}

async fn ask(edit: Edit, reviews: &mpsc::Sender<Review>) -> Verdict {
    let (sender, answer) = oneshot::channel();
    let asked = async {
        reviews.send(Review { edit, answer: sender }).await.ok()?;
        answer.await.ok()
    };
    // No answer is no objection: the conditions tell what is wrong.
    timeout(PATIENCE / 2, asked).await.ok().flatten().unwrap_or_default()
}

/// What the request is about; `None`: nothing of ours.
fn edit(request: &AdmissionRequest<DynamicObject>, namespace: &str) -> Result<Option<Edit>, String> {
    let here = request.namespace.as_deref() == Some(namespace);
    if request.operation == Operation::Create && !here {
        return Err(format!(
            "resource must be created in {namespace} namespace: Lodestone reads no other"
        ));
    }
    if !here {
        // It is of no use there, and may be changed and deleted.
        return Ok(None);
    }
    let kind = request.kind.kind.as_str();
    Ok(if kind == IPAddressPool::kind(&()) {
        Some(Edit::Pool(change(request)?))
    } else if kind == L2Advertisement::kind(&()) {
        Some(Edit::L2Advertisement(change(request)?))
    } else {
        None
    })
}

fn change<K>(request: &AdmissionRequest<DynamicObject>) -> Result<Change<K>, String>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let parse = |object: &DynamicObject| object.clone().try_parse::<K>();
    let new = request.object.as_ref().map(parse).transpose();
    Ok(Change {
        // One that was written before there was a schema may be unreadable.
        old: request.old_object.as_ref().and_then(|object| parse(object).ok()),
        new: new.map_err(|error| error.to_string())?,
    })
}
