//! Every statement walks an index, and the question of an admission needs no sorting.

use crate::cluster::Cluster;

const SOURCES: [&str; 7] = [
    include_str!("../../src/postgres/read.rs"),
    include_str!("../../src/postgres/alerts.rs"),
    include_str!("../../src/postgres/apply.rs"),
    include_str!("../../src/postgres/metrics.rs"),
    include_str!("../../src/postgres/news.rs"),
    include_str!("../../src/postgres/settle.rs"),
    include_str!("../../src/postgres/writer.rs"),
];

/// Statements of the sources that look for rows.
fn statements() -> Vec<&'static str> {
    let pieces = SOURCES.iter().flat_map(|source| source.split('"'));
    let looks = |piece: &&str| {
        let verb = ["SELECT", "DELETE", "UPDATE", "WITH"]
            .iter()
            .any(|verb| piece.starts_with(verb));
        verb && piece.contains("WHERE")
    };
    pieces.filter(looks).collect()
}

/// How the database would do it when it has a choice and rows are many.
fn plan(cluster: &Cluster, database: &str, sql: &str) -> String {
    let values = (1..20)
        .filter(|number| sql.contains(&format!("${number}")))
        .count();
    let nulls = vec!["NULL"; values].join(", ");
    let execute = if values == 0 {
        "EXECUTE q".to_owned()
    } else {
        format!("EXECUTE q({nulls})")
    };
    let script = format!(
        "SET search_path = binauthz; SET enable_seqscan = off; SET enable_sort = off;
         SET plan_cache_mode = force_generic_plan; PREPARE q AS {sql}; EXPLAIN {execute}"
    );
    cluster
        .psql(database, &script)
        .unwrap_or_else(|why| panic!("{sql}\n{why}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_a_table() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    drop(cluster.store(&database, "one").await);
    let statements = statements();
    assert!(statements.len() > 45, "{}", statements.len());
    for sql in &statements {
        let plan = plan(&cluster, &database, sql);
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
    // The test can tell: this one has no index to walk.
    let scan = plan(
        &cluster,
        &database,
        "SELECT name FROM resource WHERE document = $1",
    );
    assert!(scan.contains("Seq Scan"), "{scan}");
    let admission = statements
        .iter()
        .find(|sql| sql.contains("ORDER BY created DESC"))
        .unwrap();
    let plan = plan(&cluster, &database, admission);
    assert!(
        plan.contains("occurrence_by_age") && !plan.contains("Sort"),
        "{plan}"
    );
}
