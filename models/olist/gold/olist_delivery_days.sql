-- How long deliveries take, per state of the customer: orders in status delivered that have a time of delivery.
--
-- orders         such orders
-- average_days   mean time from purchase to delivery, in days of 24 hours: the sum of whole seconds divided by the orders
--                and by 86,400, rounded half up to two digits
-- promised_days  the same from purchase to the estimated date
-- late           orders delivered after the estimated date (later than its midnight)
with deliveries as (
    select
        customers.customer_state,
        to_unixtime(cast(order_purchase_timestamp as timestamp)) as purchased,
        to_unixtime(cast(order_delivered_customer_date as timestamp)) as delivered,
        to_unixtime(cast(order_estimated_delivery_date as timestamp)) as promised
    from {{ source('bronze', 'olist_orders') }} as orders
    join {{ source('bronze', 'olist_customers') }} as customers
        on customers.customer_id = orders.customer_id
    where order_status = 'delivered'
        and order_delivered_customer_date is not null
),

states as (
    select
        customer_state,
        count(*) as orders,
        sum(delivered - purchased) as seconds,
        sum(promised - purchased) as promised_seconds,
        count(*) filter (where delivered > promised) as late
    from deliveries
    group by customer_state
)

select
    customer_state,
    orders,
    {{ hundredths('seconds', '86400 * orders') }} as average_days,
    {{ hundredths('promised_seconds', '86400 * orders') }} as promised_days,
    late
from states
order by customer_state
