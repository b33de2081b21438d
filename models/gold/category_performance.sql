with interest as (
    select
        category,
        count(*) filter (where event_type = 'view') as views,
        count(*) filter (where event_type = 'addtocart') as carts,
        cast(avg(rating) as double) as average_rating
    from {{ ref('events') }}
    where category is not null
    group by category
),

sales as (
    select
        category,
        count(*) as purchases,
        sum(quantity) as units,
        cast(sum(amount) as decimal(18, 2)) as revenue
    from {{ ref('transactions') }}
    where category is not null
    group by category
)

select
    coalesce(interest.category, sales.category) as category,
    coalesce(views, 0) as views,
    coalesce(carts, 0) as carts,
    coalesce(purchases, 0) as purchases,
    coalesce(units, 0) as units,
    coalesce(revenue, 0) as revenue,
    round(average_rating, 2) as average_rating,
    {{ share('purchases', 'views') }} as purchases_per_view
from interest
full join sales on sales.category = interest.category
order by revenue desc, category
