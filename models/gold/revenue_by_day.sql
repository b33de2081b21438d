select
    cast(ordered_at as date) as day,
    currency,
    count(*) as orders,
    count(distinct customer_id) as customers,
    sum(quantity) as units,
    cast(sum(amount) as decimal(18, 2)) as revenue,
    cast(avg(amount) as decimal(18, 2)) as average_order
from {{ ref('orders') }}
group by 1, 2
order by day, currency
