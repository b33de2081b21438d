-- Where the orders stand, and how far the orders of each status came: one row per status.
--
-- step       place of the status in an order's life, 1 created to 6 delivered; null for canceled and unavailable
-- orders     orders in this status
-- approved   of these, those with a time of approval
-- carried    of these, those with a time of handing over to the carrier
-- delivered  of these, those with a time of delivery to the customer
-- percent    orders of this status in percent of all orders, rounded half up to two digits
with orders as (
    select
        order_status,
        count(*) as orders,
        count(order_approved_at) as approved,
        count(order_delivered_carrier_date) as carried,
        count(order_delivered_customer_date) as delivered
    from {{ source('bronze', 'olist_orders') }}
    group by order_status
),

total as (
    select count(*) as all_orders from {{ source('bronze', 'olist_orders') }}
)

select
    case order_status
        when 'created' then 1
        when 'approved' then 2
        when 'invoiced' then 3
        when 'processing' then 4
        when 'shipped' then 5
        when 'delivered' then 6
    end as step,
    order_status,
    orders,
    approved,
    carried,
    delivered,
    {{ hundredths('100 * orders', 'all_orders') }} as percent
from orders
cross join total
order by step, order_status
