select
    date_trunc('hour', ordered_at) as hour,
    currency,
    count(*) as orders,
    sum(quantity) as units,
    cast(sum(amount) as decimal(18, 2)) as revenue
from {{ ref('orders') }}
group by 1, 2
order by hour, currency
