-- Stock as the sum of its changes since the first one that was seen.
select
    item_id,
    warehouse,
    sum(quantity) as on_hand,
    coalesce(sum(quantity) filter (where quantity > 0), 0) as delivered,
    coalesce(-sum(quantity) filter (where quantity < 0), 0) as sold,
    max(changed_at) as last_change_at,
    sum(quantity) < {{ var('low_stock') }} as is_low
from {{ ref('stock_changes') }}
group by item_id, warehouse
order by item_id, warehouse
