{#- What part of `whole` is `part`, 0 to 1 with four digits; null when there is no whole. -#}
{% macro share(part, whole) -%}
round(cast({{ part }} as double) / nullif({{ whole }}, 0), 4)
{%- endmacro %}
