//! What `/healthz` says of how a store keeps data.

use end_to_end::app::{Ask, Place};
use end_to_end::redis_server::RedisServer;

async fn warnings(options: &[&str]) -> Vec<String> {
    let place = Place::Redis(RedisServer::start(options).expect("a server"));
    let app = place.app().await;
    let health = Ask::get("/healthz").of(&app).await;
    assert_eq!(health.status, 200, "it serves all the same: {health:?}");
    let warnings = health.json()["warnings"].as_array().expect("a list").clone();
    let code = |warning: &serde_json::Value| warning["code"].as_str().expect("a code").to_owned();
    warnings.iter().map(code).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_that_can_take_data_is_warned_of() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let found = warnings(&["--maxmemory-policy", policy, "--appendonly", "yes"]).await;
        assert_eq!(found, ["eviction_policy", "no_replica"], "{policy}");
    }
    let found = warnings(&["--maxmemory-policy", "noeviction", "--appendonly", "yes"]).await;
    assert_eq!(found, ["no_replica"]);
    let found = warnings(&["--maxmemory-policy", "noeviction", "--appendonly", "no"]).await;
    assert_eq!(found, ["no_append_only_file", "no_replica"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_has_no_warnings() {
    let app = Place::Kv.app().await;
    let health = Ask::get("/healthz").of(&app).await;
    assert_eq!(health.json()["warnings"], serde_json::json!([]));
}
