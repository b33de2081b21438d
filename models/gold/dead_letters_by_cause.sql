select
    _src_topic as topic,
    cause,
    count(*) as messages,
    min(_ingested_at) as first_seen_at,
    max(_ingested_at) as last_seen_at,
    min(error) as example
from {{ source('bronze', 'dead_letters') }}
group by _src_topic, cause
order by topic, cause
