-- The twenty product categories with the most revenue.
--
-- category  English name; the Portuguese one where there is no translation; `unknown` for products without a category
-- items     items sold, whatever became of the order
-- orders    orders that hold at least one of them
-- revenue   sum of their prices, without freight, in reais, exact
-- place     1 is the most revenue; equal revenue is ordered by category, byte by byte
with sales as (
    select
        coalesce(names.product_category_name_english, products.product_category_name, 'unknown') as category,
        count(*) as items,
        count(distinct items.order_id) as orders,
        cast(sum(cast(items.price as decimal(18, 2))) as decimal(18, 2)) as revenue
    from {{ source('bronze', 'olist_order_items') }} as items
    join {{ source('bronze', 'olist_products') }} as products
        on products.product_id = items.product_id
    left join {{ source('bronze', 'olist_category_translation') }} as names
        on names.product_category_name = products.product_category_name
    group by 1
)

select
    row_number() over (order by revenue desc, category) as place,
    category,
    items,
    orders,
    revenue
from sales
qualify place <= 20
order by place
