{{ config(materialized='view') }}

select
    event_id,
    "timestamp" as changed_at,
    item_id,
    lower(warehouse) as warehouse,
    quantity,
    reason
from {{ source('bronze', 'inventory') }}
{{ first_by('event_id') }}
