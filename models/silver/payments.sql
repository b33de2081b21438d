select
    coalesce(payment_id, event_id) as payment_id,
    transaction_id,
    "timestamp" as paid_at,
    customer_id,
    amount,
    upper(currency) as currency,
    upper(payment_country) as payment_country,
    payment_method
from {{ source('bronze', 'payments') }}
{{ first_by('event_id') }}
