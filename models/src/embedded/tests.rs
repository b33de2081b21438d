//! The projects that come with the program: complete, without warnings, and right on a few rows.

use std::path::Path;

use crate::graph::Graph;
use crate::project::Project;
use crate::testing::{TestLake, inputs};

/// Event columns of the landed tables, in the shapes that ingest gives them.
const EVENTS: &str = "event_id, event_type, \"timestamp\", user_id, item_id, category, session_id, device_type, query, rating, \
                      _src_topic, _src_partition, _src_offset, _ingested_at";

fn at(text: &str) -> String {
    format!("arrow_cast('2026-01-{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

fn landed(offset: i64) -> String {
    format!(
        "'topic' as _src_topic, 0 as _src_partition, {offset} as _src_offset, {} as _ingested_at",
        at("05 00:00:00")
    )
}

#[test]
fn the_embedded_files_are_those_of_the_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, embedded) in [(root.to_owned(), super::shop()), (root.join("olist"), super::olist())] {
        let files: Vec<String> = embedded.iter().map(|file| file.path.clone()).collect();
        let project = Project::load(&folder).unwrap();
        let embedded = Project::from_files(embedded).unwrap();
        assert_eq!(
            project.models.keys().collect::<Vec<_>>(),
            embedded.models.keys().collect::<Vec<_>>(),
            "{files:?}"
        );
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

async fn shop() -> TestLake {
    let lake = TestLake::new().await;
    let event = |id: &str, kind: &str, user: &str, item: &str, session: &str, time: &str, offset: i64| {
        format!(
            "select '{id}' as event_id, '{kind}' as event_type, {} as \"timestamp\", '{user}' as user_id, '{item}' as item_id, \
             ' Books' as category, '{session}' as session_id, 'mobile' as device_type, cast(null as varchar) as query, \
             cast(5 as int) as rating, {}",
            at(time),
            landed(offset)
        )
    };
    let events = [
        event("e1", "view", "u1", "i1", "s1", "02 10:00:00", 1),
        event("e2", "addtocart", "u1", "i1", "s1", "02 10:01:00", 2),
        event("e2", "addtocart", "u1", "i1", "s1", "02 10:01:00", 3),
        event("e3", "view", "u2", "i2", "s2", "02 23:59:59", 4),
    ];
    lake.land("bronze.user_events", &events.join(" union all ")).await;
    let sale = |id: &str, offset: i64| {
        format!(
            "select 'x{offset}' as event_id, 'transaction' as event_type, {} as \"timestamp\", 'u1' as user_id, 'i1' as item_id, \
             'books' as category, 's1' as session_id, 'mobile' as device_type, arrow_cast('10.50', 'Decimal128(12, 2)') as price, \
             cast(2 as int) as quantity, '{id}' as transaction_id, {}",
            at("02 10:02:00"),
            landed(offset)
        )
    };
    lake.land("bronze.transactions", &[sale("t1", 1), sale("t1", 2), sale("t2", 3)].join(" union all "))
        .await;
    let order = |id: &str, transaction: &str, amount: &str| {
        format!(
            "select 'o{id}' as event_id, 'order' as event_type, {} as \"timestamp\", '{id}' as order_id, '{transaction}' as \
             transaction_id, 'u1' as customer_id, 'i1' as item_id, cast(2 as int) as quantity, \
             arrow_cast('{amount}', 'Decimal128(12, 2)') as amount, 'eur' as currency, 'created' as status, {}",
            at("02 10:02:01"),
            landed(7)
        )
    };
    lake.land("bronze.orders", &[order("o1", "t1", "21.00"), order("o2", "t2", "21.01")].join(" union all "))
        .await;
    let payment = format!(
        "select 'p1' as event_id, 'payment' as event_type, {} as \"timestamp\", cast(null as varchar) as payment_id, \
         't1' as transaction_id, 'u1' as customer_id, arrow_cast('21.00', 'Decimal128(12, 2)') as amount, 'EUR' as currency, \
         'de' as payment_country, 'card' as payment_method, {}",
        at("02 10:03:00"),
        landed(1)
    );
    lake.land("bronze.payments", &payment).await;
    let change = |id: &str, pieces: i32| {
        format!(
            "select '{id}' as event_id, 'stock_change' as event_type, {} as \"timestamp\", 'i1' as item_id, 'North' as warehouse, \
             cast({pieces} as int) as quantity, 'r' as reason, {}",
            at("02 10:00:00"),
            landed(1)
        )
    };
    lake.land(
        "bronze.inventory",
        &[change("c1", 50), change("c2", -2), change("c2", -2)].join(" union all "),
    )
    .await;
    let dead = format!("select 'empty' as cause, 'no bytes' as error, {}", landed(9));
    lake.land("bronze.dead_letters", &dead).await;
    lake
}

#[tokio::test]
async fn the_shop_answers_from_what_landed() {
    let lake = shop().await;
    let project = Project::shop().unwrap();
    lake.build_all(&project).await;
    for (query, expected) in [
        ("select count(*), min(category) from silver.events", "3|books"),
        (
            "select order_id, is_paid, payment_country, category from silver.orders order by 1 limit 1",
            "o1|true|DE|books",
        ),
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
        (
            "select item_id, warehouse, on_hand, delivered, sold, is_low from gold.stock_position",
            "i1|north|48|50|2|true",
        ),
        ("select topic, cause, messages, example from gold.dead_letters_by_cause", "topic|empty|1|no bytes"),
    ] {
        assert_eq!(lake.rows(query).await, [expected], "{query}");
    }
}

#[tokio::test]
async fn events_land_once_in_silver_however_often_they_were_sent() {
    let lake = shop().await;
    let project = Project::shop().unwrap();
    lake.build_all(&project).await;
    let again = format!("select {EVENTS} from bronze.user_events where event_id = 'e1'");
    lake.land("bronze.user_events", &again).await;
    let report = lake.build_all(&project).await;
    assert_eq!(report.result("events").unwrap().rows, Some(0));
    assert_eq!(lake.rows("select count(*), count(distinct event_id) from silver.events").await, ["3|3"]);
}

#[tokio::test]
async fn olist_keeps_its_definitions() {
    let lake = TestLake::new().await;
    let orders = "select * from (values \
        ('o1', 'c1', 'delivered', timestamp '2017-01-31 23:59:59', timestamp '2017-02-01 00:00:00', timestamp '2017-02-01 01:00:00', \
         timestamp '2017-02-02 11:59:59', timestamp '2017-02-02 00:00:00'), \
        ('o2', 'c2', 'canceled', timestamp '2017-01-01 00:00:00', null, null, null, timestamp '2017-02-01 00:00:00'), \
        ('o3', 'c2', 'shipped', timestamp '2017-01-02 00:00:00', timestamp '2017-01-02 00:00:00', timestamp '2017-01-02 00:00:00', \
         null, timestamp '2017-02-01 00:00:00')) \
        as t(order_id, customer_id, order_status, order_purchase_timestamp, order_approved_at, order_delivered_carrier_date, \
             order_delivered_customer_date, order_estimated_delivery_date)";
    lake.land("bronze.olist_orders", orders).await;
    lake.land(
        "bronze.olist_customers",
        "select * from (values ('c1', 'SP'), ('c2', 'RJ')) as t(customer_id, customer_state)",
    )
    .await;
    let items = "select * from (values ('o1', 'p1', 0.1, 1.005), ('o1', 'p2', 0.2, 1.0), ('o2', 'p1', 5.0, 0.0), ('o3', 'p3', 7.25, 2.5)) \
                 as t(order_id, product_id, price, freight_value)";
    lake.land("bronze.olist_order_items", items).await;
    let products = "select * from (values ('p1', 'livros'), ('p2', null), ('p3', 'pc_gamer')) as t(product_id, product_category_name)";
    lake.land("bronze.olist_products", products).await;
    let names = "select 'livros' as product_category_name, 'books' as product_category_name_english";
    lake.land("bronze.olist_product_category_name_translation", names).await;
    lake.build_all(&Project::olist().unwrap()).await;
    for (query, expected) in [
        (
            "select month, customer_state, orders, items, revenue from gold.olist_revenue_by_month_state order by 1, 2",
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
