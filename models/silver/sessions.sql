-- What happened in each visit, purchases included.
with steps as (
    select session_id, user_id, device_type, occurred_at, event_type, cast(0 as decimal(18, 2)) as amount
    from {{ ref('events') }}
    union all
    select session_id, user_id, device_type, occurred_at, 'transaction' as event_type, amount
    from {{ ref('transactions') }}
)

select
    session_id,
    min(user_id) as user_id,
    min(device_type) as device_type,
    min(occurred_at) as started_at,
    max(occurred_at) as ended_at,
    count(*) as events,
    count(*) filter (where event_type = 'view') as views,
    count(*) filter (where event_type = 'addtocart') as carts,
    count(*) filter (where event_type = 'search') as searches,
    count(*) filter (where event_type = 'transaction') as purchases,
    sum(amount) as amount
from steps
where session_id is not null
group by session_id
