with sales as (
    select
        item_id,
        min(category) as category,
        count(*) as purchases,
        sum(quantity) as units,
        cast(sum(amount) as decimal(18, 2)) as revenue
    from {{ ref('transactions') }}
    group by item_id
)

select
    row_number() over (order by revenue desc, item_id) as place,
    *
from sales
qualify place <= {{ var('top_items') }}
order by place
