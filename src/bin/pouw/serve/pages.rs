//! The routes of the reference server, limited ones and others.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusHandle;
use pouw::merkle::TILE_LEAVES;
use pouw::protocol::{TreeHandle, WorkId};
use pouw::tower::PouwLayer;
use pouw::{Gate, HealthCondition, PartHealth, PouwEngine, Receipt, StoreError, page};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Where the files of the pages are.
pub const ASSETS: &str = "/pouw/assets/";

#[derive(Clone)]
struct Shared {
    gate: Gate,
    metrics: PrometheusHandle,
    /// Limits concurrent reads of the store outside the gate.
    looks: Arc<Semaphore>,
}

/// Most concurrent reads of the store. Further ones get a 503, so that they cannot keep answers
/// from the disk.
const LOOKS_MAX: usize = 16;

/// All routes. Only `/hello`, `/echo` and `/length` are behind the gate.
pub fn pages(gate: Gate, metrics: PrometheusHandle) -> Router {
    let gated = Router::new()
        .route("/hello", get(|| async { "hello\n" }))
        .route("/echo", post(|body: Body| async { body }))
        .route("/length", post(length))
        .layer(PouwLayer::new(gate.clone()));
    Router::new()
        .route("/", get(index))
        .route("/pouw/assets/{name}", get(asset))
        .route("/metrics", get(scrape))
        .route("/health", get(health))
        .route("/pouw/receipt/{id}", get(receipt))
        .route("/pouw/tree/{handle}", get(tree))
        .with_state(Shared { gate, metrics, looks: Arc::new(Semaphore::new(LOOKS_MAX)) })
        .merge(gated)
}

/// The page to try the limit.
async fn index() -> Response {
    file("index.html")
}

/// Returns the number of bytes of a body once all of it has come. A browser reads no response
/// before it has sent everything, so long uploads to `/echo`, which answers meanwhile, are not for
/// it.
async fn length(mut body: Body) -> Result<String, StatusCode> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        bytes += frame.data_ref().map_or(0, |data| data.len());
    }
    Ok(format!("{bytes}\n"))
}

async fn asset(Path(name): Path<String>) -> Response {
    file(&name)
}

fn file(name: &str) -> Response {
    let Some(found) = page::asset(name) else {
        return answer(StatusCode::NOT_FOUND, &json!({ "error": "there is no such file" }));
    };
    let headers = [
        (CONTENT_TYPE, found.content_type),
        (CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // The names stay the same from version to version.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, found.bytes).into_response()
}

async fn scrape(State(shared): State<Shared>) -> Response {
    // This reads file sizes and takes locks of tables, so it must not block the executor.
    let text = spawn_blocking(move || {
        shared.gate.record_metrics();
        shared.metrics.run_upkeep();
        shared.metrics.render()
    });
    match text.await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn health(State(shared): State<Shared>) -> Response {
    let Ok(health) = spawn_blocking(move || shared.gate.health()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let part = |part: &PartHealth| json!({ "status": part.condition.as_str(), "detail": part.detail });
    let overall = health.overall();
    let status = if overall == HealthCondition::Unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let document = json!({
        "status": overall.as_str(),
        "parts": {
            "limiter": part(&health.limiter),
            "queue": part(&health.queue),
            "store": part(&health.store),
            "breaker": part(&health.breaker),
            "threads": part(&health.threads),
            "setup": part(&health.setup),
        },
    });
    answer(status, &document)
}

async fn receipt(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let id = match id.parse::<WorkId>() {
        Ok(id) => id,
        Err(error) => return answer(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
    };
    let Ok(_look) = shared.looks.try_acquire() else {
        return busy();
    };
    let engine = shared.gate.engine().clone();
    match spawn_blocking(move || receipt_document(&engine, id)).await {
        Ok(Ok(Some(document))) => answer(StatusCode::OK, &document),
        Ok(Ok(None)) => answer(StatusCode::NOT_FOUND, &json!({ "error": format!("unknown unit {id}") })),
        Ok(Err(error)) => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error })),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// State, award and provenance of a challenge, and a proof of one of its leaves once the tree is
/// complete.
fn receipt_document(engine: &PouwEngine, id: WorkId) -> Result<Option<Value>, String> {
    let entry = match engine.receipt(id).map_err(|error| error.to_string())? {
        Receipt::Open => return Ok(Some(json!({ "id": id.to_string(), "state": "open" }))),
        Receipt::Voted => return Ok(Some(json!({ "id": id.to_string(), "state": "voted" }))),
        Receipt::Refused => return Ok(Some(json!({ "id": id.to_string(), "state": "refused" }))),
        Receipt::Accepted(entry) => entry,
        _ => return Ok(None),
    };
    let provenance = engine.provenance_of(&entry).map_err(|error| error.to_string())?;
    let mut document = json!({
        "id": id.to_string(),
        "state": "accepted",
        "kind": entry.kind,
        "entry": entry.seq,
        "microJoules": entry.amount.0,
        "tier": entry.tier,
        "nodes": entry.nodes,
        "leaves": entry.leaves,
        "acceptedAt": entry.at.to_rfc3339(),
        "provenance": provenance,
    });
    if let Some(found) = engine.proof_of(&entry).map_err(|error| error.to_string())? {
        document["proof"] = json!({
            "leafIndex": found.leaf.0,
            "commitment": found.commitment.digest().map_err(|error| error.to_string())?,
            "tree": found.commitment,
            "path": found.proof,
        });
    }
    Ok(Some(document))
}

/// The node of a tree whose surroundings are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Around {
    level: u8,
    index: u64,
}

/// Most tiles of a tree in one response.
const TILES_SHOWN: u64 = 64;

/// Reports the progress of a tree: its counts, and the states of the leaves around a node.
async fn tree(
    State(shared): State<Shared>,
    Path(handle): Path<String>,
    around: Result<Query<Around>, QueryRejection>,
) -> Response {
    let (handle, around) = match (handle.parse::<TreeHandle>(), around) {
        (Ok(handle), Ok(Query(around))) => (handle, around),
        (Err(error), _) => return answer(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
        (_, Err(error)) => return answer(StatusCode::BAD_REQUEST, &json!({ "error": error.body_text() })),
    };
    let Ok(_look) = shared.looks.try_acquire() else {
        return busy();
    };
    let engine = shared.gate.engine().clone();
    match spawn_blocking(move || tree_document(&engine, handle, &around)).await {
        Ok(Ok(Some(document))) => answer(StatusCode::OK, &document),
        Ok(Ok(None)) => answer(StatusCode::NOT_FOUND, &json!({ "error": "there is no such tree" })),
        Ok(Err(error)) => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error.to_string() })),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn tree_document(engine: &PouwEngine, handle: TreeHandle, around: &Around) -> Result<Option<Value>, StoreError> {
    let Some(whole) = engine.tree_progress(handle, 0, 0)? else {
        return Ok(None);
    };
    let below = u32::from(whole.height.saturating_sub(around.level));
    let tile = around.index.checked_shl(below).unwrap_or(0) / TILE_LEAVES;
    let progress = engine.tree_progress(handle, tile - tile % TILES_SHOWN, TILES_SHOWN as usize)?;
    Ok(progress.map(|progress| {
        json!({
            "treeId": handle.to_string(),
            "leaves": progress.leaves,
            "done": progress.done,
            "height": progress.height,
            "complete": progress.complete,
            "firstLeaf": progress.first_tile * TILE_LEAVES,
            "tiles": progress.tiles,
        })
    }))
}

fn busy() -> Response {
    let document = json!({ "error": "too many requests at once; retry after one second" });
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &document);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn answer(status: StatusCode, document: &Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, format!("{document}\n")).into_response()
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::to_bytes;
    use hyper::Request;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use pouw::internal::store::sim::SimDisk;
    use pouw::protocol::UnixMillis;
    use pouw::{Config, FakeClock, GateConfig, Runtime};
    use tower_service::Service;

    use super::*;

    /// What `GET /health` answers.
    fn health(gate: &Gate) -> (u16, Value) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let metrics = PrometheusBuilder::new().build_recorder().handle();
            let request = Request::get("/health").body(Body::empty()).unwrap();
            let response = pages(gate.clone(), metrics).call(request).await.unwrap();
            let status = response.status().as_u16();
            (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap())
        })
    }

    #[test]
    fn health_tells_of_writes_that_fail_and_of_a_failed_sync_that_needs_a_restart() {
        let disk = SimDisk::new();
        let clock = Arc::new(FakeClock::at(UnixMillis(1_700_000_000_000)));
        let parts = Runtime::on(Arc::new(disk.clone())).clock(clock.clone());
        let config = Config::builder([7; 32]).background(false).build().unwrap();
        let engine = PouwEngine::open_with(parts, config).unwrap();
        let gate = Gate::new(engine.clone(), GateConfig::default()).unwrap();
        let store = || {
            let (code, document) = health(&gate);
            let part = &document["parts"]["store"];
            let told = |what: &Value| what.as_str().unwrap().to_owned();
            (code, told(&document["status"]), told(&part["status"]), told(&part["detail"]))
        };
        assert_eq!(store().2, "healthy");
        clock.advance(Duration::from_millis(3_600_000));
        disk.set_full(true);
        engine.sweep().unwrap_err();
        let (code, all, part, detail) = store();
        assert_eq!((code, &*all, &*part), (200, "degraded", "degraded"));
        assert!(detail.contains("the last write failed, 1 in a row"), "{detail}");
        disk.set_full(false);
        // The writer reopens the store in its own time.
        while engine.sweep().is_err() {}
        assert_eq!(store().2, "healthy");
        // A sweep writes the time once an hour.
        clock.advance(Duration::from_millis(3_600_000));
        disk.fail_sync(1, true);
        engine.sweep().unwrap_err();
        disk.heal();
        let (code, all, part, detail) = store();
        assert_eq!((code, &*all, &*part), (503, "unavailable", "unavailable"));
        assert!(detail.contains("until the process restarts"), "{detail}");
    }
}
