{#- Keeps the first row of each key, in the order in which Kafka stored the messages. A producer that repeats a message
    gives it the same key; ingest lands both, because both were sent. -#}
{% macro first_by(key) -%}
qualify row_number() over (partition by {{ key }} order by _ingested_at, _src_partition, _src_offset) = 1
{%- endmacro %}
