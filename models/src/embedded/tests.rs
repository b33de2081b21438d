//! The projects that come with the program: complete, without warnings, and right on a few rows.

use std::path::Path;

use crate::graph::Graph;
use crate::project::Project;
use crate::testing::{TestLake, inputs};

#[test]
fn the_embedded_files_are_those_of_the_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, embedded) in [(root.to_owned(), super::shop()), (root.join("olist"), super::olist())] {
        let project = Project::load(&folder).unwrap();
        let embedded = Project::from_files(embedded).unwrap();
        assert_eq!(project.models.keys().collect::<Vec<_>>(), embedded.models.keys().collect::<Vec<_>>());
        for (name, model) in &project.models {
            assert_eq!(model.file.text, embedded.models[name].file.text);
        }
        assert_eq!(project.macros.len(), embedded.macros.len());
        assert_eq!(project.sources.len(), embedded.sources.len());
        assert_eq!(project.properties.len(), embedded.properties.len());
    }
}

#[test]
fn they_have_no_warnings_and_every_model_is_described_and_checked() {
    for project in [Project::shop().unwrap(), Project::olist().unwrap()] {
        let graph = Graph::new(&project, &inputs()).unwrap();
        assert_eq!(graph.warnings(), [] as [String; 0]);
        for node in graph.nodes() {
            assert!(!node.description.is_empty(), "{} has no description", node.name);
            assert!(!node.checks.is_empty(), "{} has no test", node.name);
        }
    }
}

/// A lake with the tables of a file: a line `-- NAMESPACE.NAME` and a query each.
async fn landed(text: &str) -> TestLake {
    let lake = TestLake::new().await;
    let mut tables: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("-- "), tables.last_mut()) {
            (Some(name), _) if name.starts_with("bronze.") => tables.push((name.to_owned(), String::new())),
            (_, Some((_, query))) => {
                query.push_str(line);
                query.push('\n');
            }
            (_, None) => {}
        }
    }
    for (name, query) in tables {
        lake.land(&name, &query).await;
    }
    lake
}

async fn shop() -> TestLake {
    landed(include_str!("shop_rows.sql")).await
}

#[tokio::test]
async fn the_shop_answers_from_what_landed() {
    let lake = shop().await;
    lake.build_all(&Project::shop().unwrap()).await;
    for (query, expected) in [
        ("select count(*), min(category) from silver.events", "3|books"),
        (
            "select is_paid, payment_country, category from silver.orders where order_id = 'o1'",
            "true|DE|books",
        ),
        ("select is_paid, payment_id from silver.orders where order_id = 'o2'", "false|"),
        (
            "select events, views, carts, purchases, amount from silver.sessions where session_id = 's1'",
            "4|1|1|2|42.00",
        ),
        ("select * from gold.revenue_by_day", "2026-01-02|EUR|2|1|4|42.01|21.01"),
        ("select hour, orders, units, revenue from gold.revenue_by_hour", "2026-01-02T10:00:00Z|2|4|42.01"),
        ("select * from gold.conversion_funnel", "2026-01-02|mobile|2|2|1|1|1.0|0.5|0.5"),
        ("select * from gold.top_items", "1|i1|books|2|4|42.00"),
        ("select * from gold.category_performance", "books|2|1|2|4|42.00|5.0|1.0"),
        ("select * from gold.payments_by_country", "DE|EUR|card|1|1|21.00|21.00"),
        ("select warehouse, on_hand, delivered, sold, is_low from gold.stock_position", "north|48|50|2|true"),
        (
            "select topic, cause, messages, example from gold.dead_letters_by_cause",
            "payments|empty|1|the message is empty",
        ),
    ] {
        assert_eq!(lake.rows(query).await, [expected], "{query}");
    }
}

#[tokio::test]
async fn events_are_in_silver_once_however_often_they_were_sent() {
    let lake = shop().await;
    let project = Project::shop().unwrap();
    lake.build_all(&project).await;
    lake.land("bronze.user_events", "select * from bronze.user_events where event_id = 'e1'").await;
    lake.land("bronze.user_events", "select * from bronze.user_events where event_id = 'e3'").await;
    let report = lake.build_all(&project).await;
    assert_eq!(report.result("events").unwrap().rows, Some(0));
    assert_eq!(lake.rows("select count(*), count(distinct event_id) from silver.events").await, ["3|3"]);
}

#[tokio::test]
async fn olist_keeps_its_definitions() {
    let lake = landed(include_str!("olist_rows.sql")).await;
    lake.build_all(&Project::olist().unwrap()).await;
    for (query, expected) in [
        (
            "select month, customer_state, orders, items, revenue
             from gold.olist_revenue_by_month_state order by 1, 2",
            vec!["2017-01-01|RJ|1|1|7.25", "2017-01-01|SP|1|2|0.30"],
        ),
        (
            "select * from gold.olist_order_status_funnel order by 2",
            vec!["|canceled|1|0|0|0|33.33", "6|delivered|1|1|1|1|33.33", "5|shipped|1|1|1|0|33.33"],
        ),
        (
            "select * from gold.olist_top_categories order by 1",
            vec!["1|pc_gamer|1|1|7.25", "2|books|2|2|5.10", "3|unknown|1|1|0.20"],
        ),
        ("select * from gold.olist_delivery_days", vec!["SP|1|1.50|1.00|1"]),
    ] {
        assert_eq!(lake.rows(query).await, expected, "{query}");
    }
}
