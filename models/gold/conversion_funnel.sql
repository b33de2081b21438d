-- Of the visits that began on a day, how many came how far. A visit counts at each step that it reached.
with daily as (
    select
        cast(started_at as date) as day,
        device_type,
        count(*) as sessions,
        count(*) filter (where views > 0) as viewed,
        count(*) filter (where carts > 0) as added_to_cart,
        count(*) filter (where purchases > 0) as purchased
    from {{ ref('sessions') }}
    group by 1, 2
)

select
    *,
    {{ share('viewed', 'sessions') }} as view_rate,
    {{ share('added_to_cart', 'sessions') }} as cart_rate,
    {{ share('purchased', 'sessions') }} as conversion_rate
from daily
order by day, device_type
