-- What the gold tables of the Olist project must hold, computed by DuckDB from the CSV files: one view per file, named as the
-- file. Written from the definitions in the models' comments, in another way than the models do it. Money is summed in whole
-- cents, times in whole microseconds; rounding is half up on whole numbers.

-- gold.olist_revenue_by_month_state
WITH sold AS (
    SELECT order_id, count(*) AS items, sum(CAST(round(price * 100) AS HUGEINT)) AS price_cents,
           sum(CAST(round(freight_value * 100) AS HUGEINT)) AS freight_cents
    FROM olist_order_items_dataset
    GROUP BY order_id
)
SELECT make_date(year(o.order_purchase_timestamp), month(o.order_purchase_timestamp), 1) AS month,
       (SELECT c.customer_state FROM olist_customers_dataset c WHERE c.customer_id = o.customer_id) AS customer_state,
       count(*) AS orders,
       CAST(sum(s.items) AS BIGINT) AS items,
       CAST(CAST(sum(s.price_cents) AS DECIMAL(38, 0)) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS revenue,
       CAST(CAST(sum(s.freight_cents) AS DECIMAL(38, 0)) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS freight
FROM olist_orders_dataset o
SEMI JOIN olist_customers_dataset c ON c.customer_id = o.customer_id
JOIN sold s USING (order_id)
WHERE o.order_status <> 'canceled' AND o.order_status <> 'unavailable'
GROUP BY ALL;

-- gold.olist_order_status_funnel
SELECT nullif(list_position(['created', 'approved', 'invoiced', 'processing', 'shipped', 'delivered'], order_status), 0) AS step,
       order_status,
       count(*) AS orders,
       sum(CASE WHEN order_approved_at IS NULL THEN 0 ELSE 1 END) AS approved,
       sum(CASE WHEN order_delivered_carrier_date IS NULL THEN 0 ELSE 1 END) AS carried,
       sum(CASE WHEN order_delivered_customer_date IS NULL THEN 0 ELSE 1 END) AS delivered,
       -- 10,000 times the share, half up, then two digits moved behind the point
       CAST(CAST(((count(*) * 10000) * 2 + sum(count(*)) OVER ()) // (2 * sum(count(*)) OVER ()) AS DECIMAL(18, 0))
            * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS percent
FROM olist_orders_dataset
GROUP BY order_status;

-- gold.olist_top_categories
WITH english AS (
    SELECT p.product_id,
           CASE WHEN p.product_category_name IS NULL THEN 'unknown'
                ELSE coalesce((SELECT t.product_category_name_english FROM product_category_name_translation t
                               WHERE t.product_category_name = p.product_category_name), p.product_category_name)
           END AS category
    FROM olist_products_dataset p
), cents AS (
    SELECT e.category, i.order_id, CAST(round(i.price * 100) AS HUGEINT) AS price_cents
    FROM olist_order_items_dataset i, english e
    WHERE i.product_id = e.product_id
), totals AS (
    SELECT category, count(*) AS items, len(list_distinct(list(order_id))) AS orders, sum(price_cents) AS total_cents
    FROM cents
    GROUP BY category
), placed AS (
    SELECT t.*, 1 + (SELECT count(*) FROM totals o
                     WHERE o.total_cents > t.total_cents OR (o.total_cents = t.total_cents AND o.category < t.category)) AS place
    FROM totals t
)
SELECT place, category, items, orders,
       CAST(CAST(total_cents AS DECIMAL(38, 0)) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS revenue
FROM placed
WHERE place <= 20;

-- gold.olist_delivery_days
WITH delivered AS (
    SELECT c.customer_state, o.order_delivered_customer_date > o.order_estimated_delivery_date AS is_late,
           date_diff('second', o.order_purchase_timestamp, o.order_delivered_customer_date) AS took,
           date_diff('second', o.order_purchase_timestamp, CAST(o.order_estimated_delivery_date AS TIMESTAMP)) AS promised
    FROM olist_customers_dataset c
    JOIN olist_orders_dataset o USING (customer_id)
    WHERE o.order_status = 'delivered' AND o.order_delivered_customer_date IS NOT NULL
), sums AS (
    SELECT customer_state, count(*) AS orders, CAST(sum(took) AS HUGEINT) AS took, CAST(sum(promised) AS HUGEINT) AS promised,
           sum(CAST(is_late AS INTEGER)) AS late
    FROM delivered
    GROUP BY customer_state
)
SELECT customer_state, orders,
       -- floor(100 * x + 1/2) in whole numbers, with x = took / (86,400 * orders)
       CAST(CAST((100 * took + 43200 * orders) // (86400 * orders) AS DECIMAL(18, 0)) * CAST(0.01 AS DECIMAL(3, 2))
            AS DECIMAL(18, 2)) AS average_days,
       CAST(CAST((100 * promised + 43200 * orders) // (86400 * orders) AS DECIMAL(18, 0)) * CAST(0.01 AS DECIMAL(3, 2))
            AS DECIMAL(18, 2)) AS promised_days,
       late
FROM sums;
