-- Revenue per month of purchase and state of the customer.
--
-- orders   orders with at least one item, in any status but canceled and unavailable
-- items    their items
-- revenue  sum of the items' prices, without freight, in reais, exact
-- freight  sum of the items' freight, exact
select
    cast(date_trunc('month', cast(orders.order_purchase_timestamp as timestamp)) as date) as month,
    customers.customer_state,
    count(distinct orders.order_id) as orders,
    count(*) as items,
    cast(sum(cast(items.price as decimal(18, 2))) as decimal(18, 2)) as revenue,
    cast(sum(cast(items.freight_value as decimal(18, 2))) as decimal(18, 2)) as freight
from {{ source('bronze', 'olist_orders') }} as orders
join {{ source('bronze', 'olist_order_items') }} as items
    on items.order_id = orders.order_id
join {{ source('bronze', 'olist_customers') }} as customers
    on customers.customer_id = orders.customer_id
where orders.order_status not in ('canceled', 'unavailable')
group by 1, 2
order by month, customer_state
