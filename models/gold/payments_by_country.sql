select
    payment_country,
    currency,
    payment_method,
    count(*) as payments,
    count(distinct customer_id) as customers,
    cast(sum(amount) as decimal(18, 2)) as amount,
    cast(avg(amount) as decimal(18, 2)) as average_payment
from {{ ref('payments') }}
group by payment_country, currency, payment_method
order by payment_country, currency, payment_method
