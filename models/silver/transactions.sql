select
    transaction_id,
    event_id,
    "timestamp" as occurred_at,
    user_id,
    item_id,
    lower(trim(category)) as category,
    session_id,
    device_type,
    price,
    quantity,
    cast(price * quantity as decimal(18, 2)) as amount
from {{ source('bronze', 'transactions') }}
{{ first_by('transaction_id') }}
