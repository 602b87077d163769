//! A layer of the client that makes requests fail, by seed. Requests are refused (409, 410, 429,
//! 500) or get lost, responses get lost after the server has carried out the request, and watches
//! end early.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tower::{BoxError, Layer, Service};

/// The body of a response.
type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Injects faults into requests, and counts them.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Mutex<State>>);

struct State {
    random: StdRng,
    enabled: bool,
    injected: BTreeMap<&'static str, u32>,
    needless: Vec<String>,
}

/// What happens to one request.
enum Fate {
    Pass,
    Refused(StatusCode, &'static str),
    /// The request never arrives.
    Lost,
    /// The server carries out the request, and the response gets lost.
    ResponseLost,
    /// The response ends after this time.
    Cut(Duration),
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: StdRng::seed_from_u64(seed),
            enabled: true,
            injected: BTreeMap::new(),
            needless: Vec::new(),
        })))
    }

    /// Injects no more faults from now on.
    pub(crate) fn stop(&self) {
        self.0.lock().unwrap().enabled = false;
    }

    /// The number of injected faults of each kind.
    pub(crate) fn injected(&self) -> BTreeMap<&'static str, u32> {
        self.0.lock().unwrap().injected.clone()
    }

    /// The paths of status patches that changed nothing.
    pub(crate) fn needless(&self) -> Vec<String> {
        self.0.lock().unwrap().needless.clone()
    }

    fn fate(&self, watch: bool) -> Fate {
        let mut state = self.0.lock().unwrap();
        if !state.enabled {
            return Fate::Pass;
        }
        let dice = state.random.random_range(0..100);
        let (name, fate) = match (watch, dice) {
            (true, 0..40) => {
                let after = Duration::from_millis(state.random.random_range(1..400));
                ("watch cut", Fate::Cut(after))
            }
            (true, 40..46) => ("watch 410", Fate::Refused(StatusCode::GONE, "Expired")),
            (false, 0..3) => ("409", Fate::Refused(StatusCode::CONFLICT, "Conflict")),
            (false, 3..5) => ("410", Fate::Refused(StatusCode::GONE, "Expired")),
            (false, 5..8) => ("429", Fate::Refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
            (_, 50..54) => ("500", Fate::Refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            (_, 54..58) => ("request lost", Fate::Lost),
            (false, 58..64) => ("response lost", Fate::ResponseLost),
            _ => return Fate::Pass,
        };
        *state.injected.entry(name).or_default() += 1;
        fate
    }

    /// Records a patch that changed nothing: the API server then returns the version that was sent.
    fn note_needless(&self, path: &str, sent: &Bytes, got: &Bytes) {
        let version = |bytes: &Bytes| {
            let object: Value = serde_json::from_slice(bytes).ok()?;
            object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
        };
        if let (Some(sent), Some(got)) = (version(sent), version(got))
            && sent == got
        {
            self.0.lock().unwrap().needless.push(path.to_owned());
        }
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty {
            inner,
            faults: self.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S, B> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let (path, method) = (request.uri().path().to_owned(), request.method().clone());
        let fate = self.faults.fate(watch);
        match fate {
            Fate::Refused(status, reason) => return Box::pin(async move { Ok(refusal(status, reason)) }),
            Fate::Lost => return Box::pin(async { Err("the request got lost".into()) }),
            Fate::Pass | Fate::ResponseLost | Fate::Cut(_) => {}
        }
        let (parts, body) = request.into_parts();
        // The body of a request is in memory already.
        let sent = body.collect().now_or_never().unwrap().unwrap().to_bytes();
        let response = self.inner.call(Request::from_parts(parts, Body::from(sent.clone())));
        let faults = self.faults.clone();
        Box::pin(async move {
            let (parts, body) = response.await?.into_parts();
            let mut frames = body
                .into_data_stream()
                .map(|chunk| chunk.map(Frame::data).map_err(Into::into))
                .boxed();
            if let Fate::Cut(after) = fate {
                frames = frames.take_until(tokio::time::sleep(after)).boxed();
            }
            if method == Method::PATCH && parts.status.is_success() {
                let got = BodyExt::collect(StreamBody::new(frames)).await?.to_bytes();
                faults.note_needless(&path, &sent, &got);
                frames = futures::stream::once(async move { Ok(Frame::data(got)) }).boxed();
            }
            if matches!(fate, Fate::ResponseLost) {
                return Err("the response got lost".into());
            }
            Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
        })
    }
}

fn refusal(status: StatusCode, reason: &str) -> Response<ResponseBody> {
    let text = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "injected", "reason": reason,
        "code": status.as_u16(),
    });
    let mut response = Response::new(
        Full::new(Bytes::from(text.to_string()))
            .map_err(Into::into)
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    response
}
