//! The PostgreSQL engine on a real database: the acceptance suite, and what only several servers on one database show.

mod cluster;
mod opening;
mod outages;
mod plans;
mod proxy;
mod servers;
mod transfer;

use binauthz_store::acceptance;

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_passes_the_suite() {
    // What a power cut would do is not asked here.
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    acceptance::suite(async || cluster.store(&cluster.database(), "one").await).await;
}
