{#- `numerator / denominator` (whole numbers, not negative), rounded half up to two digits, as an exact decimal(18, 2). Whole
    numbers only on the way, so that every engine gets the same digits. -#}
{% macro hundredths(numerator, denominator) -%}
cast(
    cast((200 * ({{ numerator }}) + ({{ denominator }})) / (2 * ({{ denominator }})) as decimal(18, 0))
    / cast(100 as decimal(3, 0))
    as decimal(18, 2))
{%- endmacro %}
