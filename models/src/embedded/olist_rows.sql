-- A few rows in the shape of the Olist files: one query per table, each after a line `-- TABLE`.

-- bronze.olist_orders
select * from (values
    ('o1', 'c1', 'delivered', timestamp '2017-01-31 23:59:59', timestamp '2017-02-01 00:00:00',
     timestamp '2017-02-01 01:00:00', timestamp '2017-02-02 11:59:59', timestamp '2017-02-02 00:00:00'),
    ('o2', 'c2', 'canceled', timestamp '2017-01-01 00:00:00', null, null, null, timestamp '2017-02-01 00:00:00'),
    ('o3', 'c2', 'shipped', timestamp '2017-01-02 00:00:00', timestamp '2017-01-02 00:00:00',
     timestamp '2017-01-02 00:00:00', null, timestamp '2017-02-01 00:00:00')
) as t(
    order_id, customer_id, order_status, order_purchase_timestamp, order_approved_at,
    order_delivered_carrier_date, order_delivered_customer_date, order_estimated_delivery_date
)

-- bronze.olist_customers
select * from (values ('c1', 'SP'), ('c2', 'RJ')) as t(customer_id, customer_state)

-- bronze.olist_order_items
select * from (values
    ('o1', 'p1', 0.1, 1.005),
    ('o1', 'p2', 0.2, 1.0),
    ('o2', 'p1', 5.0, 0.0),
    ('o3', 'p3', 7.25, 2.5)
) as t(order_id, product_id, price, freight_value)

-- bronze.olist_products
select * from (values ('p1', 'livros'), ('p2', null), ('p3', 'pc_gamer')) as t(product_id, product_category_name)

-- bronze.olist_category_translation
select 'livros' as product_category_name, 'books' as product_category_name_english
