-- Reads only what landed since the last build: the cursor is committed with the rows.
{{ config(materialized='incremental', incremental_from='bronze.user_events', partition_by='day(occurred_at)') }}

select
    event_id,
    event_type,
    "timestamp" as occurred_at,
    user_id,
    item_id,
    lower(trim(category)) as category,
    session_id,
    device_type,
    query,
    rating
from {{ source('bronze', 'user_events') }} as landed
{% if is_incremental() -%}
where not exists (select 1 from {{ this }} as known where known.event_id = landed.event_id)
{% endif -%}
{{ first_by('event_id') }}
